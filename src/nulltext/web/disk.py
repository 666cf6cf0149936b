"""Folders that hold no more than so many bytes: what was not used for longest goes, but nothing that a job needs."""

import os
import threading
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, final

from nulltext.web.shelf import StoredItem, too_many

_BLOCK = 4096
"""So many bytes a file takes at least, however little is in it."""
_LOW = 0.9
"""Where a folder is too full it is emptied to this share, so that not every new file has the folder looked through."""


class _Kept(NamedTuple):
    """Files that belong together, as they differ by their suffix only."""

    used: float
    size: int
    paths: list[Path]


@final
class Disk:
    """Parts of a folder, each with its bound."""

    def __init__(
        self, root: Path, most: Mapping[str, float], share: float, used: Callable[[], frozenset[Path]]
    ) -> None:
        """Looks through what is there already when a part first grows.

        Args:
            root: The folder.
            most: How many bytes each part may hold.
            share: Which share of a part one address may have, where it is known whose a file is.
            used: Says which files are needed now.
        """
        self.root = root
        self._most, self._share, self._used = most, share, used
        self._sizes: dict[tuple[str, str], float] = {}
        self._owners: dict[str, str] = {}
        self._lock = threading.Lock()

    def own(self, folder: Path, address: str) -> None:
        """Notes from which address the files of a folder come."""
        with self._lock:
            self._owners[folder.name] = address

    def grew(self, part: str, size: int, address: str = "") -> None:
        """Takes note of a new file, and makes room if there is too much now."""
        with self._lock:
            known = (part, "") in self._sizes
            for key, most in self._bounds(part, address).items():
                self._sizes[key] = self._sizes.get(key, 0.0) + max(size, _BLOCK)
                known = known and self._sizes[key] <= most
        if not known:
            self.trim(part)

    def trim(self, part: str) -> int:
        """Removes what is too much; says how many files."""
        most, spared = self._most[part], self._used()
        kept = self._look(part)
        total: dict[tuple[str, str], float] = {}
        for one in kept.values():
            for key in self._bounds(part, self._owner(part, one)):
                total[key] = total.get(key, 0.0) + one.size
        gone = 0
        if any(size > self._bounds(part, key[1])[key] for key, size in total.items()):
            items = [
                StoredItem(key, self._owner(part, one), one.size)
                for key, one in sorted(kept.items(), key=lambda item: item[1].used)
                if spared.isdisjoint(one.paths)
            ]
            needed = sum(one.size for one in kept.values()) - sum(one.size for one in items)
            share = self._share if part == "people" else 1.0
            for key in too_many(items, max(0.0, _LOW * most - needed), share):
                gone += _remove(kept[key].paths)
                for owner in self._bounds(part, self._owner(part, kept[key])):
                    total[owner] -= kept[key].size
        with self._lock:
            self._sizes = {key: size for key, size in self._sizes.items() if key[0] != part} | {(part, ""): 0.0} | total
            present = {path.name for path in (self.root / "people").iterdir()}
            self._owners = {name: owner for name, owner in self._owners.items() if name in present}
        return gone

    def _bounds(self, part: str, address: str) -> dict[tuple[str, str], float]:
        """What a file of a part counts towards, and how much that may be."""
        own = {(part, address): self._share * self._most[part]} if address else {}
        return {(part, ""): self._most[part], **own}

    def _owner(self, part: str, one: _Kept) -> str:
        return self._owners.get(one.paths[0].parent.name, "") if part == "people" else ""

    def _look(self, part: str) -> dict[Hashable, _Kept]:
        """All that is in a part; files that go away meanwhile are passed over."""
        kept: dict[Hashable, _Kept] = {}
        for folder, _, names in os.walk(self.root / part):
            for path in (Path(folder) / name for name in names):
                with suppress(OSError):
                    found = path.lstat()
                    key = (path.parent, path.name.split(".")[0] or path.name)
                    used, size, paths = kept.get(key, _Kept(0.0, 0, []))
                    size += max(found.st_size, _BLOCK)
                    kept[key] = _Kept(max(used, found.st_mtime), size, [*paths, path])
        return kept


def _remove(paths: list[Path]) -> int:
    """Removes files; says how many there were."""
    gone = 0
    for path in paths:
        with suppress(OSError):
            path.unlink()
            gone += 1
    return gone
