"""Files of tensors: which they hold, and the tensors, of pickled files without running anything."""

import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from nulltext.errors import ModelLoadError

SAFE: Final = ".safetensors"
_LFS: Final = b"version https://git-lfs"


@dataclass(frozen=True)
class TensorFile:
    """What a checkpoint file holds.

    Attributes:
        path: Where it is.
        shapes: The name and shape of every tensor.
        metadata: The text beside them, of a .safetensors.
        read: The tensors whose names begin with one of some prefixes.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    read: Callable[[tuple[str, ...]], dict[str, torch.Tensor]]


def open_tensors(path: Path) -> TensorFile:
    """The names and shapes of a file's tensors; the tensors are read when they are asked for.

    Raises:
        ModelLoadError: It is damaged, is no such file, or holds pickled objects that cannot be left aside.
    """
    _check_beginning(path)
    return _open_safe(path) if path.suffix == SAFE else _open_pickled(path)


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor of a file.

    Raises:
        ModelLoadError: As `open_tensors` does.
    """
    return dict(open_tensors(path).shapes)


def _check_beginning(path: Path) -> None:
    """Tells files that are no checkpoint at all from damaged ones."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    if not start:
        raise ModelLoadError(f"{path} is empty: its download failed, or the disk was full. Fetch it again.")
    if start.startswith(_LFS):
        raise ModelLoadError(
            f"{path} is a git LFS pointer, not the weights it stands for. Run 'git lfs pull' in its folder, or "
            "download the file itself."
        )
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ModelLoadError(
            f"{path} is a web page, saved under the name of a checkpoint: the link led to a page, or asked to log in. "
            "Download the file itself."
        )
    if text.startswith((b'{"error', b'{"message', b"invalid username", b"entry not found", b"access to model")):
        raise ModelLoadError(
            f"{path} holds a server's answer ({start[:80].decode(errors='replace').strip()!r}) instead of weights. "
            "Download the file again, logged in where it is gated."
        )


def _open_safe(path: Path) -> TensorFile:
    try:
        opened: Any = safe_open(path, framework="pt")  # safetensors carries no types
        with opened as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  safe_open has no iterator
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            begins = file.read(9)[8:] == b"{"  # after the length of its head
        if begins:
            raise ModelLoadError(
                f"{path} is damaged, or cut short at {path.stat().st_size} bytes, its download interrupted: {error}. "
                "Fetch it again."
            ) from error
        raise ModelLoadError(f"{path} is no .safetensors file, or a damaged one: {error}. Fetch it again.") from error

    def read(prefixes: tuple[str, ...]) -> dict[str, torch.Tensor]:
        again: Any = safe_open(path, framework="pt")
        with again as file:
            return {name: file.get_tensor(name) for name in shapes if name.startswith(prefixes)}

    return TensorFile(path, shapes, metadata, read)


def _open_pickled(path: Path) -> TensorFile:
    state: Any = _unpickle(path)
    while isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ModelLoadError(f"{path} holds a {type(state).__name__}; expected a checkpoint: tensors by their names.")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}

    def read(prefixes: tuple[str, ...]) -> dict[str, torch.Tensor]:
        return {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}

    return TensorFile(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, {}, read)


def _unpickle(path: Path) -> object:
    """What a pickled file holds, read by torch's unpickler, which knows tensors and plain values and nothing else.

    Programs that train leave objects of their own beside the tensors. Each kind is replaced by a stand-in that does
    nothing, so that no code which the file names is looked up, let alone run.
    """
    is_zip = zipfile.is_zipfile(path)
    try:
        foreign = get_unsafe_globals_in_checkpoint(str(path)) if is_zip else []
        with safe_globals([(_stand_in(name), name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # a damaged pickle raises anything
        if is_zip and _is_pickled(path) and isinstance(error, (UnpicklingError, TypeError, ValueError, AttributeError)):
            raise ModelLoadError(_HOLDS_OBJECTS.format(path=path)) from error
        if isinstance(error, UnpicklingError) and "GLOBAL" in str(error):
            raise ModelLoadError(_HOLDS_OBJECTS.format(path=path)) from error
        if not is_zip and path.read_bytes()[:2] == b"PK":
            raise ModelLoadError(
                f"{path} is cut short at {path.stat().st_size} bytes: its download was interrupted. Fetch it again."
            ) from error
        raise ModelLoadError(
            f"{path} is no .ckpt file, or a damaged one. Fetch it again; if it is a .safetensors, name it so."
        ) from error


_HOLDS_OBJECTS: Final = (
    "{path} holds pickled objects beside its tensors, of a kind that is not opened: they could run anything. If you "
    "trust where it comes from, convert it to .safetensors with the program that made it."
)


def _stand_in(name: str) -> type[Any]:
    """A class under a foreign name whose instances are empty and take any arguments, items and state."""

    def new(_cls: type[Any], *_given: object) -> OrderedDict[str, Any]:
        return OrderedDict()

    # torch fills in the items and the attributes of this one kind of object.
    return type(name.rsplit(".", 1)[-1], (), {"__new__": new})


def _is_pickled(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())
