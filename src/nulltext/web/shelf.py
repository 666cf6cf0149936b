"""Values kept in memory, so many bytes in all and so many of one address."""

import threading
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar, final

from nulltext.web.sizes import size_of

Value = TypeVar("Value")


class StoredItem(NamedTuple):
    """Something that is kept for an address, "" if it is not known for which, and its bytes."""

    key: Hashable
    address: str
    size: int


def too_many(items: Iterable[StoredItem], most: float, share: float) -> list[Hashable]:
    """What has to go, so that no address holds more than its share, nor all together more than there is room for.

    Args:
        items: What is kept, what is to go first standing first.
        most: So many bytes may be kept.
        share: Which share of them one address may have.
    """
    kept, gone = list(items), dict[Hashable, None]()
    by_address: dict[str, int] = {}
    for one in kept:
        by_address[one.address] = by_address.get(one.address, 0) + one.size
    total = sum(by_address.values())
    for greedy in (True, False):  # first those who have more than their share
        for one in kept:
            over = bool(one.address) and by_address[one.address] > share * most if greedy else total > most
            if over and one.key not in gone:
                gone[one.key] = None
                by_address[one.address] -= one.size
                total -= one.size
    return list(gone)


@final
class Shelf(Generic[Value]):
    """Values by key; the one that was not used for longest goes first."""

    def __init__(self, most: float, share: float) -> None:
        """Begins empty; see `too_many`."""
        self._most, self._share = most, share
        self._values: dict[Hashable, tuple[Value, StoredItem]] = {}
        self._lock = threading.Lock()

    def put(self, key: Hashable, value: Value, address: str) -> None:
        """Keeps a value in the place of the one before."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value, StoredItem(key, address, size_of(key, value))
            for gone in too_many([items for _, items in self._values.values()], self._most, self._share):
                del self._values[gone]

    def get(self, key: Hashable) -> Value | None:
        """The value, now the last used; None if there is none any more."""
        with self._lock:
            if key not in self._values:
                return None
            self._values[key] = self._values.pop(key)
            return self._values[key][0]

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        with self._lock:
            return sum(items.size for _, items in self._values.values())
