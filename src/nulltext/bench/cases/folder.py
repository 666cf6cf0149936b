"""Cases from a folder of images, with their captions in one CSV or JSONL file."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import cast

from PIL import Image

from nulltext.bench.case import Case, Entry, Refused
from nulltext.bench.cases.files import (
    check_name,
    check_words,
    distinct,
    find_file,
    open_upright,
    parse_json,
    read_text,
)
from nulltext.errors import CaseError, CaseNotFoundError, ImageError
from nulltext.mask_images import open_mask

REQUIRED = ("file", "source", "target")
OPTIONAL = ("name", "kind", "blend_source", "blend_target", "mask", "truth", "seed")
SEEDS = range(2**63)
"""Those that a generator of torch takes."""

_Row = tuple[str, Mapping[str, str] | CaseError]
"""Where it stands, and its filled cells by column, or what is wrong with it."""


def read_folder(path: str | os.PathLike[str]) -> list[Entry]:
    r"""Reads a folder of images and their captions, and checks all of it before anything is measured.

    The captions are in one file, one edit a row: CSV with a line of column names, or JSONL with an object a line, in
    UTF-8. A column left out, or a cell left empty, is as good as none.

    | column | |
    |---|---|
    | file | the photograph: its path from the folder, with / or \ |
    | source, target | the captions of the photograph and of the edit |
    | name | of the case; by default the file's path without its ending, with - for each slash |
    | kind | the category it is counted in |
    | blend_source, blend_target | words whose places may change, commas (in JSONL also a list) between several |
    | mask | an image of the photograph's size, white where the edit belongs |
    | truth | the true edited image, of the photograph's size |
    | seed | of every random draw, 0 by default |

    Args:
        path: The folder, with one such file in it, or the file.

    Returns:
        The cases, in the order of the rows, each row that cannot be used in its place.

    Raises:
        CaseNotFoundError: There is no such folder or file.
        CaseError: The file cannot be read, or has no rows.
    """
    file = _captions_file(Path(path))
    text = read_text(file)
    rows = list(_csv_rows(file, text) if file.suffix.lower() == ".csv" else _json_rows(file, text))
    if not rows:
        raise CaseError(f"{file}: got no rows; expected one for each edit. Write columns {', '.join(REQUIRED)}.")
    entries = [_entry(file.parent, where, cells) for where, cells in rows]
    return distinct(entries)


def _captions_file(path: Path) -> Path:
    if not path.exists():
        raise CaseNotFoundError(f"there is no folder or file {path}. Check the path.")
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in {".csv", ".jsonl"})
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise CaseError(
                f"{path}: got {names}; expected one file of captions, .csv or .jsonl. "
                + ("Name the one to read." if found else f"Write one with the columns {', '.join(REQUIRED)}.")
            )
        return found[0]
    if path.suffix.lower() not in {".csv", ".jsonl"}:
        raise CaseError(f"got {path}; expected a folder, or a file of captions: .csv or .jsonl. Rename or convert it.")
    return path


def _csv_rows(file: Path, text: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for values in reader:
            where, line = f"{file}, line {line}", reader.line_num + 1
            if not any(value.strip() for value in values):
                continue
            if columns is None:
                columns = [value.strip().lower() for value in values]
                _check_columns(columns, where)
                continue
            yield where, _or_error(partial(_csv_row, columns, values, where))
    except csv.Error as error:
        raise CaseError(
            f"{file}, line {line}: got CSV that cannot be read: {error}. Expected values with commas between them, in "
            "double quotes where they hold a comma, a quote (doubled) or a new line. Correct it there."
        ) from error


def _json_rows(file: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: it cuts inside of captions as well
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        yield where, _or_error(partial(_json_row, line, where))


def _csv_row(columns: Sequence[str], values: Sequence[str], where: str) -> Mapping[str, str]:
    if len(values) != len(columns):
        raise CaseError(
            f"{where}: got {len(values)} values; expected {len(columns)}, one for each column. Put quotes around a "
            "caption that has a comma."
        )
    return _filled(dict(zip(columns, values, strict=True)), where)


def _json_row(line: str, where: str) -> Mapping[str, str]:
    record = parse_json(line, where)
    if not isinstance(record, dict):
        raise CaseError(f"{where}: got {line.strip()[:40]!r}; expected an object, as in {{...}}. Correct it there.")
    values = cast("dict[str, object]", record)
    _check_columns(list(values), where)
    return _filled({column: _text(value, column, where) for column, value in values.items()}, where)


def _or_error(read: Callable[[], Mapping[str, str]]) -> Mapping[str, str] | CaseError:
    try:
        return read()
    except CaseError as error:
        return error


def _text(value: object, column: str, where: str) -> str:
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise CaseError(f"{where}: {column} has half of a character; expected text in UTF-8.") from error
            return value
        case None:
            return ""
        case bool():
            pass
        case int() if column == "seed":
            return str(value)
        case list() if column in {"blend_source", "blend_target"}:
            words = cast("list[object]", value)
            if all(isinstance(word, str) for word in words):
                return ",".join(str(word) for word in words)
        case _:
            pass
    raise CaseError(f"{where}: got {value!r} as {column}; expected text. Put it in quotes, or leave the column out.")


def _check_columns(columns: list[str], where: str) -> None:
    missing = [column for column in REQUIRED if column not in columns]
    unknown = [column for column in columns if column not in REQUIRED + OPTIONAL]
    twice = {column for column in columns if columns.count(column) > 1}
    if missing or unknown or twice:
        wrong = [
            f"{what} {', '.join(map(repr, names))}"
            for what, names in (("no", missing), ("the unknown", unknown), ("twice", sorted(twice)))
            if names
        ]
        raise CaseError(
            f"{where}: got {'; '.join(wrong)}; expected the columns {', '.join(REQUIRED)}, and none but "
            f"{', '.join(OPTIONAL)} besides. Add, rename or remove columns; commas separate those of a CSV."
        )


def _filled(cells: Mapping[str, str], where: str) -> Mapping[str, str]:
    filled = {column: value.strip() for column, value in cells.items() if value.strip()}
    for column in REQUIRED:
        if column not in filled:
            raise CaseError(f"{where}: got no {column}; expected {_MEANT[column]}. Fill it in.")
    return filled


_MEANT = {
    "file": "the path of an image",
    "source": "the caption of the photograph",
    "target": "the caption of the edit",
}


def _entry(folder: Path, where: str, cells: Mapping[str, str] | CaseError) -> Entry:
    name = where.removeprefix(f"{folder}{os.sep}")
    if isinstance(cells, CaseError):
        return Refused(name=name, where=where, error=cells)
    try:
        return _case(folder, where, cells)
    except CaseError as error:
        fields = {column: cells.get(column, "") for column in ("kind", "source", "target")}
        return Refused(name=name, where=where, error=error, **fields)


def _case(folder: Path, where: str, cells: Mapping[str, str]) -> Case:
    image = find_file(folder, cells["file"], where)
    size = open_upright(image, where).size
    blends = tuple(
        tuple(word.strip() for word in cells.get(column, "").split(",") if word.strip())
        for column in ("blend_source", "blend_target")
    )
    for words, caption in zip(blends, ("source", "target"), strict=True):
        check_words(words, cells[caption], where)
    given = PureWindowsPath(cells["file"])
    return Case(
        name=check_name(cells.get("name", "-".join(given.with_suffix("").parts)), where),
        kind=cells.get("kind", ""),
        image=image,
        source=cells["source"],
        target=cells["target"],
        changed=_mask(find_file(folder, cells["mask"], where), size, where) if "mask" in cells else None,
        blend=(blends[0], blends[1]) if any(blends) else None,
        truth=_truth(find_file(folder, cells["truth"], where), size, where) if "truth" in cells else None,
        words={},
        seed=_seed(cells.get("seed", "0"), where),
        where=where,
    )


def _mask(path: Path, size: tuple[int, int], where: str) -> Image.Image:
    try:
        mask_image = open_mask(path)
    except ImageError as error:
        raise CaseError(f"{where}: {error}") from error
    _check_size(mask_image, size, path, where)
    mask = Image.alpha_composite(Image.new("RGBA", size, (0, 0, 0, 255)), mask_image).convert("L")
    if mask.getextrema() == (0, 0):
        raise CaseError(
            f"{where}: the mask {path} is black all over; expected white where the edit belongs. Paint some, or name "
            "no mask."
        )
    return mask


def _truth(path: Path, size: tuple[int, int], where: str) -> Image.Image:
    truth = open_upright(path, where)
    _check_size(truth, size, path, where)
    return truth


def _check_size(image: Image.Image, size: tuple[int, int], path: Path, where: str) -> None:
    if image.size != size:
        raise CaseError(
            f"{where}: {path} is {image.width} x {image.height}; expected the photograph's {size[0]} x {size[1]}. Make "
            "it that size."
        )


def _seed(text: str, where: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if seed not in SEEDS:
        raise CaseError(f"{where}: got seed {text!r}; expected a whole number from 0 to {SEEDS[-1]}. Correct it.")
    return seed
