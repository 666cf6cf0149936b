"""The inversion file: one ``.safetensors`` with tensors, and a record of where they come from as its text metadata.

| tensor         | type    | shape                                                                           |
|----------------|---------|---------------------------------------------------------------------------------|
| `pivot`        | float32 | [T+1, C, h, w], from z_T to z_0                                                 |
| `nulls`        | float32 | [T, L, D]; absent if the method has none                                        |
| `cond`         | float32 | [L, D] in the source caption's place; absent if the caption's own is meant      |
| `picture`      | uint8   | [H, W, 3] the fitted source                                                     |
| `surroundings` | uint8   | [bytes] a PNG of the photograph around it; absent if there is nothing around it |

In the metadata ``format``, ``format_version`` and ``digest`` (SHA-256 of all the rest) are plain text, all else is
JSON. Nothing is ever unpickled.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nulltext.errors import DamagedFileError, FileVersionError, ForeignFileError, InversionFileNotFoundError
from nulltext.files import write_file

FORMAT = "nulltext.inversion"
FORMAT_VERSION = 1

_TENSORS = {
    "pivot": (torch.float32, 4),
    "nulls": (torch.float32, 3),
    "cond": (torch.float32, 2),
    "picture": (torch.uint8, 3),
    "surroundings": (torch.uint8, 1),
}
_OPTIONAL = ("nulls", "cond", "surroundings")
_PLAIN = ("format", "format_version", "digest")


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
        OutputExistsError: There is something and `overwrite` is off.
        OutputWriteError: Disk full, no permission, no such folder.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    metadata |= {key: json.dumps(value, ensure_ascii=False) for key, value in record.items()}
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
        what = None if path.is_file() else "is a folder" if path.is_dir() else "does not exist"
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
        raise damaged(path, f"it is truncated or no .safetensors ({error})") from error
    for name in _TENSORS:
        if name in tensors:
            _check_tensor(path, name, tensors[name])
        elif name not in _OPTIONAL:
            raise damaged(path, f"it has the tensors {sorted(tensors)}, without {name!r}")
    if unknown := sorted(tensors.keys() - _TENSORS.keys()):
        raise damaged(path, f"it has tensors that do not belong there: {unknown}")
    if metadata.get("digest") != digest(tensors, metadata):
        raise damaged(path, "its content does not match the digest written with it")
    try:
        record = {key: json.loads(value) for key, value in metadata.items() if key not in _PLAIN}
    except ValueError as error:
        raise damaged(path, f"its record is not JSON ({error})") from error
    return tensors, record


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    found, version = metadata.get("format"), metadata.get("format_version")
    if found != FORMAT:
        raise ForeignFileError(
            f"{path} is a .safetensors file but holds no inversion (format {found!r}); expected {FORMAT!r}. Give a "
            "file that `Inversion.save` wrote."
        )
    if version != str(FORMAT_VERSION):
        raise FileVersionError(
            f"{path} has format version {version!r}; this package reads {FORMAT_VERSION}. Use the package version that "
            f"wrote it ({metadata.get('version')}), or invert the picture again."
        )


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
    return DamagedFileError(
        f"{path} is no sound inversion file: {what}. Copy it again from where it came, or invert the picture again."
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
