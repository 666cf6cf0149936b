"""Edited images as files, with what the photograph's own file says of itself."""

import io
from dataclasses import dataclass
from typing import Any, Final, final

from PIL import Image, ImageCms

from nulltext.decoding import decode
from nulltext.errors import ImageError

_ORIENTATION, _GPS, _MAKER_NOTE, _SUB = 0x0112, 0x8825, 0x927C, 0x8769
_OF_PIXELS: Final = (0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0111, 0x0115, 0x0116, 0x0117, 0x011A, 0x011B, 0x0128)
"""Tags that describe how a TIFF lays out its pixels; in another file they would be wrong."""
_SAVED: Final[dict[str, dict[str, Any]]] = {
    "png": {"compress_level": 4},
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"quality": 92, "method": 4},
}


@final
@dataclass(frozen=True)
class Original:
    """What a photograph's file says beside its pixels.

    Attributes:
        profile: Its ICC profile of an RGB space; None for none.
        exif: Its EXIF block without the thumbnail, upright; b"" for none.
    """

    profile: bytes | None = None
    exif: bytes = b""

    @classmethod
    def of(cls, data: bytes, *, gps: bool) -> "Original":
        """Reads it.

        Args:
            data: The file's bytes.
            gps: Whether the place is kept, and the maker's note, which may hold it.
        """
        try:
            image = decode("the image", data)
        except ImageError:
            return cls()
        profile = image.info.get("icc_profile") if image.mode in {"RGB", "RGBA", "P"} else None
        return cls(profile if _is_rgb(profile) else None, _exif(image, gps=gps))

    def encode(self, image: Image.Image, form: str) -> bytes:
        """An edited image, sRGB, as a file: in the photograph's colour space, with its EXIF.

        Args:
            image: RGB.
            form: "png", "jpeg" or "webp".
        """
        more = dict(_SAVED[form])
        if self.profile is not None:
            cms: Any = ImageCms  # a profile has no type there
            target = cms.ImageCmsProfile(io.BytesIO(self.profile))
            image = cms.profileToProfile(image, cms.createProfile("sRGB"), target, outputMode="RGB")
            more["icc_profile"] = self.profile
        if self.exif:
            more["exif"] = self.exif
        buffer = io.BytesIO()
        image.save(buffer, form.upper(), **more)
        return buffer.getvalue()


def _is_rgb(profile: bytes | None) -> bool:
    if not profile:
        return False
    cms: Any = ImageCms
    try:
        return bool(cms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space == "RGB ")
    except (ImageCms.PyCMSError, OSError):  # viewers, too, take a damaged profile for none
        return False


def _exif(image: Image.Image, *, gps: bool) -> bytes:
    try:
        found = image.getexif()
        kept = Image.Exif()
        for tag, value in found.items():
            if tag not in (*_OF_PIXELS, _GPS, _SUB):
                kept[tag] = value
        sub = dict(found.get_ifd(_SUB))
        if not gps:
            sub.pop(_MAKER_NOTE, None)
        if sub:
            kept[_SUB] = sub
        place = found.get_ifd(_GPS)
        if gps and place:
            kept[_GPS] = dict(place)
        if _ORIENTATION in kept:
            kept[_ORIENTATION] = 1  # pixels are upright now
        return kept.tobytes() if len(kept) else b""
    except Exception:  # noqa: BLE001  Pillow's reader raises whatever it comes upon; a damaged block is left out
        return b""
