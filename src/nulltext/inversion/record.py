"""The record of an inversion file, read as a stranger's: each entry has its type and its range, and they agree.

Who alters a file can write a new digest, too. So what is read is held against the rest of the record and against the
tensors: steps, guidance, method, schedule, sizes. What nothing else in the file tells, a caption say, cannot be seen.
"""

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, cast

from torch import Tensor

from nulltext.diffusion.levels import Interval, NoiseLevel
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError
from nulltext.models.base import ModelIdentity
from nulltext.pictures import Frame

LONGEST = 10_000
"""Characters in a caption, or in any other text."""
MOST_SETTINGS, DEEPEST = 200, 10
"""Numbers and texts in the settings of a method, those of its parts included, and parts within parts."""
SHOWN = 80
"""Characters of what is wrong in a sentence that says so."""
LAST_TIME = 1_000_000.0
"""Above every time that a network is told."""
HIGHEST_PSNR = 1_000.0
"""In decibels, above what float64 can tell from equal pictures."""
_LARGEST = 2.0**64
"""Of a setting, seeds among them."""
_ROUNDING = 1e-4
"""How far alpha² + sigma² may be from 1, or a flow's alpha + sigma: roots are float32's, of a machine that may round in
its own way."""

HOLDS: dict[str, tuple[bool, bool, bool]] = {
    "DDIM": (False, False, False),
    "DirectInversion": (True, False, False),
    "GlobalNullText": (False, True, False),
    "NegativePrompt": (False, True, False),
    "NoPivot": (False, True, False),
    "NullText": (False, True, False),
    "OpenLoop": (False, True, False),
    "RandomPivot": (False, True, False),
    "TextualInversion": (False, False, True),
    "generate": (False, False, False),
}
"""Of the methods here: whether the source is held, and whether there are null and conditional embeddings."""


