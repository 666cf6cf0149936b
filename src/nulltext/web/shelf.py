"""What is kept, so many bytes in all and so many of one address."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple


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
