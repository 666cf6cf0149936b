"""A batch from beginning to end: what is done already is left out, the rest is done, and all is told in one table."""

import json
import os
import tempfile
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TextIO, final, get_args
from zlib import crc32

from nulltext.batch.folder import taken
from nulltext.batch.local import on_this_machine
from nulltext.batch.manifest import read_manifest, row_of, rows_of
from nulltext.batch.names import Names
from nulltext.batch.plan import Plan, name_of
from nulltext.batch.records import Record
from nulltext.batch.results import Results
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.batch.tally import Tally
from nulltext.batch.worker import READERS, ahead
from nulltext.errors import SettingError, shown
from nulltext.models.base import Model
from nulltext.models.loading import identify

Engine = Literal["local", "ray"]


@final
@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where a batch is computed.

    Attributes:
        engine: "local", this machine, or "ray", a cluster.
        devices: Of this machine, a process each; none for a GPU if there is one.
        address: Of a Ray cluster; None starts one here, or joins the one it is run in.
        actors: Processes of Ray that hold a model, or from how many to how many; None as there is room.
        gpus: What of a GPU each of them takes; None is one where there is any.
        at_a_time: Rows that one of them is given at a time.
    """

    engine: Engine = "local"
    devices: Sequence[str] = ()
    address: str | None = None
    actors: int | tuple[int, int] | None = None
    gpus: float | None = None
    at_a_time: int = 32

    def __post_init__(self) -> None:
        if self.engine not in get_args(Engine):
            raise SettingError(f"got engine {shown(self.engine)}; expected {' or '.join(get_args(Engine))}.")


def run(
    rows: str | os.PathLike[str] | Iterable[Row | Mapping[str, Any]],
    out: str | os.PathLike[str],
    *,
    plan: Plan | None = None,
    machines: Machines | None = None,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    model: Model | None = None,
    on_tally: Callable[[Tally], None] = lambda _: None,
) -> Generator[Record]:
    """Edits many photographs, and keeps a table of what became of each.

    Run again with the same rows and folder, it does what is not done yet: a row is done again if anything that its
    image depends on has changed (prompt, settings, photograph, model, version of the package). Killed, it loses what
    was under way.

    Args:
        rows: A manifest, see `nulltext.batch.read_manifest`; or rows, or mappings with its columns.
        out: The folder of results, here or at an address: ``images/``, ``results/*.parquet``, ``inversions/``.
        plan: What is done with a row that does not say otherwise.
        machines: Where it is computed.
        shard: (i, n): this is part i of n, by the rows' ids, counted from 1; each may run on a machine of its own.
        retry_failed: Whether rows that failed before are done again.
        model: The model, if it is loaded already; of one device of this machine.
        on_tally: Called with the counts, at first and whenever a row is done.

    Yields:
        The records of edits, by the columns of `nulltext.batch.records.COLUMNS`, as they are done.

    Raises:
        ManifestError: The manifest cannot be read.
        OutputError: The folder of results cannot be written, or another run is at work there.
        SettingError: A setting is out of range.
        ModelError: The model cannot be loaded.
    """
    plan, machines = plan or Plan(), machines or Machines()
    storage = Storage(os.fspath(out))
    at, of = shard
    if not 1 <= at <= of:
        raise SettingError(f"got shard {at}/{of}; expected the part's number, from 1, and how many there are.")
    identity = identify(plan.model, **plan.loading) if model is None else model.identity
    with taken(storage, at, of), tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        results = Results(storage, "" if of == 1 else f"{at}of{of}")
        known = results.keys(failed=not retry_failed)
        named = Names(plan, storage).check(_all(rows, storage))
        keyed = _keyed(named, plan, name_of(identity), shard)
        tally = _spool(keyed, known, spool)
        spool.seek(0)
        on_tally(tally)
        pending = (Row.from_json(line) for line in spool)
        try:
            for records in _engine(pending, plan, storage, machines, model):
                results.add(records)
                tally.count(records)
                on_tally(tally)
                yield from records
        finally:
            results.flush()
        results.join()


def dataset(
    rows: Any,  # noqa: ANN401  a ray.data.Dataset, which is not always installed
    out: str | os.PathLike[str],
    *,
    plan: Plan | None = None,
    machines: Machines | None = None,
) -> Any:  # noqa: ANN401  as above
    """A step of one's own pipeline in Ray Data: rows in, records out; the images are written on the way.

    Args:
        rows: A dataset with the columns of a manifest.
        out: The folder of the images, which all nodes must reach. No table is kept there: that is the dataset.
        plan: What is done with a row that does not say otherwise.
        machines: Where; only what it says of Ray counts.

    Returns:
        A dataset with the columns of `nulltext.batch.records.COLUMNS`.
    """
    from nulltext.batch.ray import transform  # noqa: PLC0415  Ray is an extra, and takes seconds

    plan, machines = plan or Plan(), machines or Machines(engine="ray")
    texts = rows.map(_as_text)
    done = transform(
        texts,
        plan,
        Storage(os.fspath(out)),
        actors=machines.actors,
        gpus=machines.gpus,
        at_a_time=machines.at_a_time,
    )
    return done.flat_map(_as_records)


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    return {"row": row_of(0, row).to_json()}


def _as_records(batch: dict[str, Any]) -> list[Record]:
    return json.loads(batch["records"])


def _all(rows: str | os.PathLike[str] | Iterable[Row | Mapping[str, Any]], out: Storage) -> Iterator[Row]:
    if isinstance(rows, str | os.PathLike):
        return read_manifest(os.fspath(rows), out=out.root)
    return rows_of(rows)


def _engine(
    rows: Iterable[Row], plan: Plan, out: Storage, machines: Machines, model: Model | None
) -> Iterator[list[Record]]:
    if machines.engine == "local":
        return on_this_machine(rows, plan, out, machines.devices, model)
    from nulltext.batch.ray import on_ray  # noqa: PLC0415  as in `dataset`

    return on_ray(
        rows,
        plan,
        out,
        address=machines.address,
        actors=machines.actors,
        gpus=machines.gpus,
        at_a_time=machines.at_a_time,
    )


def _keyed(rows: Iterator[Row], plan: Plan, identity: str, shard: tuple[int, int]) -> Iterator[Row]:
    """The rows of a shard with their keys, for which file systems are asked many questions at a time."""
    at, of = shard
    mine = (row for row in rows if crc32(row.id.encode(errors="surrogatepass")) % of == at - 1)
    with ThreadPoolExecutor(4 * READERS) as pool:
        for row, keys in ahead(pool, mine, lambda row: plan.keys(row, identity), 64 * READERS):
            yield replace(row, keys=keys)


def _spool(rows: Iterable[Row], known: Container[bytes], spool: TextIO) -> Tally:
    """Writes the rows of which an edit is not done to a file, so that nobody holds them all in memory; counts them."""
    tally = Tally()
    for row in rows:
        left = tuple(at for at, key in enumerate(row.keys) if bytes.fromhex(key) not in known)
        tally.total += len(left)
        tally.skipped += len(row.keys) - len(left)
        if left:
            spool.write(replace(row, left=left).to_json() + "\n")
    return tally
