"""Images whose last rows are missing, where the reader of the format leaves them blank and says nothing."""

import io
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final

from PIL import Image

_CORNER, _BLOCK = 4, 8
"""So many pixels at the end of the last row, but no more than of a JPEG's last block, are one colour if it is missing;
only then is the file looked through."""
_PIECE = 2**16
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""How many numbers a pixel has, by the colour type of a PNG."""
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Where the pixels of each pass of an interlaced PNG begin, across and down, and how far they are apart."""
_JPEG_PART: Final = re.compile(rb"\xff+([\xc0-\xfe])", re.DOTALL)
_JPEG_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
"""What ends the data of a scan: any marker but those that restart it."""
_BASELINE, _SCAN, _END = (0xC0, 0xC1), 0xDA, b"\xff\xd9"
_ONES = b"\xff\x00" * 8
"""As many bits as a reader of a JPEG looks ahead, which are no block."""


def check_end(image: Image.Image, data: bytes) -> None:
    """Makes sure that an image has its last rows.

    Args:
        image: As it was read, decoded.
        data: Its file.

    Raises:
        OSError: It has not.
    """
    check = _CHECKS.get(image.format or "")
    interlaced = bool(image.info.get("interlace"))  # whose passes each have rows to miss
    if check is not None and (interlaced or _is_blank(image)) and check(data):
        raise OSError("its last rows are missing")


def _is_blank(image: Image.Image) -> bool:
    """Whether an image ends with one colour."""
    width, height = image.size
    begin = max(0, width - _CORNER, (width - 1) // _BLOCK * _BLOCK)
    corner = image.crop((begin, height - 1, width, height))
    extrema: Any = corner.getextrema()
    return all(low == high for low, high in (extrema if isinstance(extrema[0], tuple) else (extrema,)))


def _png_is_short(data: bytes) -> bool:
    """Whether a PNG unpacks to fewer bytes than its rows take."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    bits = data[24] * _CHANNELS[data[25]]
    sizes = [(width, height)]
    if data[28]:
        sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in _ADAM7]
    left = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)
    unpack = zlib.decompressobj()
    for piece in _png_pixels(data):
        packed = piece
        while left > 0 and (got := unpack.decompress(packed, _PIECE)):
            left -= len(got)
            packed = unpack.unconsumed_tail
    return left > 0


def _png_pixels(data: bytes) -> Iterator[bytes]:
    """What the chunks of a PNG's pixels hold."""
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            yield data[at + 8 : at + 8 + size]
        at += size + 12


def _jpeg_2000_is_short(data: bytes) -> bool:
    """Whether a JPEG 2000 of one colour has nothing behind its header."""
    return _END not in data


def _jpeg_is_short(data: bytes) -> bool:
    """Whether a JPEG of one scan lacks some of it: without its end marker the reader notices what is missing."""
    at, baseline = 2, False
    while (part := _JPEG_PART.match(data, at)) is not None:
        kind = part[1][0]
        baseline = baseline or kind in _BASELINE
        at = part.end() + int.from_bytes(data[part.end() : part.end() + 2], "big")
        if kind == _SCAN:
            break
    after = _JPEG_AFTER_SCAN.search(data, at)
    if not baseline or after is None or after[0] != _END:  # several scans, each of which may be short
        return False
    try:
        with Image.open(io.BytesIO(data[: after.start()] + _ONES), formats=("JPEG",)) as cut:
            cut.load()
    except OSError:
        return True
    return False


_CHECKS: Final = {
    "PNG": _png_is_short,
    "JPEG": _jpeg_is_short,
    "MPO": _jpeg_is_short,  # several photographs of a camera, of which the first is opened
    "JPEG2000": _jpeg_2000_is_short,
}
