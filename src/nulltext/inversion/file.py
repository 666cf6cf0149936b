"""The inversion file: one ``.safetensors`` with tensors, and a record of where they come from as its text metadata.

| tensor         | type    | shape                                                                           |
|----------------|---------|---------------------------------------------------------------------------------|
| `pivot`        | float32 | [T+1, C, h, w], from z_T to z_0                                                 |
| `replay.nulls` | float32 | [T, L, D] null embeddings; absent if the method has none                        |
| `replay.cond`  | float32 | [L, D] in the source prompt's place; absent if the prompt's own is meant        |
| `replay.pooled`| float32 | [P] the pooled text beside the null embeddings; absent if the null text's is    |
| `image`        | uint8   | [H, W, 3] the fitted source                                                     |
| `surroundings` | uint8   | [bytes] a PNG of the photograph around it; absent if there is nothing around it |

In the metadata ``format``, ``format_version`` and ``digest`` (SHA-256 of all the rest) are plain text, all else is
JSON. Nothing is ever unpickled.

**Whatever changes how a file is read raises `FORMAT_VERSION`**, so that an older package refuses the new file and does
not read it wrongly: a new tensor or entry, one that goes, another meaning of one. Files of every version so far lie in
the tests, and are read.

| version | what came with it                                                                                        |
|---------|----------------------------------------------------------------------------------------------------------|
| 1       | the first; `held` came later, and where it is missing nothing is held                                    |
| 2       | `held` is always there; a score is null, not the word Infinity, where images are equal                 |
| 3       | `replay` says how the source is sampled again: `corrected` (before: `held`, which is "source"), `eta`    |
|         | and `source_guidance`; `nulls` and `cond` are its tensors; `caption` is `prompt`, `picture` is `image`;  |
|         | and `skip`, of methods that skip steps; `pooled`, of models that are told of such; and               |
|         | `negative_prompt`, and `additions` of the model, where there are such                                    |
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nulltext.decoding import header
from nulltext.errors import (
    DamagedFileError,
    FileVersionError,
    ForeignFileError,
    InversionFileNotFoundError,
    SettingError,
)
from nulltext.files import write_file
from nulltext.inversion.reading import quoted
from nulltext.inversion.record import ENTRIES, OPTIONAL_ENTRIES, read_record
from nulltext.inversion.replay import RECORD

FORMAT = "nulltext.inversion"
FORMAT_VERSION = 3

_TENSORS = {
    "pivot": (torch.float32, 4),
    "replay.nulls": (torch.float32, 3),
    "replay.cond": (torch.float32, 2),
    "replay.pooled": (torch.float32, 1),
    "image": (torch.uint8, 3),
    "surroundings": (torch.uint8, 1),
}
_OPTIONAL = ("replay.nulls", "replay.cond", "replay.pooled", "surroundings")
_BEFORE_3 = {"nulls": "replay.nulls", "cond": "replay.cond", "picture": "image"}
"""Tensors that had another name until version 2, and the name of each now."""
_PLAIN = ("format", "format_version", "digest")
SUFFIX = ".safetensors"
LONGEST_FAULT = 500
"""Characters of what is said of a damaged file, which may have a stranger's text in it."""
_HEAD = 2**16
"""So many bytes of a file tell what it is, if it is no inversion."""


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], record: Mapping[str, Any], *, overwrite: bool
) -> Path:
    """Writes an inversion file, whole or not at all.

    Args:
        path: Where to.
        tensors: By the names in this module's head.
        record: What JSON can hold.
        overwrite: Whether a file already there may be replaced.

    Raises:
        SettingError: The name does not end in ``.safetensors``, or `read` would not take the file.
        OutputExistsError: There is something and `overwrite` is off.
        OutputWriteError: Disk full, no permission, no such folder.
    """
    if Path(path).suffix.casefold() != SUFFIX:
        raise SettingError(f"got {path}; expected an inversion file's name, ending in {SUFFIX}. Rename it.")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    try:
        entries = {key: json.dumps(value, ensure_ascii=False, allow_nan=False) for key, value in record.items()}
        read_record({key: json.loads(value) for key, value in entries.items()}, whole)
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(f"this inversion cannot be kept: {error}. Expected one as a method makes it.") from error
    metadata |= entries
    metadata["digest"] = digest(whole, metadata)
    return write_file(path, save(whole, metadata), overwrite=overwrite)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads an inversion file and checks its tensors.

    Returns:
        The tensors, on the CPU, and the record.

    Raises:
        InversionFileNotFoundError: There is no such file.
        DamagedFileError: It is truncated or altered, or no .safetensors at all.
        ForeignFileError: It holds something else.
        FileVersionError: It was written in a format this version does not read.
    """
    path = Path(path)
    try:
        there = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
        what = None if path.is_file() else there
    except OSError as error:  # a name longer than the system takes
        what = f"cannot be looked up ({error.strerror})"
    if what is not None:
        raise InversionFileNotFoundError(f"{path} {what}; expected an inversion file (.safetensors). Check the path.")
    try:
        opened: Any = safe_open(path, framework="pt", device="cpu")  # safetensors carries no types
        with opened as file:
            metadata: dict[str, str] = file.metadata() or {}
            _check_format(path, metadata)
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        if _is_image(path):
            raise ForeignFileError(
                f"{path} is an image; expected an inversion file (.safetensors). Invert it first: nulltext invert "
                f'{path.name} "what it shows".'
            ) from error
        raise damaged(path, f"it is truncated or no .safetensors ({error})") from error
    if metadata.get("digest") != digest(tensors, metadata):
        raise damaged(path, "its content does not match the digest written with it")
    if metadata["format_version"] in {"1", "2"}:
        if early := sorted(tensors.keys() & set(_BEFORE_3.values())):
            raise damaged(path, f"it has tensors that do not belong there: {early}")
        tensors = {_BEFORE_3.get(name, name): tensor for name, tensor in tensors.items()}
    _check_tensors(path, tensors)
    return tensors, _read_entries(path, metadata)


def _is_image(path: Path) -> bool:
    """Whether a file that is no inversion is an image, by its head."""
    try:
        with path.open("rb") as file:
            header(file.read(_HEAD))
    except (OSError, ValueError):  # whatever else it is
        return False
    return True


def _read_entries(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The record, as one of the newest version."""
    try:
        _read_json(_header(path))  # a name that is given twice there is read in one way here and in another elsewhere
        record = {key: _read_json(value) for key, value in metadata.items() if key not in _PLAIN}
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its record is not JSON ({error})") from error
    if metadata["format_version"] == "1":
        record = _as_version_2(record)
    if metadata["format_version"] in {"1", "2"}:
        record = _as_version_3(path, record)
    if wrong := record.keys() - OPTIONAL_ENTRIES ^ ENTRIES:
        raise damaged(path, f"its record lacks or should not have {sorted(wrong)}")
    return record


