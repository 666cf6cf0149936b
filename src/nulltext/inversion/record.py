"""The record of an inversion file, read as a stranger's: each entry has its type and its range, and they agree.

Who alters a file can write a new digest, too. So what is read is held against the rest of the record and against the
tensors: steps, guidance, method, schedule, sizes. What nothing else in the file tells, a prompt say, cannot be seen.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final, cast, get_args

import torch
from torch import Tensor

from nulltext.diffusion.levels import Interval, NoiseLevel
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError
from nulltext.images import Frame
from nulltext.inversion.reading import (
    quoted,
    read_choice,
    read_entries,
    read_match,
    read_number,
    read_text,
)
from nulltext.inversion.replay import RECORD, Corrected, Replay, ReplayForm
from nulltext.inversion.table import INVERTERS
from nulltext.models.base import Addition, ModelIdentity
from nulltext.tables import word_of

MOST_ADDITIONS = 100
"""LoRAs and learnt words of a model."""
MOST_SETTINGS, DEEPEST = 200, 10
"""Numbers and texts in the settings of a method, those of its parts included, and parts within parts."""
LAST_TIME = 1_000_000.0
"""Above every time that a network is given."""
HIGHEST_PSNR = 1_000.0
"""In decibels, above what float64 can tell from equal images."""
_LARGEST = 2.0**64
"""Of a setting, seeds among them."""
_ROUNDING = 1e-4
"""How far alpha² + sigma² may be from 1, or a flow's alpha + sigma: roots are float32's, of a machine that may round in
its own way."""

GENERATED: Final = "generate"
"""What stands for a method where nothing was inverted: the trajectory is the one that an image was generated along."""

ENTRIES: Final = frozenset(
    {"prompt", "replay", "guidance", "method", "settings", "schedule", "model", "frame", "sha256", "scores", "version"}
)
"""What the record holds."""
OPTIONAL_ENTRIES: Final = frozenset({"negative_prompt"})
"""What it holds besides where there is such: an older package refuses the file, and does not edit by the null text."""


def write_record(inversion: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the record of an inversion, given by its fields."""
    replay, frame = inversion["replay"], inversion["frame"]
    tensors = {"pivot": inversion["pivot"], "image": inversion["image"]}
    tensors |= {f"replay.{name}": tensor for name, tensor in replay.tensors().items()}
    if frame.surroundings is not None:
        tensors["surroundings"] = torch.frombuffer(bytearray(frame.surroundings), dtype=torch.uint8)
    scores = asdict(inversion["scores"])
    return tensors, {
        "prompt": inversion["prompt"],
        **({"negative_prompt": inversion["negative_prompt"]} if inversion["negative_prompt"] else {}),
        "replay": replay.record(),
        "guidance": inversion["guidance"],
        "method": inversion["method"],
        "settings": dict(inversion["settings"]),
        "schedule": [asdict(interval) for interval in inversion["schedule"]],
        "model": {name: value for name, value in asdict(inversion["model"]).items() if name != "additions" or value},
        "frame": frame.record(),
        "sha256": inversion["sha256"],
        "scores": {name: score if math.isfinite(score) else None for name, score in scores.items()},
        "version": inversion["version"],
    }


