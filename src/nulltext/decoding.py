"""Any image file as upright 8-bit sRGB.

The formats of `FORMATS` are opened and no others, wherever a file comes from: Pillow knows many more, and hands some of
them (EPS, WMF) to other programs, which what is in a file could then command.
"""

import hashlib
import io
import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from nulltext.arrays import image_of
from nulltext.colours import srgb
from nulltext.errors import ImageDecodeError, ImageNotFoundError, ImageTooLargeError
from nulltext.fetching import fetch, is_address
from nulltext.file_kinds import DEVELOP, EXPORT, HEIC, what_it_is
from nulltext.truncation import check_end


def _heif() -> tuple[str, ...]:
    """The format of phones, where the extra that reads it is installed."""
    try:
        plugin = import_module("pillow_heif")
    except ImportError:
        return ()
    plugin.register_heif_opener(thumbnails=False)
    return ("HEIF",)


FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM", *_heif())
"""What is opened, by Pillow's names; pass it to every `Image.open`."""

MAX_PIXELS = 178_956_970
"""The largest image that is opened, in pixels: where Pillow, too, takes a file for a decompression bomb."""


Source = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | Tensor
"""A path, an address that begins with http:// or https://, a file's bytes, an image of Pillow, or an array."""


def read(source: Source) -> tuple[Image.Image, str]:
    """An upright 8-bit RGB image, and the digest of what it came from."""
    if isinstance(source, (np.ndarray, Tensor)):
        source = image_of(source)
    elif isinstance(source, str) and is_address(source):
        source = fetch(source)
    if isinstance(source, Image.Image):
        name, data, image = "the image", None, source
        _refuse_previews(name, image)
    elif isinstance(source, bytes):
        name, data, image = "the image", source, decode("the image", source)
    else:
        name, data = str(source), read_bytes(Path(source))
        image = decode(name, data)
    if image.width * image.height > MAX_PIXELS:
        raise ImageTooLargeError(_too_large(name, f"{image.width} x {image.height}"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of notes in the file that nobody reads
            upright = ImageOps.exif_transpose(image)
            if data is not None:
                check_end(image, data)
            digest = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes() if data is None else data)
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise ImageDecodeError(
            f"{name} is truncated or damaged: {error}. Expected a whole image; copy or export it again."
        ) from error
    return srgb(name, upright, data), digest.hexdigest()


def read_bytes(path: Path) -> bytes:
    """A file's bytes; an `ImageError` if there is none or it cannot be read."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would be read until somebody writes
            raise ImageDecodeError(f"{path} is a device or a pipe; expected an image file. Check the path.")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"there is no file {path}; expected an image. Check the path.") from error
    except OSError as error:
        raise ImageDecodeError(f"cannot read {path}: {error.strerror}. Expected an image file.") from error


def header(data: bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    """An image of which the header is read; pixels are decoded later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the bound here
        return Image.open(io.BytesIO(data), formats=FORMATS if formats is None else formats)


def decode(name: str, data: bytes) -> Image.Image:
    """An image of a file's bytes, its header read; an `ImageError` that calls it `name` if it is none."""
    try:
        image = header(data)
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(_too_large(name, f"{len(data)} bytes that unpack to far more")) from error
    except Exception as error:
        kind = what_it_is(data)
        if kind is not None and not (kind == HEIC and "HEIF" in FORMATS):
            raise ImageDecodeError(f"{name} is {kind[0]}; expected JPEG, PNG, WebP or TIFF. {kind[1]}") from error
        raise ImageDecodeError(
            f"{name} is not an image that can be read ({len(data)} bytes); expected JPEG, PNG, WebP, TIFF, BMP, GIF "
            f"or another common format. {EXPORT}"
        ) from error
    _refuse_previews(name, image, data)
    return image


_SUBFILE_TYPE, _DNG_VERSION = 254, 50706
"""Tags of TIFF: whether an image is a reduced version of another in the same file, and what only camera raw has."""


def _refuse_previews(name: str, image: Image.Image, data: bytes = b"") -> None:
    """Camera raw files are TIFFs that begin with a thumbnail, which is all that would be seen of them."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if tags.get(_SUBFILE_TYPE, 0) & 1 or _DNG_VERSION in tags or (tags and what_it_is(data)):
        raise ImageDecodeError(
            f"{name} is a camera raw file, or begins with a preview: only {image.width} x {image.height} pixels of it "
            f"can be read; expected the whole image. {DEVELOP}"
        )


def _too_large(name: str, got: str) -> str:
    return f"{name} has {got} pixels; expected at most {MAX_PIXELS} altogether. Scale it down first."
