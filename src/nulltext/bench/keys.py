"""The key of a kept row: a digest of everything that the row depends on, files and networks by their content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nulltext import __version__
from nulltext.bench.candidate import Candidate, Measure
from nulltext.bench.case import IN_KEY, Case
from nulltext.models.base import Model
from nulltext.models.precision import precision_of, rounding_of

FORMAT: Final = 2
"""Of the rows and of the files they are kept in; another one makes every row again."""
LIBRARIES: Final = ("torch", "diffusers", "transformers")
_ALL_LIBRARIES: Final = (*LIBRARIES, "numpy", "pillow", "scikit-image", "torchmetrics", "torchvision")
"""Those that have a part in an image or a figure."""


def digest(value: object) -> str:
    """64 hexadecimal digits that tell a value from any other."""
    return hashlib.sha256(json.dumps(described(value), sort_keys=True).encode()).hexdigest()


def key_of(group: Sequence[Case], candidate: Candidate, about: Mapping[str, object]) -> str:
    """The key of a candidate's rows of one image and its cases; `about` is `about_run`."""
    return digest([about, group, [_resolved(candidate, case) for case in group]])


def about_run(model: Model, measures: Mapping[str, Measure]) -> Mapping[str, object]:
    """What all rows of a run depend on: the model and where it computes, the measures, the versions."""
    cuda = model.device.type == "cuda"
    return {
        "format": FORMAT,
        "versions": {"nulltext": __version__} | {library: installed(library) for library in _ALL_LIBRARIES},
        "model": model.identity,
        "size": model.default_size,
        "recommended": model.recommended,
        "precision": (precision_of(model), rounding_of(model)),
        "device": torch.cuda.get_device_name(model.device) if cuda else model.device.type,
        "measures": measures,
    }


def installed(library: str) -> str:
    """The version of a library; "" where it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def instruments(measures: Mapping[str, Measure]) -> list[str]:
    """The networks that measures ask, as they call themselves, each once."""
    given = [
        each for measure in measures.values() if isinstance(measure, partial) for each in measure.keywords.values()
    ]
    return sorted({str(each) for each in given if _names_itself(each)})


def described(value: object) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912  JSON; one line for every kind of value
    """A value as JSON that changes with everything in it: a dataclass with all its fields, a file by its content.

    Raises:
        TypeError: There is no telling what is in it. Give its class a ``__repr__`` that says.
        OSError: A file cannot be read.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return repr(value)
        case bytes():
            return hashlib.sha256(value).hexdigest()
        case Path():
            return ["file", described(value.read_bytes())]
        case Image.Image():
            return _image(value)
        case Tensor():
            array = value.detach().cpu().contiguous()
            return [
                str(array.dtype),
                list(array.shape),
                described(array.reshape(-1).view(torch.uint8).numpy().tobytes()),
            ]
        case np.ndarray():
            return [str(value.dtype), list(value.shape), described(value.tobytes())]
        case partial():
            return [described(each) for each in (value.func, value.args, value.keywords)]
        case Mapping():
            return {str(key): described(each) for key, each in cast("Mapping[object, object]", value).items()}
        case AbstractSet():
            return sorted(json.dumps(described(each)) for each in cast("AbstractSet[object]", value))
        case Sequence():
            return [described(each) for each in cast("Sequence[object]", value)]
        case type() | FunctionType() | BuiltinFunctionType() | MethodType():
            return f"{value.__module__}.{value.__qualname__}"
        case _ if is_dataclass(value):
            entries = {
                own.name: described(getattr(value, own.name)) for own in fields(value) if own.metadata.get(IN_KEY, True)
            }
            return [described(type(value)), entries]
        case _ if _names_itself(value):
            return repr(value)
        case _:
            raise TypeError(f"got a {type(value).__qualname__}, of which nothing is known but where it lies in memory.")


def _image(image: Image.Image) -> list[object]:
    """All of an image that is read: its pixels, and what says how they are meant."""
    meant = [repr(image.info.get(name)) for name in ("icc_profile", "transparency")]
    palette = described(image.getpalette())
    return [image.mode, list(image.size), described(image.tobytes()), palette, meant, repr(dict(image.getexif()))]


def _names_itself(value: object) -> bool:
    """Whether it is an object whose class says which one it is: a network by the digest of its weights."""
    kind = type(value)
    return kind.__repr__ is not object.__repr__ and kind.__module__ != "builtins" and not is_dataclass(value)


def _resolved(candidate: Candidate, case: Case) -> Mapping[str, object]:
    """All fields of a candidate; what it chooses by the case is what it chooses for this one."""
    given = {own.name: getattr(candidate, own.name) for own in fields(candidate)}
    return {name: each(case) if callable(each) else each for name, each in given.items()}
