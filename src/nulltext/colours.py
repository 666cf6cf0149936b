"""Images of any pixel format and colour space, as 8-bit sRGB.

Cameras and phones write wide-gamut images (Adobe RGB, Display P3); read as sRGB they would come out pale. What says
which colours are meant, in the order in which viewers take it: cICP (PNG), an ICC profile, sRGB, gAMA and cHRM (PNG).
"""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nulltext.errors import ImageDecodeError

Array = NDArray[np.float64]

_SPACES = {"RGB ": ("L", "RGB"), "GRAY": ("L",), "CMYK": ("CMYK",)}
"""Colour spaces of profiles, and the modes that are read by them; another profile does not fit, and is left alone."""

_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: (*_SRGB, _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
"""Primaries and white of the colour spaces that cICP names by number (ITU-T H.273)."""


_D50 = np.array([0.9642, 1.0, 0.8249])
_MOST = 3
"""X, Y or Z of a primary beyond which no colour space goes; that of white is about 1."""
_GAMMAS = (0.1, 10)
"""What a PNG can mean by gAMA; beyond, an image would be black or white."""


def srgb(name: str, image: Image.Image, data: bytes | None = None) -> Image.Image:
    """Any image as 8-bit sRGB, what is transparent laid on white.

    Args:
        name: What to call it in an error.
        image: An image of any mode.
        data: The file it came from, if it did; what Pillow does not read of it is read here.

    Raises:
        ImageDecodeError: Its pixels are not colours, or colours of a high dynamic range.
    """
    image = eight_bits(name, image)
    profile = _profile(name, image, data)
    if image.mode in {"RGBa", "La"}:  # premultiplied
        image = image.convert(image.mode.upper())
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    opaque = _followed(_opaque(image), profile)
    if alpha is None:
        return opaque
    return Image.composite(opaque, Image.new("RGB", image.size, "white"), alpha)


def eight_bits(name: str, image: Image.Image) -> Image.Image:
    """An image whose wide pixels are scaled to a byte, which convert() would clip; others as they are.

    Raises:
        ImageDecodeError: Its pixels are floating-point, or beyond 16 bits.
    """
    if image.mode == "F":
        raise ImageDecodeError(
            f"{name} has floating-point pixels, whose black and white are not known. Export it with 8 or 16 bits."
        )
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ImageDecodeError(
            f"{name} has integer pixels from {values.min()} to {values.max()}; expected at most 16 bits, 0 to "
            "65535. Export it with 8 or 16 bits."
        )
    scaled = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    scaled.info = {key: value for key, value in image.info.items() if key != "transparency"}  # a value of 16 bits
    return scaled


def _opaque(image: Image.Image) -> Image.Image:
    """The colours alone, in one of the modes that profiles are for."""
    if image.mode in {"1", "LA"}:
        return image.convert("L")
    return image if image.mode in {"L", "RGB", "CMYK", "LAB"} else image.convert("RGB")


def _followed(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image in the colours of sRGB; one whose profile is damaged or does not fit, as if it had none."""
    cms: Any = ImageCms  # a profile has no type there
    target = cms.createProfile("sRGB")
    if image.mode == "LAB":
        return cms.profileToProfile(image, cms.createProfile("LAB"), target, outputMode="RGB")
    if profile:
        try:
            source = cms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space
            if image.mode in _SPACES.get(space, ()):
                fitting = image.convert("RGB") if space == "RGB " else image
                return cms.profileToProfile(fitting, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # viewers, too, take a damaged profile for none
            pass
    return image.convert("RGB")


# ---- what PNG says of colours beside a profile


def _profile(name: str, image: Image.Image, data: bytes | None) -> bytes | None:
    """The ICC profile of an image, or one made of what else its file says."""
    code = None if data is None else _cicp(data)
    if code is not None:
        return _coded_profile(name, *code)
    if image.info.get("icc_profile"):
        return image.info["icc_profile"]
    gamma = image.info.get("gamma")
    if gamma is None or "srgb" in image.info or not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return None
    *primaries, white = _chromaticities(image.info.get("chromaticity"))
    usual = np.isclose(gamma, 1 / 2.2, atol=0.005) and np.allclose([*primaries, white], [*_SRGB, _D65], atol=0.002)
    return None if usual else _matrix_profile(primaries, white, lambda value: value ** (1 / gamma))


def _chromaticities(chunk: tuple[float, ...] | None) -> tuple[tuple[float, float], ...]:
    """Red, green, blue and white, (x, y) each; sRGB's where the file names none."""
    if chunk is None:
        return (*_SRGB, _D65)
    white, *primaries = zip(chunk[::2], chunk[1::2], strict=True)
    return (*primaries, white)


def _cicp(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer function by the numbers of a PNG's cICP chunk, which Pillow does not read."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"cICP":
            return data[at + 8], data[at + 9]
        if kind == b"IDAT":
            break
        at += 12 + length
    return None


def _coded_profile(name: str, primaries: int, transfer: int) -> bytes | None:
    if transfer in {16, 18}:
        raise ImageDecodeError(
            f"{name} is an image of high dynamic range (PQ or HLG), which has no place in 8 bits. Export it as an "
            "ordinary PNG or JPEG."
        )
    curves: dict[int, Callable[[Array], Array]] = {4: lambda value: value**2.2, 8: lambda value: value}
    if primaries not in _PRIMARIES or (primaries == 1 and transfer not in curves):
        return None
    *corners, white = _PRIMARIES[primaries]
    return _matrix_profile(corners, white, curves.get(transfer, _srgb_curve))


def _srgb_curve(value: Array) -> Array:
    result: Array = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004  as the standard has it
    return result


def _to_d50(chromaticities: Array) -> Array:
    """A colour space, [4, 2], as [3, 3]: X, Y, Z of red, green, blue when its white becomes D50 (Bradford)."""
    corners: Array = np.column_stack((chromaticities, 1 - chromaticities.sum(1)))
    white: Array = corners[3] / corners[3, 1]
    xyz = corners[:3].T
    try:
        columns: Array = xyz * np.linalg.solve(xyz, white)
    except np.linalg.LinAlgError:
        return np.array([np.inf])
    bradford = np.array([(0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)])
    scale = np.diag((bradford @ _D50) / (bradford @ white))
    adapted: Array = np.linalg.inv(bradford) @ scale @ bradford @ columns
    return adapted.T


def _matrix_profile(
    primaries: list[tuple[float, float]], white: tuple[float, float], linear: Callable[[Array], Array]
) -> bytes | None:
    """A minimal ICC profile of a colour space with three primaries; None if these span no colours."""
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = _to_d50(np.array([*primaries, white]))
    if not (np.isfinite(columns).all() and abs(columns).max() < _MOST):
        return None

    def fixed(values: Array) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))

    samples = (linear(np.linspace(0, 1, 4096)) * 65535).round().astype(">u2")
    curve = b"curv\0\0\0\0" + struct.pack(">I", len(samples)) + samples.tobytes()
    tags = {b"wtpt": fixed(_D50), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(fixed, columns), strict=True))
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body
