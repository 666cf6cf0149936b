"""Writing results so that a reader sees the old file, no file, or the whole new one, and never a part."""

import os
import secrets
from pathlib import Path

from nulltext.errors import OutputError, OutputExistsError, OutputWriteError


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
        OutputWriteError: It is a folder, or no name the system takes; or the folder it is to go into does not exist,
            cannot be made, or cannot be written to.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise OutputWriteError(f"{path} is a folder; expected the name of a file to write. Give a file name in it.")
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} is already there. Choose another name, or ask to overwrite it.")
        folder = path.parent
        while make_folder and not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.exists():
            raise OutputWriteError(f"cannot write {path}: there is no folder {folder}. Make it first.")
        if not folder.is_dir():
            raise OutputWriteError(f"cannot write {path}: {folder} is a file; expected a folder. Choose another.")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputWriteError(f"cannot write {path}: {error.strerror or error}. Choose another name.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputWriteError(f"cannot write {path}: no permission to write into {folder}. Choose another folder.")
    return path


def write_file(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> Path:
    """Writes a file in one piece: to a temporary name in the same folder, to the disk, then renamed into place.

    Whatever interrupts it (a full disk, Ctrl-C) leaves `path` as it was and no temporary file behind.

    Args:
        path: The file to write.
        data: Its content.
        overwrite: Whether a file already there may be replaced.

    Returns:
        The path.

    Raises:
        OutputExistsError: There is a file and `overwrite` is off.
        OutputWriteError: It is a folder, or the system refused: no space, no permission, no such folder.
    """
    path = check_output(path, overwrite=overwrite)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # without its name, which may be as long as can be
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        check_output(path, overwrite=overwrite)  # somebody may have written it meanwhile
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputWriteError(
            f"could not write {path} ({len(data)} bytes): {error.strerror or error}. "
            "Nothing was left behind; free some space or choose another folder, and try again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