def read_record(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What an `Inversion` is made of, beside the tensors; its scores still as a mapping.

    Args:
        record: As `nulltext.inversion.storage.read` gives it.
        tensors: Those of the same file.

    Raises:
        SettingError: Something in it has another type, is out of range, or does not go with the rest; says what.
    """
    schedule = _schedule(record["schedule"])
    surroundings = tensors.get("surroundings")
    found: dict[str, Any] = {
        "caption": _text(record["caption"], "caption"),
        "held": _flag(record["held"], "held"),
        "guidance": _number(record["guidance"], "guidance"),
        "method": _match(record["method"], "method", r"[^\W\d]\w{0,99}"),
        "settings": _settings(record["settings"]),
        "schedule": schedule,
        "model": ModelIdentity(
            **{
                name: _text(value, f"model {name}")
                for name, value in _entries(record["model"], "model", ("id", "revision")).items()
            }
        ),
        "frame": Frame.read(record["frame"], None if surroundings is None else surroundings.numpy().tobytes()),
        "sha256": _match(record["sha256"], "sha256", r"[0-9a-f]{64}"),
        "scores": {
            name: math.inf if value is None else _number(value, name, least=0.0, most=HIGHEST_PSNR)
            for name, value in _entries(record["scores"], "scores", ("vae_psnr", "psnr")).items()
        },
        "version": _match(record["version"], "version", r"[\w.+!-]{1,100}"),
    }
    _check_shapes(tensors, len(schedule), found["frame"])
    _check_method(found, tensors)
    return found


def _check_shapes(tensors: Mapping[str, Tensor], steps: int, frame: Frame) -> None:
    pivot, nulls, cond = tensors["pivot"], tensors.get("nulls"), tensors.get("cond")
    (height, width), (rows, columns) = frame.fitted, pivot.shape[2:]
    if not (
        pivot.shape[0] == steps + 1
        and (nulls is None or nulls.shape[0] == steps)
        and (nulls is None or cond is None or nulls.shape[1:] == cond.shape)
        and tensors["picture"].shape == (height, width, 3)
        and height % rows == width % columns == 0
        and height // rows == width // columns
    ):
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise SettingError(
            f"its record has {steps} steps and a picture of {width} x {height}, with the shapes {shapes}"
        )


def _check_method(found: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    method, settings = found["method"], found["settings"]
    holds = found["held"], "nulls" in tensors, "cond" in tensors
    if method in HOLDS and holds != HOLDS[method]:
        got, expected = (
            ", ".join(
                f"{name} {'yes' if one else 'no'}" for name, one in zip(("held", "nulls", "cond"), of, strict=True)
            )
            for of in (holds, HOLDS[method])
        )
        raise SettingError(f"a file of {method} has {expected}; this one has {got}")
    told: dict[str, Any] = {"guidance": found["guidance"]}
    if method in HOLDS:  # what is called so in somebody's own method may be something else
        told["steps"] = len(found["schedule"])
    if method == "generate":
        told["size"] = list(found["frame"].fitted)
    for name, value in told.items():
        if (method in HOLDS or name in settings) and settings.get(name) != value:
            raise SettingError(
                f"its settings have {name} {_shown(settings.get(name))}, and the rest of it has {value!r}"
            )


def _schedule(value: object) -> Schedule:
    shown = _shown(value)
    if not isinstance(value, list) or not value:
        raise SettingError(f"its schedule is {shown}, which has 0 steps; expected a list of at least one")
    steps = [_interval(step) for step in cast("list[object]", value)]
    for before, after in pairwise(steps):
        if not after.t < before.t or after.noisy.alpha < before.noisy.alpha or after.clean.alpha < before.clean.alpha:
            raise SettingError(f"its schedule goes from time {before.t:g} to {after.t:g} and not from noise to picture")
    _check_levels(steps)
    return Schedule(tuple(steps))


def _interval(value: object) -> Interval:
    step = _entries(value, "schedule's step", ("t", "noisy", "clean"))
    noisy, clean = _level(step["noisy"]), _level(step["clean"])
    if noisy.alpha > clean.alpha:
        raise SettingError(f"its schedule has a step from alpha {noisy.alpha:g} to {clean.alpha:g}, towards noise")
    return Interval(_number(step["t"], "schedule's time", least=0.0, most=LAST_TIME), noisy, clean)


def _level(value: object) -> NoiseLevel:
    numbers = _entries(value, "schedule's level", ("alpha", "sigma"))
    alpha, sigma = (_number(numbers[name], name, least=0.0, most=1.0) for name in ("alpha", "sigma"))
    return NoiseLevel(alpha, sigma)


def _check_levels(steps: Iterable[Interval]) -> None:
    """Makes sure that all levels are diffusion's, or all a flow's."""
    levels = [level for step in steps for level in (step.noisy, step.clean)]
    off = {power: [at for at in levels if abs(at.alpha**power + at.sigma**power - 1) > _ROUNDING] for power in (1, 2)}
    if off[1] and off[2]:
        alpha, sigma = off[2][0].alpha, off[2][0].sigma
        raise SettingError(
            f"its schedule has alpha {alpha:g} with sigma {sigma:g}, whose squares do not add up to 1; nor do all "
            "levels themselves, as a flow's"
        )


def _settings(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingError(f"its settings are {_shown(value)}; expected names with values")
    settings = cast("dict[str, Any]", value)
    leaves = list(_leaves(settings))
    if len(leaves) > MOST_SETTINGS:
        raise SettingError(f"its settings have {len(leaves)} numbers and texts; expected at most {MOST_SETTINGS}")
    for leaf in leaves:
        if isinstance(leaf, str):
            _text(leaf, "setting", least=0)
        elif not isinstance(leaf, bool) and leaf is not None:
            _number(leaf, "setting", least=-_LARGEST, most=_LARGEST)
    return settings


def _leaves(value: object, depth: int = 0) -> Iterable[object]:
    if depth > DEEPEST:
        raise SettingError(f"its settings have parts within parts; expected at most {DEEPEST} deep")
    match value:
        case dict():
            for name, each in cast("dict[str, object]", value).items():
                yield name
                yield from _leaves(each, depth + 1)
        case list():
            for each in cast("list[object]", value):
                yield from _leaves(each, depth + 1)
        case _:
            yield value


def _entries(value: object, what: str, names: tuple[str, ...]) -> dict[str, Any]:
    shown = _shown(value)
    if not isinstance(value, dict) or value.keys() != set(names):
        raise SettingError(f"its {what} is {shown}; expected {' and '.join(names)}, no more and no less")
    return cast("dict[str, Any]", value)


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"its {what} is {_shown(value)}; expected true or false")
    return value


def _text(value: object, what: str, *, least: int = 1) -> str:
    if not isinstance(value, str) or not least <= len(value.strip()) <= len(value) <= LONGEST:
        raise SettingError(f"its {what} is {_shown(value)}; expected a text of {least} to {LONGEST} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise SettingError(f"its {what} is {_shown(value)}, with half a character in it; expected a text")
    return value


def _match(value: object, what: str, pattern: str) -> str:
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise SettingError(f"its {what} is {_shown(value)}, which is none")
    return value


def _number(value: object, what: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"its {what} is {_shown(value)}; expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not least <= number <= most:
        bounds = f" from {least:g} to {most:g}" if math.isfinite(least) else ""
        raise SettingError(f"its {what} is {_shown(value)}; expected a finite number{bounds}")
    return number


def _shown(value: object) -> str:
    """A value as it may stand in a sentence."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
