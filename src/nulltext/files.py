"""Writing results so that a reader sees the old file, no file, or the whole new one, and never a part.

Only regular files are ever replaced. A link stays a link, and what it names is written. A device, a pipe or a socket is
refused, and so is a name at which there is something unless the caller asks to overwrite it: of several writers that
want one new name at once, one has it and the others are told.
"""

import os
import re
import secrets
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nulltext.errors import OutputError, OutputExistsError, OutputWriteError

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove a file that is open
    fcntl = None

ABANDONED_AFTER = 60.0
"""After how many seconds without a change a temporary file may be one that a killed process has left."""

_TEMPORARY = re.compile(r"\.nulltext-[0-9a-f]{16}\.part")
_KINDS = {
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
_swept: set[Path] = set()
"""Folders that this process has swept."""


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False, make_folder: bool = False) -> Path:
    """Says early, before hours of work, whether `path` can be written.

    Args:
        path: Where a result is to go.
        overwrite: Whether a file already there may be replaced.
        make_folder: Whether a folder that is not there will be made, so that it need only be possible to.

    Returns:
        The path.

    Raises:
        OutputExistsError: There is a file and `overwrite` is off.
        OutputWriteError: It is no regular file, or no name the system takes; or the folder it is to go into does not
            exist, cannot be made, or cannot be written to.
    """
    path = Path(path)
    with _refusals(f"cannot write {path}", "Choose another name."):
        _check(path, _followed(path), overwrite=overwrite, make_folder=make_folder)
    return path


def write_file(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> Path:
    """Writes a file in one piece: to a temporary name in the same folder, to the disk, then put in place.

    Whatever interrupts it (a full disk, Ctrl-C) leaves `path` as it was and no temporary file behind; what a killed
    process has left goes when the next one writes into that folder.

    Args:
        path: The file to write.
        data: Its content.
        overwrite: Whether a file already there may be replaced. The new one has its permissions.

    Returns:
        The path.

    Raises:
        OutputExistsError: There is a file and `overwrite` is off.
        OutputWriteError: It is no regular file, or the system refused: no space, no permission, no such folder.
    """
    with writing(path, overwrite=overwrite) as file:
        file.write(data)
    return Path(path)


@contextmanager
def writing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Generator[BinaryIO]:
    """A file to write piece by piece, put in place when the block ends, and removed when the block fails.

    Args:
        path: The file to write.
        overwrite: Whether a file already there may be replaced. The new one has its permissions.

    Yields:
        An open binary file.

    Raises:
        OutputExistsError: There is a file and `overwrite` is off.
        OutputWriteError: It is no regular file, or the system refused: no space, no permission, no such folder.
    """
    path = Path(path)
    advice = "Nothing was left behind; free some space or choose another folder, and try again."
    with _refusals(f"could not write {path}", advice):
        target = _followed(path)
        old = _check(path, target, overwrite=overwrite)
        _sweep_once(target.parent)
        # Without the file's name, which may be as long as can be.
        temporary = target.with_name(f".nulltext-{secrets.token_hex(8)}.part")
        try:
            with _create(
                temporary, 0o666 if old is None else 0o600
            ) as file:  # nobody reads what replaces a private one
                _lock(file)
                yield file
                file.flush()
                os.fsync(file.fileno())
                old = _check(path, target, overwrite=overwrite)  # somebody may have written it meanwhile
                if old is not None:
                    _give(temporary, old)
                if fcntl is None:
                    file.close()
                if old is not None or (overwrite and path == target):
                    temporary.replace(target)
                else:
                    _put_new(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def remove_abandoned(path: Path) -> bool:
    """Removes a temporary file of `writing` that a killed process has left; says whether it was one."""
    if _TEMPORARY.fullmatch(path.name) is None:
        return False
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < ABANDONED_AFTER:
            return False
        with path.open("r+b") as file:
            _lock(file, sure=True)  # refused as long as its writer lives
            path.unlink()
    except OSError:
        return False
    return True


@contextmanager
def _refusals(failed: str, advice: str) -> Generator[None]:
    """What the system answers, as a sentence."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputWriteError(f"{failed}: {error.strerror or error}. {advice}") from error


def _exists(named: str) -> str:
    return f"{named} is already there. Choose another name, or ask to overwrite it."


def _followed(path: Path) -> Path:
    """Where a link leads; any other path as it is."""
    if "\0" in str(path):
        raise OutputWriteError(f"cannot write {str(path)!r}: a name has no zero byte. Choose another name.")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _check(path: Path, target: Path, *, overwrite: bool, make_folder: bool = False) -> os.stat_result | None:
    """Whether `target`, which `path` leads to, can be written; what is there now, if something is."""
    named = f"{path}" if path == target else f"{path}, which leads to {target},"
    try:
        old = path.stat()  # not the target's: what /dev/stdout leads to has no name
    except (FileNotFoundError, NotADirectoryError):
        old = None
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise OutputWriteError(f"{named} is a folder; expected the name of a file to write. Give a file name in it.")
    if old is not None and not stat.S_ISREG(old.st_mode):
        kind = _KINDS.get(stat.S_IFMT(old.st_mode), "no regular file")
        raise OutputWriteError(f"{named} is {kind}; expected the name of a file to write. Choose another name.")
    if old is not None and not overwrite:
        raise OutputExistsError(_exists(named))
    folder = target.parent
    while make_folder and path == target and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.exists():
        raise OutputWriteError(f"cannot write {named}: there is no folder {folder}. Make it first.")
    if not folder.is_dir():
        raise OutputWriteError(f"cannot write {named}: {folder} is a file; expected a folder. Choose another.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputWriteError(f"cannot write {named}: no permission to write into {folder}. Choose another folder.")
    return old


def _create(path: Path, mode: int) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, mode), "wb")


def _lock(file: BinaryIO, *, sure: bool = False) -> None:
    """Marks a file as in use, as long as it is open; where a file system knows no locks its age must do."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if sure:
            raise


def _give(path: Path, old: os.stat_result) -> None:
    """Gives a file the owner, if this may be, and the permissions of the one that it will replace."""
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(path, old.st_uid, old.st_gid)
    path.chmod(stat.S_IMODE(old.st_mode) & 0o777)


def _put_new(temporary: Path, path: Path) -> None:
    """Renames a file to a name at which there must be none, in one step.

    Raises:
        OutputExistsError: There is one.
    """
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            _claim(temporary, path)
    except FileExistsError as error:
        raise OutputExistsError(_exists(f"{path}")) from error


def _claim(temporary: Path, path: Path) -> None:
    """The same where one step cannot do it: an empty file claims the name."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        temporary.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sweep_once(folder: Path) -> None:
    """Removes what killed processes have left in a folder; once in a process, since a folder may hold very many."""
    folder = Path(os.path.realpath(folder))
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            remove_abandoned(folder / entry.name)
