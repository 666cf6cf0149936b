"""Inversions kept on disk to be found again; each with a note that is held against what is asked for."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from nulltext.errors import InversionFileError
from nulltext.files import write_file
from nulltext.inversion.base import Inversion


def note_of(path: Path) -> Path:
    """Where the note of an inversion's file is."""
    return path.with_suffix(".json")


def write(path: Path, key: Sequence[object], inversion: Inversion, losses: Sequence[float]) -> None:
    """Keeps an inversion.

    Args:
        path: Where.
        key: All that it depends on.
        inversion: It.
        losses: The objective after every step that has one.

    Raises:
        OutputWriteError: The system refused.
    """
    inversion.save(path, overwrite=True)
    note = {"key": _plain(key), "sha256": _digest(path), "losses": list(losses)}
    write_file(note_of(path), json.dumps(note).encode(), overwrite=True)


def read(path: Path, key: Sequence[object]) -> tuple[Inversion, list[float]] | None:
    """An inversion that was kept and its losses; None if it is not there, damaged, or another than is asked for."""
    try:
        note: Any = json.loads(note_of(path).read_bytes())
        if not isinstance(note, dict):
            return None
        record = cast("dict[str, Any]", note)
        if record.get("key") != _plain(key) or record.get("sha256") != _digest(path):
            return None
        inversion, losses = Inversion.load(path), [float(loss) for loss in record["losses"]]
        for file in (path, note_of(path)):
            file.touch()
    except (InversionFileError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return inversion, losses


def _plain(key: Sequence[object]) -> Any:  # noqa: ANN401  as JSON gives it back
    return json.loads(json.dumps(key, default=repr))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
