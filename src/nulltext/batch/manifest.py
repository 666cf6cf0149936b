"""Manifests: a folder of photographs, CSV, JSON lines or Parquet, read row by row."""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final, cast

from nulltext.batch.arrow import arrow, parquet
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage, folder_of, is_url, walk, within
from nulltext.errors import ManifestError, NulltextError, shown

IMAGES: Final = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif", ".jp2")
"""Endings of the files of a folder that are taken for photographs."""
_IMAGE, _PROMPT, _EDIT = ("image", "file_name"), ("prompt", "text"), ("edit", "edits")
"""Columns by the names that they may have; the second of each are those of published data sets."""
OWN: Final = frozenset({*_IMAGE, *_PROMPT, *_EDIT, "id", "mask", "size"})
"""The columns that are no settings."""


def read_manifest(
    where: str,
    *,
    prompt: str = "",
    edits: Sequence[str] = (),
    captions: str | None = None,
    ignore: Sequence[str] = (),
    out: str | None = None,
) -> Iterator[Row]:
    """The rows of a manifest, as they are read.

    Args:
        where: A folder, here or at an address, whose photographs are a row each; or a file that ends in ``.csv``,
            ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.parquet``, with columns ``image``, ``prompt``, ``edit`` (in CSV a
            JSON list for several), and if wanted ``id``, ``mask``, ``size`` and settings by their names. Paths in it
            count from its folder.
        prompt: Of the rows that have none.
        edits: Of the rows that have none.
        captions: For a folder: a file as above, with the prompts (and edits) of the photographs by their names in it.
        ignore: Columns that are not read.
        out: The folder of results: what lies in it is no photograph of a folder that has it inside.

    Raises:
        ManifestError: There is no such manifest, it cannot be read, or there are no rows in it.
    """
    if _kind(where) is None:
        rows = _folder(where, {} if captions is None else _captions(captions, ignore), out)
    elif captions is not None:
        raise ManifestError(f"got captions with the file {where}; expected them with a folder. Leave them out.")
    else:
        rows = _rows(_records(where), folder_of(where), ignore)
    none = True
    for row in _unique(_filled(row, prompt, edits) for row in rows):
        none = False
        yield row
    if none:
        raise ManifestError(f"{shown(where)} has no rows; expected one for each photograph.")


def rows_of(rows: Iterable[Row | Mapping[str, Any]]) -> Iterator[Row]:
    """Rows, of which some may be mappings with the columns of a manifest."""
    yield from _unique(
        each if isinstance(each, Row) else row_of(number, each) for number, each in enumerate(rows, start=1)
    )


def row_of(number: int, record: Mapping[str, Any], folder: Storage | None = None, ignore: Sequence[str] = ()) -> Row:
    """A row of a mapping with the columns of a manifest.

    Args:
        number: Which row it is, from 1.
        record: The columns; under "" what is wrong with the row, if something is.
        folder: Where paths count from; None is the present folder.
        ignore: Columns that are not read.
    """
    folder = Storage("") if folder is None else folder
    settings = {
        name: value
        for name, value in record.items()
        if name and name not in OWN and name not in ignore and value is not None and value != ""
    }
    faults = [str(record[""])] if record.get("") else []

    def found(read: Callable[[], Any], other: Any) -> Any:  # noqa: ANN401  text, or several
        try:
            return read()
        except ManifestError as error:
            faults.append(str(error))
            return other

    called = found(lambda: _text(record, "id"), "")
    image, mask = (found(partial(_path, record, *names), "") for names in (_IMAGE, ("mask",)))
    return Row(
        number=number,
        id=called or _stem(image) or f"row-{number}",
        given=bool(called),
        image=folder.at(image) if image else "",
        prompt=found(lambda: _text(record, *_PROMPT), ""),
        edits=found(lambda: _edits(record), ()),
        mask=folder.at(mask) if mask else "",
        size=found(lambda: _text(record, "size"), ""),
        settings=settings,
        fault="; ".join(faults),
    )


def columns(where: str) -> list[str]:
    """The columns of a manifest, of JSON lines those of its first; [] of a folder."""
    if _kind(where) is None:
        return []
    for first in _records(where):
        return list(first)
    return []


