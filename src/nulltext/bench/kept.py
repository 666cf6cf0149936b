"""What a run keeps on disk, and how it is known to be whole and its own when it is read back."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nulltext.bench.keys import FORMAT
from nulltext.files import write_file
from nulltext.images import SourceImage, to_image
from nulltext.types import OnePixels

Value = str | int | float | bool | None
Row = dict[str, Value]

MEASURED, FAILED = "measured", "failed"
"""What the column ``status`` says of a row."""

ROWS, SAMPLES = "rows", "images"
"""Folders of a run: a file for all rows of a method on an image, and images of the first few cases to look at."""

_NOT_IN_NAMES = {ord(each): f"%{ord(each):02X}" for each in '%/\\:*?"|'}
"""What a method may be called by and a file may not, on some system or other; as in a URL."""

_STAMP = "nulltext"
"""The text chunk of a PNG that says of what it is an image."""


def write_kept(path: Path, key: str, rows: Sequence[Row]) -> None:
    """Keeps rows under their key.

    Raises:
        OutputWriteError: The system refused.
    """
    record = {"format": FORMAT, "key": key, "sha256": _sha256(rows), "rows": rows}
    write_file(path, json.dumps(record, indent=1).encode(), overwrite=True)


def read_kept(path: Path, key: str) -> list[Row] | None:
    """The rows kept under a key; None where there are none, or what is there is damaged or another's."""
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    found = cast("dict[str, Any]", record)
    whole = (
        found.get("format") == FORMAT and found.get("key") == key and found.get("sha256") == _sha256(found.get("rows"))
    )
    return found["rows"] if whole else None


def write_sample(path: Path, image: Image.Image, stamp: str) -> None:
    """Keeps an image to look at, with a stamp that says of what it is one.

    Raises:
        OutputWriteError: The system refused.
    """
    about, data = PngInfo(), io.BytesIO()
    about.add_text(_STAMP, stamp)
    image.save(data, format="PNG", pnginfo=about)
    write_file(path, data.getvalue(), overwrite=True)


def read_sample(path: Path, stamp: str) -> Image.Image | None:
    """The image kept with a stamp; None where there is none, or what is there is damaged or another's."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            return image if image.info.get(_STAMP) == stamp else None
    except Exception:  # noqa: BLE001  Pillow's readers raise whatever they come upon
        return None


def keep_samples(folder: Path, row: Row, image: SourceImage, output: OnePixels) -> None:
    """Keeps the image that a row tells of, and its source.

    Raises:
        OutputWriteError: The system refused.
    """
    for (path, stamp), pixels in zip(samples_of(folder, row), (image.pixels, output), strict=True):
        write_sample(path, to_image(pixels), stamp)


def samples_of(folder: Path, row: Row) -> tuple[tuple[Path, str], tuple[Path, str]]:
    """Where the source of a row and the image it tells of are kept, if they are, each with its stamp."""
    source = folder / f"{row['case']}.source.png", f"{row['sha256']} {row['revision']}"
    method = str(row["method"]).translate(_NOT_IN_NAMES)
    return source, (folder / f"{row['case']}.{method}.png", str(row["key"]))


def has_samples(folder: Path, row: Row) -> bool:
    """Whether both are kept, whole and its own."""
    return all(read_sample(path, stamp) is not None for path, stamp in samples_of(folder, row))


def _sha256(rows: object) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
