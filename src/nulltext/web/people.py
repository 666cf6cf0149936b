"""Each person's own files, which nobody else can reach, and the cache of inversions."""

import hashlib
import json
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import final

from nulltext.errors import KeptFileNotFoundError, OutputWriteError
from nulltext.files import remove_abandoned, write_file

_NUMBER = re.compile(r"[A-Za-z0-9_-]{22}\.[a-z]{3,11}")
"""What a file is called: 16 random bytes and a suffix."""


@final
class People:
    """Files by person, on disk.

    A person is a secret; the folder's name is its digest, so that who can list the folder cannot become the person.

    Attributes:
        root: Where all is kept.
        most: How many files a person may keep; the oldest go first.
        kept_seconds: How long a file is kept after it was last used.
        spared: Files that the sweep leaves alone.
    """

    def __init__(self, root: Path, *, most: int, kept_seconds: float) -> None:
        """Makes the folders.

        Raises:
            OutputWriteError: They cannot be made.
        """
        self.root, self.most, self.kept_seconds = root, most, kept_seconds
        self.spared: frozenset[Path] = frozenset()
        self._tidying = threading.Lock()
        try:
            for part in ("people", "inversions", "uploads"):
                (root / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputWriteError(f"cannot make {root}: {error.strerror}. Choose another folder.") from error

    @staticmethod
    def new() -> str:
        """A new person."""
        return secrets.token_urlsafe(32)

    def keep(self, person: str, data: bytes, suffix: str) -> str:
        """Writes a file, whole or not at all.

        Args:
            person: Whose.
            data: What is in it.
            suffix: Such as "png".

        Returns:
            The number to ask for it by.
        """
        number = f"{secrets.token_urlsafe(16)}.{suffix}"
        with self._tidying:
            write_file(self._room(person) / number, data)
        return number

    def keep_link(self, person: str, path: Path) -> str:
        """Gives a person a file that is already here, without a second copy of it where the system allows."""
        number = f"{secrets.token_urlsafe(16)}{path.suffix}"
        with self._tidying:
            folder = self._room(person)
            try:
                os.link(path, folder / number)
            except OSError:  # another file system, or one without links
                write_file(folder / number, path.read_bytes())
        return number

    def path(self, person: str, number: str) -> Path:
        """A person's own file.

        Raises:
            KeptFileNotFoundError: There is none of that number, or it is another's.
        """
        path = self._folder(person) / number
        if _NUMBER.fullmatch(number) is None or not path.is_file():
            raise KeptFileNotFoundError(
                f"there is no file {number[:64]!r} of yours; it may have been swept after a day. Make it again."
            )
        path.touch()
        return path

    def cached(self, *what: object) -> Path:
        """Where the inversion of a picture, caption, model and settings is kept, whether it is there or not."""
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=repr).encode()).hexdigest()
        return self.root / "inversions" / f"{digest}.safetensors"

    def sweep(self) -> int:
        """Removes what was not used for long, and what a killed server left half-written; says how many files."""
        swept = 0
        for part in ("people", "inversions", "uploads"):
            for folder, _, names in os.walk(self.root / part):  # passes over what goes away meanwhile
                for path in (Path(folder) / name for name in names):
                    with suppress(FileNotFoundError):  # somebody else swept it
                        unused = time.time() - path.lstat().st_mtime
                        if unused > self.kept_seconds and path not in self.spared:
                            path.unlink()
                            swept += 1
                        elif remove_abandoned(path):
                            swept += 1
        with self._tidying:
            for part in ("people", "uploads"):
                for folder in (self.root / part).iterdir():
                    with suppress(OSError):  # it is a file, or not empty
                        folder.rmdir()
        return swept

    def _room(self, person: str) -> Path:
        """A person's folder, with room for one more file."""
        folder = self._folder(person)
        folder.mkdir(exist_ok=True, mode=0o700)
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(0, len(kept) - self.most + 1)]:
            path.unlink(missing_ok=True)
        return folder

    def _folder(self, person: str) -> Path:
        return self.root / "people" / hashlib.sha256(person.encode()).hexdigest()
