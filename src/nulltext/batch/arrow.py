"""pyarrow, which has no types, and jinja2; who lacks them is told what to install."""

from importlib import import_module
from typing import Any

from nulltext.errors import SettingError


def _extra(name: str) -> Any:  # noqa: ANN401  a module
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingError(
            f"batches need {name}, which is not installed. Install it with: pip install 'nulltext[batch]'"
        ) from error


arrow, parquet, fs, jinja2 = map(_extra, ("pyarrow", "pyarrow.parquet", "pyarrow.fs", "jinja2"))
