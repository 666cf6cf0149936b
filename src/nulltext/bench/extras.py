"""Libraries that only who measures needs, loaded when they are."""

from importlib import import_module
from typing import Any

from nulltext.errors import SettingError


def extra(module: str) -> Any:  # noqa: ANN401  a module
    """A module of the extra ``bench``.

    Raises:
        SettingError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingError(
            f"`nulltext bench` needs {error.name or module}, which is not installed. Run: pip install "
            "'nulltext[bench]'."
        ) from error
