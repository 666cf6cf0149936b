"""How far a batch is: rows done, failed, a second and left."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, final

from nulltext.batch.records import DONE, Record


@final
@dataclass(kw_only=True)
class Tally:
    """Counts of edits.

    Attributes:
        total: Edits that this run is to make.
        skipped: Edits that an earlier one has made.
        done, failed: Of the total.
        devices: Edits done, by device.
        reasons: How many failed for which error.
        began: When, in seconds of the monotonic clock.
    """

    total: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    devices: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[str] = field(default_factory=Counter[str])
    began: float = field(default_factory=time.monotonic)

    def count(self, records: list[Record]) -> None:
        """Takes the records of a row."""
        for record in records:
            if record["status"] == DONE:
                self.done += 1
                self.devices[str(record["device"])] += 1
            else:
                self.failed += 1
                self.reasons[str(record["error"])] += 1

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Edits a second."""
        return (self.done + self.failed) / max(self.seconds, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at that rate; None if nothing is known yet."""
        ready = self.done + self.failed
        return (self.total - ready) / self.rate if ready else None

    def summary(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "total": self.total, "done": self.done, "failed": self.failed, "skipped": self.skipped,
            "seconds": self.seconds, "rate": self.rate, "seconds_left": self.left,
            "devices": dict(self.devices), "errors": dict(self.reasons), "memory_mb": memory_mb(),
        }  # fmt: skip


def memory_mb() -> float:
    """What this process has in memory now, MB; 0.0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  a file of the kernel
            return int(file.read().split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0
