"""Each person's own files, which nobody else can reach, and the cache of inversions."""

import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, final

from nulltext.errors import KeptFileNotFoundError, OutputWriteError
from nulltext.files import remove_abandoned, write_file
from nulltext.web.disk import Disk
from nulltext.web.limits import Limits

_NUMBER = re.compile(r"[A-Za-z0-9_-]{22}\.[a-z]{3,11}")
"""What a file is called: 16 random bytes and a suffix."""
PARTS = {"people": 1 / 2, "inversions": 1 / 2}
"""The folders, and which share of the disk's bound each has."""


@final
class People:
    """Files by person, on disk.

    A person is a secret; the folder's name is its digest, so that who can list the folder cannot become the person.

    Attributes:
        root: Where all is kept.
        disk: How much of it there may be.
    """

    def __init__(self, root: Path, limits: Limits, used: Callable[[], frozenset[Path]] = frozenset[Path]) -> None:
        """Makes the folders.

        Args:
            root: Where all is kept.
            limits: How much of it, and for how long.
            used: Says which files jobs need now.

        Raises:
            OutputWriteError: They cannot be made.
        """
        self.root, self._limits, self._used = root, limits, used
        self.disk = Disk(root, {part: limits.disk_bytes * of for part, of in PARTS.items()}, limits.share, used)
        self._tidying = threading.Lock()
        try:
            for part in PARTS:
                (root / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputWriteError(f"cannot make {root}: {error.strerror}. Choose another folder.") from error

    @staticmethod
    def new() -> str:
        """A new person."""
        return secrets.token_urlsafe(32)

    def keep(self, person: str, data: bytes, suffix: str, address: str = "") -> str:
        """Writes a file, whole or not at all.

        Args:
            person: Whose.
            data: What is in it.
            suffix: Such as "png".
            address: Where they asked for it; see `Client`.

        Returns:
            The number to ask for it by.
        """
        number = f"{secrets.token_urlsafe(16)}.{suffix}"
        with self._tidying:
            write_file(self._room(person, address) / number, data)
        self.grew("people", self._folder(person) / number, address)
        return number

    def keep_link(self, person: str, path: Path, address: str = "") -> str:
        """Gives a person a file that is already here, without a second copy of it where the system allows."""
        number = f"{secrets.token_urlsafe(16)}{path.suffix}"
        with self._tidying:
            folder = self._room(person, address)
            try:
                os.link(path, folder / number)
            except OSError:  # another file system, or one without links
                write_file(folder / number, path.read_bytes())
        self.grew("people", folder / number, address)
        return number

    def keep_beside(self, person: str, stem: str, data: bytes, suffix: str, address: str = "") -> None:
        """Writes a file that belongs to another and goes when that goes, in the place of the one before.

        Args:
            person: Whose.
            stem: What the other file's number begins with.
            data: What is in it.
            suffix: Such as "json".
            address: Where they asked for it; see `Client`.

        Raises:
            KeptFileNotFoundError: There is no person of that kind, or the stem is none.
        """
        path = self._folder(person) / f"{stem}.{suffix}"
        if _NUMBER.fullmatch(path.name) is None:
            raise KeptFileNotFoundError(f"got {stem[:64]!r}; expected what a file's number begins with.")
        with self._tidying:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            write_file(path, data, overwrite=True)
        self.grew("people", path, address)

    def beside(self, person: str, suffix: str) -> list[Path]:
        """All files of a person of a kind."""
        with suppress(FileNotFoundError):
            return [path for path in self._folder(person).iterdir() if path.suffix == f".{suffix}"]
        return []

    def remove(self, person: str, stem: str) -> None:
        """Removes a person's file with all that lie beside it."""
        for path in self._folder(person).glob(f"{stem}.*") if _NUMBER.fullmatch(f"{stem}.png") else ():
            path.unlink(missing_ok=True)

    def grew(self, part: str, path: Path, address: str = "") -> None:
        """Takes note of a new file of a part, and makes room if there is too much now."""
        with suppress(FileNotFoundError):  # it was swept
            self.disk.grew(part, path.stat().st_size, address)

    def path(self, person: str, number: str) -> Path:
        """A person's own file.

        Raises:
            KeptFileNotFoundError: There is none of that number, or it is another's.
        """
        path = self._folder(person) / number
        try:
            if _NUMBER.fullmatch(number) is not None and path.is_file():
                os.utime(path)  # unlike `touch`, this makes no file of one that was removed just now
                return path
        except FileNotFoundError:
            pass
        raise KeptFileNotFoundError(_gone(number))

    def open(self, person: str, number: str) -> BinaryIO:
        """A person's own file, which can be read to its end whoever removes it meanwhile.

        Raises:
            KeptFileNotFoundError: There is none of that number, or it is another's.
        """
        try:
            return self.path(person, number).open("rb")
        except FileNotFoundError as error:
            raise KeptFileNotFoundError(_gone(number)) from error

    def cached(self, *what: object) -> Path:
        """Where the inversion of an image, prompt, model and settings is kept, whether it is there or not."""
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=repr).encode()).hexdigest()
        return self.root / "inversions" / f"{digest}.safetensors"

    def sweep(self) -> int:
        """Removes what was not used for long or is too much, and what a killed server left; says how many files."""
        swept, spared = 0, self._used()
        for part in PARTS:
            for folder, _, names in os.walk(self.root / part):  # passes over what goes away meanwhile
                for together in _together(Path(folder) / name for name in names):
                    swept += self._sweep(together, spared)
            swept += self.disk.trim(part)
        with self._tidying:
            for folder in (self.root / "people").iterdir():
                with suppress(OSError):  # it is a file, or not empty
                    folder.rmdir()
        return swept

    def _sweep(self, together: list[Path], spared: frozenset[Path]) -> int:
        """Removes files that belong together if none was used for long; says how many."""
        swept, used = 0, 0.0
        for path in together:
            with suppress(OSError):  # somebody else swept it
                used = max(used, path.lstat().st_mtime)
        old = time.time() - used > self._limits.kept_seconds and spared.isdisjoint(together)
        for path in together:
            with suppress(OSError):
                if old:
                    path.unlink()
                    swept += 1
                elif remove_abandoned(path):
                    swept += 1
        return swept

    def _room(self, person: str, address: str) -> Path:
        """A person's folder, with room for one more file and what will lie beside it."""
        folder, used = self._folder(person), self._used()
        folder.mkdir(exist_ok=True, mode=0o700)
        self.disk.own(folder, address)
        kept = sorted(_together(folder.iterdir()), key=lambda paths: max(map(_used, paths)))
        free = [paths for paths in kept if used.isdisjoint(paths)]
        for path in chain.from_iterable(free[: max(0, len(kept) - self._limits.files + 1)]):
            path.unlink(missing_ok=True)
        return folder

    def _folder(self, person: str) -> Path:
        return self.root / "people" / hashlib.sha256(person.encode()).hexdigest()


def _gone(number: str) -> str:
    return (
        f"there is no file {number[:64]!r} of yours; expected one that was used within the last weeks. Make it again."
    )


def _used(path: Path) -> float:
    """When a file was last used; 0 if it was removed meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _together(paths: Iterable[Path]) -> list[list[Path]]:
    """Files that differ by their suffix only belong together."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.name.split(".")[0] or path.name, []).append(path)
    return list(found.values())