def _kind(where: str) -> str | None:
    ending = PurePosixPath(where.partition("?")[0] if is_url(where) else where).suffix.lower()
    known = {".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
    return known.get(ending)


def _records(where: str) -> Iterator[dict[str, Any]]:
    """The rows of a file by column; a line that is none has the key "" with the reason."""
    folder, name = folder_of(where), where if is_url(where) else PurePosixPath(where).name
    try:
        with folder.open_table(name) as file:
            match _kind(where):
                case "parquet":
                    yield from _parquet(file)
                case "json":
                    yield from map(_line, io.TextIOWrapper(file, encoding="utf-8-sig"))
                case kind:
                    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
                    reader = csv.DictReader(text, delimiter="\t" if kind == "tsv" else ",", strict=True)
                    _check_columns(reader.fieldnames or ())
                    for each in reader:
                        more = each.pop(cast("str", None), None)
                        yield (
                            each
                            if more is None
                            else each | {"": f"it has {len(cast('list[str]', more))} cells too many"}
                        )
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"the manifest {shown(where)} is no UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise ManifestError(f"the manifest {shown(where)} is no CSV: {error}. Mend its quotes.") from error
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {shown(where)}: {error}. Check the path.") from error


def _parquet(file: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  pyarrow says no type
    try:
        reader = parquet.ParquetFile(file)
        _check_columns(reader.schema_arrow.names)
        for part in reader.iter_batches(batch_size=1024):
            yield from part.to_pylist()
    except arrow.ArrowInvalid as error:
        raise OSError(f"it is no Parquet file ({str(error).splitlines()[0]})") from error


def _line(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return {"": f"it is no JSON ({error})"}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"": "it is no JSON object"}


def _check_columns(names: Sequence[str]) -> None:
    """Makes sure that no column is there twice, of which one would be lost.

    Raises:
        ManifestError: One is.
    """
    for name in names:
        if name and list(names).count(name) > 1:
            raise ManifestError(f"the manifest has two columns {shown(name)}; expected one. Several edits are a list.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of which no name is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return found


def _rows(records: Iterator[dict[str, Any]], folder: Storage, ignore: Sequence[str]) -> Iterator[Row]:
    for number, record in enumerate(records, start=1):
        if record:
            yield row_of(number, record, folder, ignore)


def _edits(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The new prompts of a row: one, or a list of them, in text a JSON list.

    Raises:
        ManifestError: They are neither.
    """
    value: Any = next((record[name] for name in _EDIT if record.get(name)), None)
    if value is None:
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ManifestError(f"its edits {shown(value)} begin as a JSON list and are none. Mend the list.") from None
    if isinstance(value, str):
        return (value,)
    several = cast("list[Any]", value) if isinstance(value, list) else []
    each = [one for one in several if isinstance(one, str)]
    if not each or len(each) < len(several):
        raise ManifestError(f"its edits are {shown(cast('object', value))}; expected a prompt, or a list of prompts.")
    return tuple(each)


def _text(record: Mapping[str, Any], *names: str) -> str:
    """What stands in the first of some columns that has something.

    Raises:
        ManifestError: It is no text.
    """
    name = next((name for name in names if record.get(name) not in (None, "")), None)
    if name is None:
        return ""
    value = record[name]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ManifestError(f"its {name} is {type(value).__name__}; expected text.")
    return str(value).strip()


def _path(record: Mapping[str, Any], *names: str) -> str:
    """Likewise, a path or an address.

    Raises:
        ManifestError: It is neither, such as the bytes of an image.
    """
    try:
        text = _text(record, *names)
    except ManifestError as error:
        raise ManifestError(f"{str(error).partition(';')[0]}; expected a path or an address.") from None
    if "\0" in text:
        raise ManifestError(f"its {names[0]} {shown(text)} has a null character; expected a path or an address.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ManifestError(
            f"its {names[0]} {shown(text)} has half of a character; expected a path or an address."
        ) from None
    return text


def _stem(image: str) -> str:
    """The name of a file without folders and ending."""
    return PurePosixPath(image.partition("?")[0] if is_url(image) else image.replace("\\", "/")).stem


def _captions(where: str, ignore: Sequence[str]) -> dict[str, Row]:
    """The rows of a captions file by the names of their photographs."""
    if _kind(where) is None:
        raise ManifestError(f"got captions {shown(where)}; expected a .csv, .tsv, .jsonl or .parquet file.")
    found: dict[str, Row] = {}
    for record in _records(where):
        name = _text(record, *_IMAGE)
        found[name] = row_of(0, record, ignore=ignore)
    return found


def _folder(where: str, captions: Mapping[str, Row], out: str | None) -> Iterator[Row]:
    """The photographs of a folder."""
    storage = Storage(where)
    if storage.local is not None and storage.local.is_file():
        raise ManifestError(
            f"got the file {shown(where)}; expected a folder, or a .csv, .tsv, .jsonl or .parquet file. Save it as one."
        )
    if storage.local is not None and not storage.local.is_dir():
        raise ManifestError(
            f"there is no manifest {shown(where)}; expected a folder, or a .csv, .tsv, .jsonl or .parquet file."
        )
    if out and within(storage.at("a"), out):
        raise ManifestError(
            f"the photographs of {shown(where)} lie where results are written; expected them elsewhere. Give another "
            "-o."
        )
    try:
        names = [
            name
            for name in walk(where)
            if name.lower().endswith(IMAGES) and not (out and within(storage.at(name), out))
        ]
    except (NulltextError, OSError) as error:
        raise ManifestError(f"cannot list the folder {shown(where)}: {error}") from error
    if not names:
        raise ManifestError(f"there are no photographs in {shown(where)}; expected {', '.join(IMAGES)}.")
    for number, name in enumerate(names, start=1):
        known = captions.get(name) or captions.get(PurePosixPath(name).name)
        mask = "" if known is None else known.mask
        yield Row(
            number=number,
            id=str(PurePosixPath(name).with_suffix("")),
            image=storage.at(name),
            prompt="" if known is None else known.prompt,
            edits=() if known is None else known.edits,
            mask=storage.at(mask) if mask else "",
            size="" if known is None else known.size,
            settings={} if known is None else known.settings,
            fault="" if known is None else known.fault,
        )


def _filled(row: Row, prompt: str, edits: Sequence[str]) -> Row:
    return replace(row, prompt=row.prompt or prompt, edits=row.edits or tuple(edits))


def _unique(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, of which no two have one id.

    What is the name of a file twice, as a disk tells names apart that knows no capitals, is numbered; what the manifest
    calls so twice is a fault of the later row.
    """
    seen = dict[str, int]()
    for row in rows:
        called, again, fault = row.id, 1, row.fault
        if row.given and called in seen:
            fault = fault or (
                f"its id {shown(called)} is that of row {seen[called]}; expected one of its own. Give it another."
            )
        while called in seen or (not row.given and on_disk(called) in seen):
            again += 1
            called = f"{row.id}-{again}"
        for name in {called, on_disk(called)}:
            seen.setdefault(name, row.number)
        yield replace(row, id=called, fault=fault)


def on_disk(name: str) -> str:
    """A name as a disk tells names apart that knows no capitals."""
    return unicodedata.normalize("NFC", name).casefold()