def checked(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_record` makes of a file's record.

    Raises:
        DamagedFileError: Something in it is not as it must be.
    """
    try:
        return read_record(record, tensors)
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(path, f"its record is altered: {error}".rstrip(".")) from error


def _header(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(int.from_bytes(file.read(8), "little")).decode()


def _read_json(text: str) -> Any:  # noqa: ANN401  whatever JSON can hold
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError(f"a name in it is given twice, of {', '.join(name for name, _ in pairs)}")
    return read


_SETTINGS_BEFORE_3 = {"constants": "descent", "closing_steps": "sequential_steps"}


def _as_version_2(record: dict[str, Any]) -> dict[str, Any]:
    read: object = record.get("scores")
    scores = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    equal = {name: None if score == math.inf else score for name, score in scores.items()}
    return {"held": False, **record} | ({"scores": equal} if scores else {})


def _as_version_3(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    before = ENTRIES - {"prompt", "replay"} | {"caption", "held"}
    if record.keys() != before:
        raise damaged(path, f"its record lacks or should not have {sorted(record.keys() ^ before)}")
    rest = {name: value for name, value in record.items() if name not in {"caption", "held"}}
    corrected = record["held"]
    if not isinstance(corrected, bool):
        raise damaged(path, f"its held is {quoted(corrected)}; expected true or false")
    settings: object = record["settings"]
    if isinstance(settings, dict):
        own = cast("dict[str, Any]", settings)
        rest["settings"] = {_SETTINGS_BEFORE_3.get(name, name): value for name, value in own.items()}
    if record["method"] == "OpenLoop":
        rest["method"] = "ParallelNullText"
    return rest | {"prompt": record["caption"], "replay": RECORD | {"corrected": "source" if corrected else "nobody"}}


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    found, version = metadata.get("format"), metadata.get("format_version")
    if found != FORMAT:
        raise ForeignFileError(
            f"{path} is a .safetensors file but holds no inversion (format {(found or 'none')[:40]!r}); expected "
            f"{FORMAT!r}. Give a file that `Inversion.save` wrote."
        )
    if version not in {str(known) for known in range(1, FORMAT_VERSION + 1)}:
        newer = re.fullmatch(r"[1-9]\d{0,8}", version or "") is not None
        raise FileVersionError(
            f"{path} has format version {(version or 'none')[:20]!r}"
            + (", so it was written by a newer package" if newer else "")
            + f"; this one reads versions up to {FORMAT_VERSION}. "
            f"Use the package version that wrote it ({metadata.get('version', 'unknown')[:100]}), or invert the "
            "image again."
        )


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name in _TENSORS:
        if name in tensors:
            _check_tensor(path, name, tensors[name])
        elif name not in _OPTIONAL:
            raise damaged(path, f"it has the tensors {sorted(tensors)}, without {name!r}")
    if unknown := sorted(tensors.keys() - _TENSORS.keys()):
        raise damaged(path, f"it has tensors that do not belong there: {unknown}")


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    dtype, axes = _TENSORS[name]
    if tensor.dtype != dtype or tensor.ndim != axes or tensor.numel() == 0:
        raise damaged(
            path, f"{name!r} is {tensor.dtype} with shape {list(tensor.shape)}; expected {dtype} with {axes} axes"
        )
    if not torch.isfinite(tensor).all():
        raise damaged(path, f"{name!r} has values that are not finite numbers")


def damaged(path: str | os.PathLike[str], what: str) -> DamagedFileError:
    """The error for a file in which something is wrong."""
    quoted = what if len(what) <= LONGEST_FAULT else f"{what[:LONGEST_FAULT]}…"
    return DamagedFileError(
        f"{path} is no sound inversion file: {quoted}. Copy it again from where it came, or invert the image again."
    )


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over everything in a file but the digest itself."""
    total = hashlib.sha256()
    for key in sorted(metadata.keys() - {"digest"}):
        total.update(f"{key}\0{metadata[key]}\0".encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
