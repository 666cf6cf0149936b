"""The table of results: Parquet files in ``results/``, one for every few records, joined when a run ends.

A file is written whole or not at all, so what is in the table is done. Of an edit that was made again the last record
counts; joining leaves the others out.
"""

import io
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, final

from nulltext.batch.arrow import arrow, parquet
from nulltext.batch.records import COLUMNS, FAILED, Record, schema, table
from nulltext.batch.storage import Storage, first_line
from nulltext.errors import OutputError

FOLDER: Final = "results"
MOST_RECORDS: Final = 100_000
"""In a file of joined ones."""
_WHOLE: Final = frozenset({"key", "id", "edit", "status", "finished"})
"""Columns that each record has."""
FLUSH_RECORDS, FLUSH_S = 64, 10.0
"""After so many records, or seconds, those that wait are written."""


@final
class Results:
    """The table in a folder of results, of which each run and each shard writes files of its own."""

    def __init__(self, out: Storage, shard: str = "") -> None:
        """Opens it; nothing need be there yet.

        Args:
            out: The folder of results.
            shard: What tells the files of this shard from others'.
        """
        self.out, self.shard = out, shard
        self._waiting: list[Record] = []
        self._since = time.monotonic()

    def keys(self, *, failed: bool) -> set[bytes]:
        """The keys of edits that are in the table, and whose images are where it says; of each edit the last one's.

        Args:
            failed: Whether those that failed are among them.
        """
        there = self.out.sizes("images")
        found = dict[tuple[str, int], tuple[float, bytes]]()
        for batch in self._read(["key", "status", "finished", "id", "edit", "output", "bytes"]):
            for record in batch.to_pylist():
                who = (record["id"], record["edit"])
                if who not in found or found[who][0] <= record["finished"]:
                    fine = failed if record["status"] == FAILED else there.get(record["output"]) == record["bytes"]
                    found[who] = (record["finished"], _key(record["key"]) if fine else b"")
        return {key for _, key in found.values() if key}

    def add(self, records: Sequence[Record]) -> None:
        """Takes records, which reach the folder a little later, or with `flush`."""
        self._waiting += [record | {"finished": time.time()} for record in records]
        if len(self._waiting) >= FLUSH_RECORDS or time.monotonic() - self._since > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Writes the records that wait."""
        self._since = time.monotonic()
        if self._waiting:
            self._write(table(self._waiting))
            self._waiting = []

    def join(self) -> None:
        """Makes few files of the many that this shard has written, with one record of each edit."""
        names = [name for name in self._names() if name.startswith(f"{FOLDER}/part{self.shard}-")]
        if len(names) < 2:  # noqa: PLR2004  one is joined already
            return
        last = self._last(names)
        waiting, rows = list[Any](), 0
        for name in names:
            for at, batch in enumerate(self._batches(name, None)):
                kept = batch.filter([last[key] == (name, at, i) for i, key in enumerate(_who(batch))])
                waiting.append(kept)
                rows += kept.num_rows
                if rows >= MOST_RECORDS:
                    self._write_batches(waiting)
                    waiting, rows = [], 0
        self._write_batches(waiting)
        for name in names:
            self.out.remove(name)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """What is in the table, of each edit the last record, in the order of files."""
        names = self._names()
        last = self._last(names)
        for name in names:
            for at, batch in enumerate(self._batches(name, None)):
                for i, (who, record) in enumerate(zip(_who(batch), batch.to_pylist(), strict=True)):
                    if last[who] == (name, at, i):
                        yield record if columns is None else {column: record[column] for column in columns}

    def _last(self, names: Sequence[str]) -> dict[tuple[str, int], tuple[str, int, int]]:
        """Where the last record of each edit is."""
        found = dict[tuple[str, int], tuple[float, tuple[str, int, int]]]()
        for name in names:
            for at, batch in enumerate(self._batches(name, ["id", "edit", "finished"])):
                for i, (who, finished) in enumerate(
                    zip(_who(batch), batch.column("finished").to_pylist(), strict=True)
                ):
                    if who not in found or found[who][0] <= finished:
                        found[who] = (finished, (name, at, i))
        return {who: where for who, (_, where) in found.items()}

    def _names(self) -> list[str]:
        return self.out.names(FOLDER, ".parquet")

    def _read(self, columns: list[str]) -> Iterator[Any]:
        for name in self._names():
            yield from self._batches(name, columns)

    def _batches(self, name: str, columns: list[str] | None) -> Iterator[Any]:
        try:
            with self.out.open_table(name) as file:
                yield from _parts(file, columns)
        except Exception as error:  # of a damaged file pyarrow's readers raise whatever they come upon
            raise OutputError(
                f"cannot read {name} of the table in {self.out.public}: {first_line(error)}. Check the access; if the "
                "file is damaged, or no part of the table, move it away, and its rows are done again."
            ) from error

    def _write(self, rows: Any) -> None:  # noqa: ANN401  a table of pyarrow
        buffer = io.BytesIO()
        parquet.write_table(rows, buffer, compression="zstd")
        self.out.write(
            f"{FOLDER}/part{self.shard}-{time.time_ns():020d}-{secrets.token_hex(4)}.parquet", buffer.getvalue()
        )

    def _write_batches(self, batches: Sequence[Any]) -> None:
        if sum(batch.num_rows for batch in batches):
            self._write(arrow.Table.from_batches(batches, schema=schema()))


def _parts(file: Any, columns: list[str] | None) -> Iterator[Any]:  # noqa: ANN401  a file of pyarrow
    """The records of a file of the table, some at a time.

    Raises:
        ValueError: It is none.
    """
    reader = parquet.ParquetFile(file)
    if lacking := [column for column in COLUMNS if column not in reader.schema_arrow.names]:
        raise ValueError(f"it has no column {lacking[0]!r}")
    for batch in reader.iter_batches(batch_size=4096, columns=columns):
        if gaps := [column for column in _WHOLE & {*batch.schema.names} if batch.column(column).null_count]:
            raise ValueError(f"its column {gaps[0]!r} has gaps")
        yield batch


def _key(text: str) -> bytes:
    """A key as it is compared; b"" of what is none."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _who(batch: Any) -> list[tuple[str, int]]:  # noqa: ANN401  a part of a table
    return list(zip(batch.column("id").to_pylist(), batch.column("edit").to_pylist(), strict=True))