def read_record(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of an `Inversion`, its scores still as a mapping.

    Args:
        record: As `nulltext.inversion.file.read` gives it.
        tensors: Those of the same file.

    Raises:
        SettingError: Something in it has another type, is out of range, or does not go with the rest; says what.
    """
    surroundings = tensors.get("surroundings")
    found: dict[str, Any] = {
        "prompt": read_text(record["prompt"], "prompt"),
        "negative_prompt": read_text(record.get("negative_prompt", ""), "negative prompt", least=0),
        "pivot": tensors["pivot"],
        "guidance": read_number(record["guidance"], "guidance"),
        "method": read_match(record["method"], "method", r"[^\W\d]\w{0,99}"),
        "settings": _settings(record["settings"]),
        "schedule": _schedule(record["schedule"]),
        "model": _model(record["model"]),
        "image": tensors["image"],
        "frame": Frame.read(record["frame"], None if surroundings is None else surroundings.numpy().tobytes()),
        "sha256": read_match(record["sha256"], "sha256", r"[0-9a-f]{64}"),
        "scores": {
            name: math.inf if value is None else read_number(value, name, least=0.0, most=HIGHEST_PSNR)
            for name, value in read_entries(record["scores"], "scores", ("vae_psnr", "psnr")).items()
        },
        "version": read_match(record["version"], "version", r"[\w.+!-]{1,100}"),
    }
    _check_shapes(tensors, len(found["schedule"]), found["frame"])
    found["replay"] = _replay(record["replay"], tensors)
    _check_method(found)
    return found


def _model(value: object) -> ModelIdentity:
    """Which model it is: what was added to it is there if something was."""
    entries = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    has = ("additions",) if "additions" in entries else ()
    own = read_entries(cast("object", value), "model", ("id", "revision", *has))
    added: object = own.get("additions")
    listed = cast("list[object]", added) if isinstance(added, list) else []
    if has and not 0 < len(listed) <= MOST_ADDITIONS:
        raise SettingError(f"its model's additions are {quoted(own['additions'])}; expected 1 to {MOST_ADDITIONS}")
    names = {name: read_text(own[name], f"model {name}") for name in ("id", "revision")}
    return ModelIdentity(**names, additions=tuple(_addition(each) for each in listed))


def _addition(value: object) -> Addition:
    own = read_entries(value, "model's addition", ("kind", "name", "digest", "weight"))
    return Addition(
        kind=read_choice(own["kind"], "addition's kind", ("lora", "vae", "embedding", "chunks")),
        name=read_text(own["name"], "addition's name"),
        digest=read_match(own["digest"], "addition's digest", r"sha256:[0-9a-f]{64}"),
        weight=read_number(own["weight"], "addition's weight"),
    )


def _replay(value: object, tensors: Mapping[str, Tensor]) -> Replay:
    plain, scale = read_entries(value, "replay", _names(value)), None
    if plain["source_guidance"] is not None:
        scale = read_number(plain["source_guidance"], "replay's source_guidance")
    own = {
        "corrected": read_choice(plain["corrected"], "replay's corrected", get_args(Corrected)),
        "eta": read_number(plain["eta"], "replay's eta", least=0.0, most=1.0),
        "source_guidance": scale,
        "skip": read_number(plain.get("skip", 0.0), "replay's skip", least=0.0, most=1.0),
    }
    parts = {name.removeprefix("replay."): each for name, each in tensors.items() if name.startswith("replay.")}
    return Replay.read(own, parts)


def _names(value: object) -> tuple[str, ...]:
    """What the record of a replay has to have: `skip` is there if steps are skipped, which most methods do not."""
    return (*RECORD, "skip") if isinstance(value, dict) and "skip" in value else tuple(RECORD)


def _check_shapes(tensors: Mapping[str, Tensor], steps: int, frame: Frame) -> None:
    pivot, nulls, cond = tensors["pivot"], tensors.get("replay.nulls"), tensors.get("replay.cond")
    (height, width), (rows, columns) = frame.fitted, pivot.shape[2:]
    if not (
        pivot.shape[0] == steps + 1
        and (nulls is None or nulls.shape[0] == steps)
        and (nulls is None or cond is None or nulls.shape[1:] == cond.shape)
        and tensors["image"].shape == (height, width, 3)
        and height % rows == width % columns == 0
        and height // rows == width // columns
    ):
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise SettingError(f"its record has {steps} steps and an image of {width} x {height}, with the shapes {shapes}")


def form_of(method: str) -> ReplayForm | None:
    """What the replays of a method of the package have; None of anybody else's."""
    if method == GENERATED:
        return ReplayForm()
    word = word_of(INVERTERS, method)
    return None if word is None else INVERTERS[word].load().replays


def _check_method(found: Mapping[str, Any]) -> None:
    method, settings, form = found["method"], found["settings"], found["replay"].form
    expected = form_of(method)
    if expected is not None and form != expected:
        raise SettingError(f"a file of {method} has {expected}; this one has {form}")
    required: dict[str, Any] = {"guidance": found["guidance"]}
    if expected is not None:  # what is called so in somebody's own method may be something else
        required["steps"] = len(found["schedule"])
        if "skip" in settings or found["replay"].skip:
            required["skip"] = found["replay"].skip
    if method == GENERATED:
        required["size"] = list(found["frame"].fitted)
    if expected is not None and ("negative_prompt" in settings or found["negative_prompt"]):
        required["negative_prompt"] = found["negative_prompt"]
    for name, value in required.items():
        if (expected is not None or name in settings) and settings.get(name) != value:
            raise SettingError(
                f"its settings have {name} {quoted(settings.get(name))}, and the rest of it has {value!r}"
            )


def _schedule(value: object) -> Schedule:
    shown = quoted(value)
    if not isinstance(value, list) or not value:
        raise SettingError(f"its schedule is {shown}, which has 0 steps; expected a list of at least one")
    steps = [_interval(step) for step in cast("list[object]", value)]
    for before, after in pairwise(steps):
        if not after.t < before.t or after.noisy.alpha < before.noisy.alpha or after.clean.alpha < before.clean.alpha:
            raise SettingError(f"its schedule goes from time {before.t:g} to {after.t:g} and not from noise to image")
    _check_levels(steps)
    return Schedule(tuple(steps))


def _interval(value: object) -> Interval:
    step = read_entries(value, "schedule's step", ("t", "noisy", "clean"))
    noisy, clean = _level(step["noisy"]), _level(step["clean"])
    if noisy.alpha > clean.alpha:
        raise SettingError(f"its schedule has a step from alpha {noisy.alpha:g} to {clean.alpha:g}, towards noise")
    return Interval(read_number(step["t"], "schedule's time", least=0.0, most=LAST_TIME), noisy, clean)


def _level(value: object) -> NoiseLevel:
    numbers = read_entries(value, "schedule's level", ("alpha", "sigma"))
    alpha, sigma = (read_number(numbers[name], name, least=0.0, most=1.0) for name in ("alpha", "sigma"))
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
        raise SettingError(f"its settings are {quoted(value)}; expected names with values")
    settings = cast("dict[str, Any]", value)
    leaves = list(_leaves(settings))
    if len(leaves) > MOST_SETTINGS:
        raise SettingError(f"its settings have {len(leaves)} numbers and texts; expected at most {MOST_SETTINGS}")
    for leaf in leaves:
        if isinstance(leaf, str):
            read_text(leaf, "setting", least=0)
        elif not isinstance(leaf, bool) and leaf is not None:
            read_number(leaf, "setting", least=-_LARGEST, most=_LARGEST)
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
