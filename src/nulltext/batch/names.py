"""What the images of a batch are called: no two alike, and none that would take the place of a photograph."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import final

from nulltext.batch.folder import inside
from nulltext.batch.manifest import on_disk
from nulltext.batch.plan import Plan
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.errors import NulltextError


@final
class Names:
    """The names that the rows so far have taken, as a disk tells them apart that knows no capitals."""

    def __init__(self, plan: Plan, out: Storage | None) -> None:
        """None is taken.

        Args:
            plan: What says how images are called.
            out: The folder of results, if it is known.
        """
        self._plan, self._out = plan, out
        self._taken: dict[bytes, int] = {}

    def check(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows; of one whose images cannot be written under their names the fault is said."""
        for row in rows:
            fault = row.fault or self._fault(row)
            yield replace(row, fault=fault) if fault else row

    def _fault(self, row: Row) -> str:
        if self._out is not None:
            for what, where in (("image", row.image), ("mask", row.mask)):
                if where and inside(self._out, where):
                    return (
                        f"its {what} {where} lies where results are written; expected it elsewhere. Copy it, or give "
                        "another -o."
                    )
        try:
            outputs = self._plan.job(row).outputs
        except NulltextError:
            return ""  # which is told when the row's turn comes
        for name in outputs:
            at = hashlib.blake2b(on_disk(name).encode(errors="surrogatepass"), digest_size=12).digest()
            earlier = self._taken.setdefault(at, row.number)
            if earlier != row.number:
                return (
                    f"its image would be {name}, which is that of row {earlier}; expected a name of its own. Give it "
                    "another id, or a --name pattern with {id}."
                )
        return ""
