"""The JSON files of a model: read, and held against what the class they describe takes."""

import inspect
import json
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from nulltext.errors import ModelLoadError

_PLAIN: Final[Mapping[object, tuple[type, ...]]] = {
    None: (types.NoneType,),
    types.NoneType: (types.NoneType,),
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
}
"""What JSON has for the types that constructors name."""


MOST: Final = {"layers": 1000, "sample_size": 4096, "timesteps": 100_000}
"""The largest whole numbers of a config, by a part of their name."""
MOST_ELSE: Final = 10_000_000
"""The largest of all others."""


def read_config(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        ModelLoadError: It is not there, cannot be read, or holds something else.
    """
    if path.exists() and not path.is_file():
        raise ModelLoadError(f"{path} is no file; expected a JSON file. Fetch the model again.")
    try:
        config: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelLoadError(f"{path} is missing: the model is incomplete. Fetch it again.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} is damaged or incomplete: {error}. Fetch it again.") from error
    if not isinstance(config, dict):
        raise ModelLoadError(f"{path} holds a {_name(config)}; expected a JSON object. Fetch it again.")
    return config


def check_sizes(config: Mapping[str, Any], path: Path) -> None:
    """Makes sure that no number would build a network for hours, or one of no size that there is.

    Raises:
        ModelLoadError: One would.
    """
    for name, value in config.items():
        most = next((most for part, most in MOST.items() if part in name), MOST_ELSE)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number > most:
                raise ModelLoadError(
                    f"{path} has {name}={json.dumps(value)[:80]}; expected at most {most}. Correct it, or fetch the "
                    "model again."
                )


def check_types(config: Mapping[str, Any], made: type[Any], path: Path) -> None:
    """Makes sure that a config's values have the types that a class's constructor names.

    diffusers takes what it is given: a text for a number is only found where it is computed with, or never.

    Raises:
        ModelLoadError: A value has another type; names it and the file.
    """
    hints = get_type_hints(made.__init__)
    for name, parameter in inspect.signature(made.__init__).parameters.items():
        if name not in config:
            continue
        value, default, hint = config[name], parameter.default, hints.get(name, Any)
        # Some defaults are not what their own annotation says.
        usual = default is not inspect.Parameter.empty and _fits(value, type(default))
        usual = usual or (value is None and default is False)  # which Stable Diffusion XL's own config says for it
        negative = isinstance(value, int) and value < 0 and not _fits(0.5, hint)  # all of these count something
        if negative or (not usual and not _fits(value, hint)):
            raise ModelLoadError(
                f"{path} has {name}={json.dumps(value)}; expected {_wanted(hint)}, as {made.__name__} takes it. "
                "Correct it, or fetch the model again."
            )


def _fits(value: object, hint: object) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if (origin or hint) in (tuple, list, Sequence):
        # diffusers annotates tuples of any length as tuples of one.
        within = [each for each in inner if each is not Ellipsis]
        return isinstance(value, (list, tuple)) and (
            not within or all(any(_fits(item, each) for each in within) for item in value)
        )
    if hint is not bool and hint in _PLAIN and isinstance(value, bool):  # which Python takes for a number
        return False
    return hint not in _PLAIN or isinstance(value, _PLAIN[hint])


def _wanted(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _name(value: object) -> str:
    return {"list": "list", "str": "text", "NoneType": "null"}.get(type(value).__name__, "number")
