"""A folder of results: whether it is one of a batch, and who is at work there."""

import re
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Final

from nulltext.batch.storage import Storage, within
from nulltext.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MARK: Final = ".nulltext-batch"
"""Stands in a folder of results; what lies in `WRITTEN` there is a batch's own, and may be replaced."""
WRITTEN: Final = ("images", "inversions", "results")
_LOCK: Final = re.compile(r"\.lock-\d+of(\d+)")


@contextmanager
def taken(out: Storage, at: int, of: int) -> Generator[None]:
    """A folder of results for one part of a batch, whose own it is, and where no other run does the same rows.

    Args:
        out: The folder; made if there is none.
        at: Which part this is, from 1.
        of: How many parts there are.

    Raises:
        OutputError: Another run is at work there, it holds files that no batch made, or nothing can be written there.
    """
    with ExitStack() as held:
        if out.local is not None:
            _make(out.local)
            if fcntl is not None:
                _lock(out.local, at, of, held)
        claim(out)
        yield


def claim(out: Storage) -> None:
    """Marks a folder as a batch's.

    Raises:
        OutputError: It holds files that no batch made, where this one would write; or it cannot be written.
    """
    if out.stamp(MARK):
        out.check()
        return
    for folder in WRITTEN:
        if found := next(iter(out.names(folder)), None):
            raise OutputError(
                f"{out.public} has {found}, which no batch made; expected an empty folder, or that of an earlier "
                "batch. Give another with -o."
            )
    if out.stamp("report.html"):
        raise OutputError(f"{out.public} has a report.html, which no batch made. Give another folder with -o.")
    out.write(MARK, b"Results of nulltext batch; images/, inversions/ and results/ here are its own.\n")


def _make(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"got {folder} for the results, which is a file; expected a folder. Give another with -o.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}. Choose another.") from error


def _lock(folder: Path, at: int, of: int, held: ExitStack) -> None:
    """Keeps others from the rows of a part: from the same part, and from all parts where they are split otherwise."""
    busy = OutputError(
        f"another run is at work in {folder}; expected a folder of its own. Wait for it, or give each its shard."
    )
    with closing(_open(folder / ".lock")) as gate:  # held for the moment in which the others are looked at
        _flock(gate, wait=True)
        for path in folder.glob(".lock-*of*"):
            match = _LOCK.fullmatch(path.name)
            if match is None or int(match[1]) == of:
                continue
            with closing(_open(path)) as other:
                if not _flock(other):
                    raise busy
        mine = held.enter_context(closing(_open(folder / f".lock-{at}of{of}")))
        if not _flock(mine):
            raise busy


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as error:
        raise OutputError(f"cannot write into {path.parent}: {error.strerror}. Choose another folder.") from error


def _flock(file: IO[bytes], *, wait: bool = False) -> bool:
    assert fcntl is not None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def inside(out: Storage, where: str) -> bool:
    """Whether a file lies where a batch writes into its folder of results."""
    return any(within(where, out.at(folder)) for folder in WRITTEN)
