"""Images that strangers send, decoded one at a time and kept no larger than they are of use."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from PIL import Image, ImageChops, ImageOps

from nulltext.decoding import decode
from nulltext.errors import ImageError, TooManyJobsError
from nulltext.mask_images import check_mask_size, grey_mask, open_mask, whole
from nulltext.truncation import check_end
from nulltext.web.limits import Limits
from nulltext.web.requests import EditRequest

MASK_DETAIL = 4
"""A mask is kept at so many times the detail that the model works in: finer than any edge that it can follow."""

_TURN = 3.0
"""So many seconds an image waits for its turn to be decoded."""
_decoding = threading.BoundedSemaphore(1)
"""An image of the largest size takes a few hundred megabytes for the moment in which it is decoded."""
_waiting = threading.BoundedSemaphore(8)
"""Who waits for a turn holds one of the server's few threads; the others are for other requests."""


@contextmanager
def turn() -> Generator[None]:
    """Waits until no other image is decoded.

    Raises:
        TooManyJobsError: Too many others wait, or it takes too long.
    """
    got = False
    if _waiting.acquire(blocking=False):
        try:
            got = _decoding.acquire(timeout=_TURN)
        finally:
            _waiting.release()
    if not got:
        raise TooManyJobsError("many images are being opened; expected fewer at a time. Try again in a moment.")
    try:
        yield
    finally:
        _decoding.release()


def thumbnail(image: Image.Image) -> Image.Image:
    """An image to look at, of at most 1024 pixels on a side."""
    small = image.copy()
    small.thumbnail((1024, 1024))
    return small


def is_inversion(data: bytes, name: str) -> bool:
    """Whether a file is meant as an inversion: by its content, a length and then JSON, or, damaged, by its name."""
    return data[8:9] == b"{" or name.lower().endswith(".safetensors")


class Framed(Protocol):
    """What has a photograph's size, and that of the image that the model works on."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the photograph."""
        ...

    @property
    def fitted(self) -> tuple[int, int]:
        """(height, width) of the image that the model works on."""
        ...


def open_small_mask(data: bytes, inverted: Framed, limits: Limits) -> Image.Image:
    """A mask's file, refused by its header if it does not go with the photograph.

    Raises:
        ImageError: It is no image, too large, of another shape, or damaged.
        UploadTooLargeError: The file is too large.
        TooManyJobsError: Too many others are being opened.
    """
    limits.check_image(data, "the mask")
    mask = decode("the mask", data)
    try:
        check_mask_size(
            (mask.height, mask.width), inverted.size
        )  # it may lie on its side, which not every format says first
    except ImageError:
        check_mask_size(mask.size, inverted.size)
    with turn():
        return small_mask(_grey(mask, data), inverted)


def _grey(mask: Image.Image, data: bytes) -> Image.Image:
    """A mask as `grey_mask(open_mask(mask))` has it to a level or two, without as many copies of its full size.

    Raises:
        ImageError: It is truncated or damaged.
    """
    plain = mask.mode in {"1", "L", "RGB"} and not mask.has_transparency_data
    with whole("the mask"):
        mask.load()
        check_end(mask, data)
        if not plain and mask.mode not in {"LA", "RGBA"}:
            return grey_mask(open_mask(mask))
        ImageOps.exif_transpose(mask, in_place=True)
        grey = mask.convert("L")
        return grey if plain else ImageChops.multiply(grey, mask.getchannel("A"))


def small_mask(mask: Image.Image, inverted: Framed) -> Image.Image:
    """A mask over a photograph, in grey and no larger than the model's image needs.

    Raises:
        ImageError: It is of another shape than the photograph.
    """
    check_mask_size(mask.size, inverted.size)
    height, width = inverted.size
    detail = min(1.0, MASK_DETAIL * max(inverted.fitted[0] / height, inverted.fitted[1] / width))
    most = max(1, round(width * detail)), max(1, round(height * detail))
    grey = grey_mask(mask)
    return grey.resize(most, Image.Resampling.BILINEAR) if grey.width > most[0] or grey.height > most[1] else grey


def with_small_masks(request: EditRequest, inverted: Framed) -> EditRequest:
    """An edit with its masks, and those of what it goes on from, as `small_mask` has them.

    Raises:
        ImageError: One is of another shape than the photograph.
    """

    def small(one: EditRequest) -> EditRequest:
        return one if one.mask is None else replace(one, mask=small_mask(one.mask, inverted))

    return replace(small(request), before=tuple(small(one) for one in request.before))
