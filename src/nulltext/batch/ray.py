"""The engine of a cluster: Ray Data schedules, retries and scales; what is done with a row is the same."""

import io
import json
import logging
import os
import secrets
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Final, cast

import ray
import torch
from ray.util.metrics import Counter

from nulltext.batch.arrow import arrow, parquet
from nulltext.batch.plan import Plan
from nulltext.batch.records import DONE, Record
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.batch.worker import Worker, WorkerBrokenError
from nulltext.errors import NulltextError

ROWS: Final = "rows"
"""Where the rows that are to be done lie during a run, in the folder of results, for all nodes to read."""
ACTOR_CPUS, READER_CPUS = 0.25, 0.2
"""What of a core Ray keeps for each process. So little that, where nodes are lost, those that hold models and are begun
again on the nodes that are left do not take the last core from those that read for them. They differ, since Ray joins
steps that want the same, and then an actor reads where it could compute."""


def on_ray(
    rows: Iterable[Row],
    plan: Plan,
    out: Storage,
    *,
    address: str | None = None,
    actors: int | tuple[int, int] | None = None,
    gpus: float | None = None,
    at_a_time: int = 32,
) -> Iterator[list[Record]]:
    """The records of rows, as they are done.

    Args:
        rows: The rows.
        plan: What is done with them.
        out: The folder of results, which all nodes must reach.
        address: Of a cluster, as Ray takes it; None starts one on this machine, or joins the one it is run in.
        actors: How many processes hold a model, or from how many to how many; None as many as there is room for.
        gpus: What of a GPU each of them takes; None is one where the cluster has any, else none.
        at_a_time: Rows that one of them is given at a time.
    """
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, include_dashboard=False, configure_logging=False)
    names = _spool(rows, out, at_a_time)
    try:
        if not names:
            return
        with _quietly():
            made: Any = ray.data
            files = made.from_items([{"name": name} for name in names], override_num_blocks=len(names))
            dataset: Any = files.flat_map(partial(_spooled, out), num_cpus=READER_CPUS, concurrency=2)
            dataset = transform(dataset, plan, out, actors=actors, gpus=gpus, at_a_time=at_a_time)
            for batch in dataset.iter_batches(batch_size=None, prefetch_batches=1):
                yield from (json.loads(text) for text in batch["records"])
    finally:
        for name in names:
            out.remove(name)


def transform(
    dataset: Any,  # noqa: ANN401  a ray.data.Dataset, which is not always installed
    plan: Plan,
    out: Storage,
    *,
    actors: int | tuple[int, int] | None = None,
    gpus: float | None = None,
    at_a_time: int = 32,
) -> Any:  # noqa: ANN401  as above
    """A dataset of rows, as JSON in the column "row", to one of their records, as JSON in the column "records"."""
    if gpus is None:
        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    most = int(ray.cluster_resources().get("GPU", 0) / gpus) if gpus else max(1, cores // 2)
    lowest, highest = actors if isinstance(actors, tuple) else (actors, actors) if actors else (1, max(1, most))
    read = dataset.map_batches(
        _read, batch_size=at_a_time, zero_copy_batch=True, num_cpus=READER_CPUS, concurrency=max(2, highest)
    )
    return read.map_batches(
        _Actor,
        fn_constructor_args=(plan, out),
        batch_size=at_a_time,
        num_gpus=gpus,
        num_cpus=ACTOR_CPUS,
        compute=ray.data.ActorPoolStrategy(min_size=lowest, max_size=highest),
    )


@contextmanager
def _quietly() -> Generator[None]:
    """Keeps Ray Data's bars and messages off the terminal, but for errors; its log files have them all."""
    settings: Any = ray.data.DataContext.get_current()
    bars, settings.enable_progress_bars = settings.enable_progress_bars, False
    handlers = [
        cast("logging.Handler", each)
        for each in logging.getLogger("ray.data").handlers
        if isinstance(each, logging.StreamHandler)
    ]
    levels = [each.level for each in handlers]
    for each in handlers:
        each.setLevel(max(each.level, logging.ERROR))
    try:
        yield
    finally:
        settings.enable_progress_bars = bars
        for each, level in zip(handlers, levels, strict=True):
            each.setLevel(level)


def _spooled(out: Storage, file: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of one of the files of `_spool`."""
    with out.open_table(file["name"]) as opened:
        return parquet.read_table(opened).to_pylist()


def _read(batch: dict[str, Any]) -> dict[str, Any]:
    """The bytes of photographs and masks beside their rows, or why there are none: done where there are cores."""
    rows = [Row.from_json(text) for text in batch["row"]]
    return {
        "row": batch["row"],
        "image": [_bytes(row.image) for row in rows],
        "mask": [_bytes(row.mask) for row in rows],
    }


def _bytes(where: str) -> bytes:
    """A file's bytes; b"" of what cannot be read, which the actor then tries itself and says why."""
    if not where:
        return b""
    try:
        return Storage("").read(where)
    except NulltextError:
        return b""


class _Counts:
    """What Ray's own metrics tell of a process, beside the node and the process that they are of."""

    def __init__(self) -> None:
        self.done = Counter("nulltext_batch_edits_done", "Edits made")
        self.failed = Counter("nulltext_batch_edits_failed", "Edits of which nothing was made")
        self.seconds = Counter("nulltext_batch_seconds", "Seconds of a process at work, reading and waiting left out")

    def tell(self, done: Sequence[Sequence[Record]], seconds: float) -> None:
        """Adds the records of some rows."""
        made = sum(record["status"] == DONE for records in done for record in records)
        for counter, count in (
            (self.done, made),
            (self.failed, sum(map(len, done)) - made),
            (self.seconds, seconds),
        ):
            if count > 0:  # Ray takes no other
                counter.inc(count)


class _Actor:
    """A process that holds a model."""

    def __init__(self, plan: Plan, out: Storage) -> None:
        cores = float(os.environ.get("OMP_NUM_THREADS") or 1)  # Ray says how many are its own
        torch.set_num_threads(max(1, int(cores)))
        self.worker, self.counts = Worker(plan, out), _Counts()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [Row.from_json(str(text)) for text in batch["row"]]
        known = dict(zip((row.image for row in rows), batch["image"], strict=True))
        known |= dict(zip((row.mask for row in rows), batch["mask"], strict=True))
        start = time.perf_counter()
        try:
            done = list(self.worker.do(rows, partial(_known, known)))
        except WorkerBrokenError as error:
            if error.device:  # it is lost to this process; Ray begins another, and gives it the rows again
                os._exit(1)
            raise
        self.counts.tell(done, time.perf_counter() - start)
        return {"records": [json.dumps(records) for records in done]}


def _known(known: dict[str, bytes], where: str) -> bytes:
    return bytes(known.get(where) or b"") or Storage("").read(where)


def _spool(rows: Iterable[Row], out: Storage, at_a_time: int) -> list[str]:
    """Writes rows to files that all nodes can read, so that the driver need not hold them; their names.

    A file is what an actor is given at a time: what of it is not told when the actor dies is done again.
    """
    run, names, left = secrets.token_hex(4), list[str](), iter(rows)
    while chunk := list(islice(left, at_a_time)):
        buffer = io.BytesIO()
        parquet.write_table(arrow.table({"row": [row.to_json() for row in chunk]}), buffer)
        names.append(f"{ROWS}/{run}-{len(names):06d}.parquet")
        out.write(names[-1], buffer.getvalue())
    return names
