"""A dry run: every row is read and opened, and all that is wrong is told before anything is computed."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

from nulltext.batch.plan import Plan
from nulltext.batch.rehearsal import Rehearsal
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.batch.worker import Opened, Worker, ahead
from nulltext.models.base import Model

THREADS: Final = 2 * (os.cpu_count() or 1)


@final
@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with a row.

    Attributes:
        row: The row.
        edit: Which of its edits, from 1; 0 for all of them.
        error: The error's name.
        reason: The error in a sentence.
    """

    row: Row
    edit: int
    error: str
    reason: str


def check(rows: Iterable[Row], plan: Plan, model: Model | None = None) -> Iterator[Fault | None]:
    """For every row what is wrong with it, None where nothing is.

    Files are opened, and inversions and edits begun as far as they go without computing. So what is left is what only
    the network tells: numbers that diverge, masks that no map of a word reaches.

    Args:
        rows: The rows.
        plan: What is to be done with them.
        model: The model; loaded on the CPU if None, whatever the batch will be computed on.
    """
    worker = Worker(plan, Storage(""), "cpu", model)
    rehearsal = Rehearsal(worker.model)
    with ThreadPoolExecutor(THREADS) as pool:
        for row, faults in ahead(pool, rows, lambda row: list(_faults(worker, rehearsal, row)), 4 * THREADS):
            del row
            yield from faults or (None,)


def _faults(worker: Worker, rehearsal: Rehearsal, row: Row) -> Iterator[Fault]:
    opened = worker.open(row)
    if not isinstance(opened, Opened):
        yield Fault(row=row, edit=0, error=type(opened).__name__, reason=str(opened))
        return
    for at, error in rehearsal.refusals(opened):
        what = f"edit {at}: {error}" if at else str(error)
        yield Fault(row=row, edit=at, error=type(error).__name__, reason=what)
