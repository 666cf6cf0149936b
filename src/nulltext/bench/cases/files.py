"""What the readers of sets of cases check alike; every failure says at which place of which file it is."""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath

from PIL import Image

from nulltext.bench.case import Case, Entry, Refused
from nulltext.decoding import read
from nulltext.errors import CaseError, CaseNotFoundError, ImageError, WordNotFoundError
from nulltext.text.words import Tokens

LONGEST_NAME = 100

_RESERVED = re.compile(r'.*[<>:"/\\|?*].*|(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE)
"""What some file system or other does not take, or takes for a device."""


def check_name(name: str, where: str) -> str:
    """A name in the one Unicode form that compares well.

    Raises:
        CaseError: It is not safe as a file name on every system.
    """
    name = unicodedata.normalize("NFC", name)
    short = 0 < len(name) <= LONGEST_NAME
    if not short or not name.isprintable() or name != name.strip(" .") or _RESERVED.fullmatch(name):
        raise CaseError(
            f"{where}: got the name {name!r}; expected 1 to {LONGEST_NAME} characters that can name a file: no "
            'slashes, none of <>:"|?*, no dot or blank at either end. Choose another name.'
        )
    return name


def distinct(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, of those whose names are the same file somewhere the later ones refused."""
    seen: dict[str, str] = {}
    kept: list[Entry] = []
    for entry in entries:
        name, where = entry.name, entry.where
        first = seen.setdefault(name.casefold(), where) if isinstance(entry, Case) else where
        if first == where:
            kept.append(entry)
            continue
        error = CaseError(
            f"{where}: the name {name!r} is taken, see {first}; expected names that differ in more than capitals. "
            "Give each its own."
        )
        fields = {"kind": entry.kind, "source": entry.source, "target": entry.target}
        kept.append(Refused(name=where, where=where, error=error, **fields))
    return kept


def check_words(words: Sequence[str], caption: str, where: str) -> None:
    """Checks that a caption has the words that a blend goes by, as `Tokens.find` will look for them.

    Raises:
        CaseError: It lacks one.
    """
    spans = tuple(match.span() for match in re.finditer(r"\S+", caption))
    tokens = Tokens(caption, tuple(range(len(spans))), spans)
    for word in words:
        try:
            tokens.find(word)
        except WordNotFoundError as error:
            raise CaseError(f"{where}: {error}") from error


def find_file(folder: Path, name: str, where: str) -> Path:
    r"""A file inside a folder.

    Args:
        folder: The folder.
        name: Its path from there, with / or \, its accents composed or decomposed.
        where: Where the name stands.

    Raises:
        CaseError: The path leads out of the folder.
        CaseNotFoundError: There is no such file.
    """
    given = PureWindowsPath(name)  # which knows both slashes
    if given.drive or given.root or ".." in given.parts:
        raise CaseError(
            f"{where}: got the file {name!r}; expected a path inside of {folder}. Put the file there, and name it by "
            "its path from there."
        )
    for form in (given.as_posix(), *(unicodedata.normalize(form, given.as_posix()) for form in ("NFC", "NFD"))):
        with suppress(OSError, ValueError):  # a name that no file can have
            if (folder / form).is_file():
                return folder / form
    raise CaseNotFoundError(f"{where}: there is no file {name!r} in {folder}. Check the name, its capitals included.")


def open_upright(path: Path, where: str) -> Image.Image:
    """An image, upright and in RGB, decoded to its last pixel.

    Raises:
        CaseError: It is no image, or damaged.
    """
    try:
        return read(path)[0]
    except ImageError as error:
        raise CaseError(f"{where}: {error}") from error


def read_text(path: Path) -> str:
    """A file in UTF-8, with a byte-order mark or without.

    Raises:
        CaseNotFoundError: There is no such file.
        CaseError: It is not UTF-8, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CaseNotFoundError(f"there is no file {path}. Check the path.") from error
    except OSError as error:
        raise CaseError(f"cannot read {path}: {error.strerror}. Check that it is a file that may be read.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CaseError(
            f"{path}, line {line}: got the byte 0x{data[error.start]:02x}, which is not UTF-8; expected UTF-8. Save "
            "the file as that."
        ) from error


def parse_json(text: str, where: str) -> object:
    """A JSON value in which no key stands twice.

    Raises:
        CaseError: It is not one.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CaseError(f"{where}: got JSON that cannot be read: {error}. Expected JSON; correct it there.") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record: dict[str, object] = {}
    for key, value in pairs:
        if key in record:
            raise ValueError(f"the key {key!r} stands twice")
        record[key] = value
    return record
