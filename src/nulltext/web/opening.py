"""Pictures that strangers send, decoded a few at a time and kept no larger than they are of use."""

import threading
from dataclasses import replace

from PIL import Image

from nulltext.decoding import decode, read
from nulltext.errors import ImageError
from nulltext.pictures import check_mask_size, grey_mask, open_mask
from nulltext.web.limits import Limits
from nulltext.web.requests import EditRequest
from nulltext.web.results import Inverted

MASK_DETAIL = 4
"""A mask is kept at so many times the detail that the model works in: finer than any edge that it can follow."""

_decoding = threading.BoundedSemaphore(2)
"""A picture of the largest size takes a few hundred megabytes for the moment in which it is decoded."""


def thumbnail(picture: Image.Image) -> Image.Image:
    """A picture to look at, of at most 1024 pixels on a side."""
    small = picture.copy()
    small.thumbnail((1024, 1024))
    return small


def open_thumbnail(data: bytes) -> Image.Image:
    """A picture's file as a picture to look at.

    Raises:
        ImageError: It is truncated or damaged.
    """
    with _decoding:
        return thumbnail(read(data)[0])


def open_paint(data: bytes, limits: Limits) -> Image.Image:
    """What was painted over a picture, transparent where nothing was.

    Raises:
        ImageError: It is no picture, too large or damaged.
        UploadTooLargeError: The file is too large.
    """
    limits.check_picture(data)
    with _decoding:
        return open_mask(decode("the paint", data))


def open_small_mask(data: bytes, inverted: Inverted, limits: Limits) -> Image.Image:
    """A mask's file, refused by its header if it does not go with the photograph.

    Raises:
        ImageError: It is no picture, too large, of another shape, or damaged.
        UploadTooLargeError: The file is too large.
    """
    limits.check_picture(data)
    mask = decode("the mask", data)
    try:
        check_mask_size(
            (mask.height, mask.width), inverted.size
        )  # it may lie on its side, which not every format says first
    except ImageError:
        check_mask_size(mask.size, inverted.size)
    with _decoding:
        return small_mask(open_mask(mask), inverted)


def small_mask(mask: Image.Image, inverted: Inverted) -> Image.Image:
    """A mask over a photograph, in grey and no larger than the model's picture needs.

    Raises:
        ImageError: It is of another shape than the photograph.
    """
    check_mask_size(mask.size, inverted.size)
    height, width = inverted.size
    detail = min(1.0, MASK_DETAIL * max(inverted.fitted[0] / height, inverted.fitted[1] / width))
    most = max(1, round(width * detail)), max(1, round(height * detail))
    grey = grey_mask(mask)
    return grey.resize(most, Image.Resampling.BILINEAR) if grey.width > most[0] or grey.height > most[1] else grey


def with_small_masks(request: EditRequest, inverted: Inverted) -> EditRequest:
    """An edit with its masks, and those of what it goes on from, as `small_mask` has them.

    Raises:
        ImageError: One is of another shape than the photograph.
    """

    def small(one: EditRequest) -> EditRequest:
        return one if one.mask is None else replace(one, mask=small_mask(one.mask, inverted))

    return replace(small(request), before=tuple(small(one) for one in request.before))
