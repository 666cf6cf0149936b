"""Any picture file as upright 8-bit sRGB."""

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from nulltext.errors import ImageDecodeError, ImageNotFoundError, ImageTooLargeError

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "MPO", "AVIF", "JPEG2000", "PPM")
"""What is opened. Pillow knows more, and hands drawings (EPS, WMF) to other programs."""
MAX_PIXELS = 178_956_970
"""The largest picture that is opened, in pixels: where Pillow, too, takes a file for a decompression bomb."""


def read(source: str | os.PathLike[str] | bytes | Image.Image) -> tuple[Image.Image, str]:
    """An upright 8-bit RGB picture, and the digest of what it came from."""
    if isinstance(source, Image.Image):
        name, data, image = "the picture", None, source
    elif isinstance(source, bytes):
        name, data, image = "the picture", source, decode("the picture", source)
    else:
        name, data = str(source), read_bytes(Path(source))
        image = decode(name, data)
    if image.width * image.height > MAX_PIXELS:
        raise ImageTooLargeError(_too_large(name, f"{image.width} x {image.height}"))
    try:
        upright = ImageOps.exif_transpose(image)
        digest = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes() if data is None else data)
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise ImageDecodeError(
            f"{name} is truncated or damaged: {error}. Expected a whole picture; copy or export it again."
        ) from error
    return _rgb(name, upright), digest.hexdigest()


def read_bytes(path: Path) -> bytes:
    """A file's bytes; an `ImageError` if there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"there is no file {path}; expected a picture. Check the path.") from error
    except OSError as error:
        raise ImageDecodeError(f"cannot read {path}: {error.strerror}. Expected a picture file.") from error


def header(data: bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    """A picture of which the header is read; pixels are decoded later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the bound here
        return Image.open(io.BytesIO(data), formats=formats)


def decode(name: str, data: bytes) -> Image.Image:
    """A picture of a file's bytes, its header read; an `ImageError` that calls it `name` if it is none."""
    try:
        return header(data, FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(_too_large(name, f"{len(data)} bytes that unpack to far more")) from error
    except Exception as error:
        raise ImageDecodeError(
            f"{name} is not a picture that can be read ({len(data)} bytes); expected JPEG, PNG, WebP, TIFF, BMP, GIF "
            "or another common format. Export it as one of these."
        ) from error


def _too_large(name: str, got: str) -> str:
    return f"{name} has {got} pixels; expected at most {MAX_PIXELS} altogether. Scale it down first."


_PROFILED = {"RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB", "L": "RGB"}
"""Modes whose colour profile is followed, and what they become; others keep none or have no room for one."""


def _srgb(image: Image.Image) -> Image.Image:
    """A picture in the colours of sRGB, by the profile in its file; one without, or with an unreadable one, as it is.

    Cameras and phones write wide-gamut pictures (Adobe RGB, Display P3); read as sRGB they would come out pale.
    """
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in _PROFILED:
        return image
    cms: Any = ImageCms  # a profile has no type there
    srgb = cms.createProfile("sRGB")
    try:
        converted = cms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode=_PROFILED[image.mode])
    except (ImageCms.PyCMSError, OSError):  # viewers, too, take a damaged profile for none
        return image
    return converted


def _rgb(name: str, image: Image.Image) -> Image.Image:
    """Any picture as 8-bit sRGB."""
    image = _srgb(image)
    if image.mode.startswith("I"):  # 16 bits, in Pillow's several notations; convert() would clip, not scale
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise ImageDecodeError(
                f"{name} has integer pixels from {values.min()} to {values.max()}; expected at most 16 bits, 0 to "
                "65535. Export it with 8 or 16 bits."
            )
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageDecodeError(
            f"{name} has floating-point pixels, whose black and white are not known. Export it with 8 or 16 bits."
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image.convert("RGB")
