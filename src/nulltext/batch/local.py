"""The engine of one machine: this process, or where there are several devices a process each."""

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import islice
from multiprocessing import get_context
from typing import Final, final

import torch

from nulltext.batch.plan import Plan
from nulltext.batch.records import FAILED, Record, record_of
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.batch.worker import Worker
from nulltext.models.base import Model

CHUNK: Final = 8
"""Rows that a process is given at a time, as a multiple of those it does at once."""
ROWS_AT_ONCE: Final = 8
TRIES: Final = 3
"""How often rows are given to a process that dies of them."""


def on_this_machine(
    rows: Iterable[Row], plan: Plan, out: Storage, devices: Sequence[str] = (), model: Model | None = None
) -> Iterator[list[Record]]:
    """The records of rows, as they are done.

    Args:
        rows: The rows.
        plan: What is done with them.
        out: The folder of results.
        devices: Where to compute, a process each if there are several, which may be named more than once; none for a
            GPU if there is one.
        model: The model, if it is loaded already and there is no more than one device.
    """
    if len(devices) > 1:
        return _Processes(rows, plan, out, devices).records()
    return Worker(plan, out, devices[0] if devices else None, model).do(rows)


@final
class _Processes:
    """A process for every device; one that dies is replaced, and its rows are tried again."""

    def __init__(self, rows: Iterable[Row], plan: Plan, out: Storage, devices: Sequence[str]) -> None:
        self.rows, self.plan, self.out, self.devices = iter(rows), plan, out, devices
        self.taking, self.results = threading.Lock(), queue.Queue[list[Record] | BaseException | None](maxsize=256)
        self.stopped = threading.Event()
        self.size = CHUNK * (plan.at_once or ROWS_AT_ONCE)

    def records(self) -> Generator[list[Record]]:
        """What comes, until all devices are done."""
        threads = [threading.Thread(target=self._serve, args=(device,), daemon=True) for device in self.devices]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left:
                match self.results.get():
                    case None:
                        left -= 1
                    case BaseException() as error:
                        raise error
                    case records:
                        yield records
        finally:
            self.stopped.set()
            while any(thread.is_alive() for thread in threads):  # one may wait for room in the queue
                try:
                    self.results.get(timeout=0.1)
                except queue.Empty:
                    continue

    def _serve(self, device: str) -> None:
        """Gives a device's process rows until there are no more."""
        try:
            pool = self._pool(device)
            with closing(_Pool(pool)) as held:
                while not self.stopped.is_set() and (chunk := self._chunk()):
                    self._try(held, chunk, device)
        except BaseException as error:  # noqa: BLE001  for the thread that waits
            self.results.put(error)
        self.results.put(None)

    def _try(self, held: "_Pool", chunk: list[Row], device: str) -> None:
        for _ in range(TRIES):
            try:
                done = held.pool.submit(_do, [row.to_json() for row in chunk]).result()
            except BrokenProcessPool:
                held.replace(self._pool(device))
            else:
                for records in done:
                    self.results.put(records)
                return
        if len(chunk) > 1:  # which of them it is shows alone
            for row in chunk:
                self._try(held, [row], device)
            return
        reason = {
            "status": FAILED,
            "error": "BrokenProcessPool",
            "reason": f"the process on {device} ended {TRIES} times when it came to this row, perhaps for want of "
            "memory. Try it alone, or at a smaller size.",
        }
        self.results.put([each | reason for each in record_of(chunk[0], None, self.plan, "", device)])

    def _chunk(self) -> list[Row]:
        with self.taking:
            return list(islice(self.rows, self.size))

    def _pool(self, device: str) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_begin, initargs=(self.plan, self.out, device, len(self.devices))
        )


class _Pool:
    """A pool that may be replaced by another."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def replace(self, pool: ProcessPoolExecutor) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.pool = pool

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


_worker: Worker | None = None


def _begin(plan: Plan, out: Storage, device: str, sharing: int) -> None:
    """Loads the model in a process of its own, which takes its share of the cores."""
    global _worker  # noqa: PLW0603  what lives as long as the process
    torch.set_num_threads(max(1, torch.get_num_threads() // sharing))
    _worker = Worker(plan, out, device)


def _do(rows: list[str]) -> list[list[Record]]:
    assert _worker is not None
    return list(_worker.do(map(Row.from_json, rows)))
