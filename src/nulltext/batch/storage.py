"""Files by path or by address: this machine's disk, ``s3://``, ``gs://``, and http for reading."""

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from nulltext.batch.arrow import fs
from nulltext.decoding import read_bytes
from nulltext.errors import ImageDecodeError, ImageNotFoundError, ImageTooLargeError, OutputWriteError, shown
from nulltext.fetching import MOST_BYTES, fetch, is_address
from nulltext.files import write_file

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(where: str) -> bool:
    """Whether it is an address and no path of this machine."""
    return _URL.match(where) is not None


@final
@dataclass(frozen=True)
class Storage:
    """A folder, here or at an address; names in it have slashes.

    Attributes:
        root: A path, or an address such as ``s3://bucket/folder``; what stands behind a question mark there, such as
            ``endpoint_override``, is for the file system.
    """

    root: str

    @property
    def local(self) -> Path | None:
        """The folder, if it is one of this machine."""
        return None if is_url(self.root) else Path(self.root)

    @property
    def public(self) -> str:
        """The path or address, without what may be secret."""
        return public(self.root)

    def at(self, name: str) -> str:
        """The path or address of a name in it; an absolute path or an address stays what it is."""
        if is_url(name) or os.path.isabs(name):  # noqa: PTH117  a text, which Path would change
            return name
        if self.local is not None:
            return str(self.local / name)
        parts = urlsplit(self.root)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """A file's bytes.

        Raises:
            ImageNotFoundError: There is none.
            ImageTooLargeError: It has more than `most` bytes.
            ImageDecodeError: It cannot be read.
        """
        where = self.at(name)
        if is_address(where):
            return fetch(where)
        if not is_url(where):
            if Path(where).is_file() and Path(where).stat().st_size > most:
                raise ImageTooLargeError(_too_large(where, most))
            return read_bytes(Path(where))
        system, path = _system(where)
        with _refusals(where):
            info = system.get_file_info(path)
            if not info.is_file:
                raise ImageNotFoundError(f"there is no file {public(where)}; expected an image. Check the address.")
            if info.size > most:
                raise ImageTooLargeError(_too_large(where, most))
            with system.open_input_stream(path) as stream:
                return stream.read()

    def write(self, name: str, data: bytes) -> str:
        """Writes a file, whole or not at all; what was there before is replaced.

        Returns:
            Its path or address.

        Raises:
            OutputWriteError: It cannot be written.
        """
        where = self.at(name)
        if self.local is not None:
            path = Path(where)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputWriteError(
                    f"cannot make the folder {path.parent}: {error.strerror}. Choose another name."
                ) from error
            write_file(path, data, overwrite=True)
            return where
        system, path = _system(where)
        try:
            with system.open_output_stream(path) as stream:
                stream.write(data)
        except OSError as error:
            raise OutputWriteError(f"cannot write {public(where)}: {first_line(error)}. Check the access.") from error
        return public(where)

    def names(self, folder: str, ending: str = "") -> list[str]:
        """The files under a folder, by name, those below it too; [] where there is no such folder."""
        if self.local is not None:
            base = self.local / folder
            found = (each for each in base.rglob(f"*{ending}") if each.is_file())
            return sorted(each.relative_to(self.local).as_posix() for each in found)
        system, path = _system(self.at(folder))
        with _refusals(self.root):
            infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        base = path[: len(path) - len(folder)]
        return sorted(each.path.removeprefix(base) for each in infos if each.is_file and each.path.endswith(ending))

    def sizes(self, folder: str) -> dict[str, int]:
        """How many bytes the files under a folder have, by name; {} where there is no such folder."""
        if self.local is not None:
            return {name: (self.local / name).stat().st_size for name in self.names(folder)}
        system, path = _system(self.at(folder))
        with _refusals(self.root):
            infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        base = path[: len(path) - len(folder)]
        return {each.path.removeprefix(base): each.size for each in infos if each.is_file}

    def remove(self, name: str) -> None:
        """Removes a file of its own."""
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
            return
        system, path = _system(self.at(name))
        with _refusals(self.at(name)):
            system.delete_file(path)

    def check(self) -> None:
        """Says early, before hours of work, whether files can be written here; what lies on this machine is not asked.

        Raises:
            OutputWriteError: They cannot.
        """
        if self.local is None:
            name = f".check-{secrets.token_hex(8)}"
            self.write(name, b"nulltext")
            self.remove(name)

    def stamp(self, name: str) -> str:
        """What tells a file from the same one changed, without reading it: its size and when it was written.

        "" of what has neither: what is not there, and what lies behind http.
        """
        where = self.at(name)
        if is_address(where):
            return ""
        if not is_url(where):
            try:
                found = Path(where).stat()
            except (OSError, ValueError):
                return ""
            return f"{found.st_size}-{found.st_mtime_ns}"
        try:
            system, path = _system(where)
            info = system.get_file_info(path)
        except (OSError, ImageDecodeError):
            return ""
        return f"{info.size}-{info.mtime_ns}" if info.is_file else ""

    def system(self, names: Sequence[str]) -> tuple[Any, list[str]]:
        """Files as pyarrow and Ray name them: a file system, and the paths in it."""
        if self.local is not None:
            return fs.LocalFileSystem(), [str(self.local.resolve() / name) for name in names]
        return _system(self.root)[0], [_system(self.at(name))[1] for name in names]

    def open_table(self, name: str) -> Any:  # noqa: ANN401  a file of pyarrow
        """A file to read in parts."""
        system, (path,) = self.system([name])
        return system.open_input_file(path)


def folder_of(where: str) -> Storage:
    """The folder that a file lies in."""
    if not is_url(where):
        return Storage(str(Path(where).parent))
    parts = urlsplit(where)
    return Storage(urlunsplit(parts._replace(path=parts.path.rpartition("/")[0])))


def within(where: str, folder: str) -> bool:
    """Whether a file lies in a folder, or below it, by whatever links lead there."""
    if is_url(where) or is_url(folder):
        return where.startswith(f"{folder.partition('?')[0].rstrip('/')}/")
    return Path(os.path.realpath(where)).is_relative_to(os.path.realpath(folder))


def walk(where: str) -> Iterator[str]:
    """The files of a folder and of those below it, in the order of their names."""
    yield from Storage(where).names("")


@cache
def _system_of(scheme: str, host: str, query: str) -> Any:  # noqa: ANN401  a file system of pyarrow
    return fs.FileSystem.from_uri(urlunsplit((scheme, host, "", query, "")))[0]


def _system(where: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        ImageDecodeError: There is no such kind of address here.
    """
    parts = urlsplit(where)
    try:
        system = _system_of(parts.scheme, parts.netloc, urlencode(parse_qsl(parts.query)))
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        raise ImageDecodeError(
            f"cannot reach {public(where)}: {first_line(error)}. Expected a path, or an address that begins with "
            "s3://, gs:// or https://."
        ) from error
    return system, f"{parts.netloc.rpartition('@')[2]}{parts.path}"


class _refusals:  # noqa: N801  used as a function
    """What a file system answers, as an error of the package."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, ImageNotFoundError | OutputWriteError):
            raise ImageDecodeError(
                f"cannot read {public(self.where)}: {first_line(error)}. Check the address and the access."
            ) from error


def public(where: str) -> str:
    """An address without what may be secret: a key before the host, and what stands behind a question mark."""
    if not is_url(where):
        return where
    parts = urlsplit(where)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def first_line(error: BaseException) -> str:
    """What an error says, without what a library adds below."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _too_large(where: str, most: int) -> str:
    return f"{shown(public(where))} has more than {most // 2**20} MB; expected an image file. Give a smaller one."
