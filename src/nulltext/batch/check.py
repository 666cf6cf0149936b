"""A dry run: every row is read and opened, and all that is wrong is told before anything is computed."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

from nulltext.batch.plan import Plan
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.batch.worker import Opened, Worker, ahead
from nulltext.errors import NulltextError
from nulltext.models.base import Model, check_prompts

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
    """For every row what is wrong with it, None where nothing is: files, prompts, words, settings, masks and sizes.

    Args:
        rows: The rows.
        plan: What is to be done with them.
        model: The model; loaded on the CPU if None, whatever the batch will be computed on.
    """
    worker = Worker(plan, Storage(""), "cpu", model)
    with ThreadPoolExecutor(THREADS) as pool:
        for row, faults in ahead(pool, rows, lambda row: list(_faults(worker, row)), 4 * THREADS):
            del row
            yield from faults or (None,)


def _faults(worker: Worker, row: Row) -> Iterator[Fault]:
    opened = worker.open(row)
    if not isinstance(opened, Opened):
        yield Fault(row=row, edit=0, error=type(opened).__name__, reason=str(opened))
        return
    for at, prompt in enumerate((row.prompt, *row.edits)):
        try:
            check_prompts(worker.model, [prompt])
        except NulltextError as error:
            which = "the prompt" if at == 0 else f"edit {at}"
            yield Fault(row=row, edit=at, error=type(error).__name__, reason=f"{which}: {error}")
