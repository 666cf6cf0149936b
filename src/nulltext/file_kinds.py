"""What a file is that is not opened as an image, by its first bytes, so that the error says so."""

import re

EXPORT = "Export it as PNG or JPEG."
DEVELOP = "Develop it, and export it as JPEG or TIFF."

HEIC = (
    "a HEIC image, which needs another package to be read",
    "Install it: pip install 'nulltext[heic]'. Or export the image as JPEG.",
)

_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\s*%!|\x04%!|\xc5\xd0\xd3\xc6|\x1b%-12345X", "an EPS/PostScript file", EXPORT),
    (rb"\s*%PDF", "a PDF", "Export its page as PNG or JPEG."),
    (rb"(\xef\xbb\xbf)?\s*<(?i:\?xml|!--|!DOCTYPE svg|svg)", "an SVG or another XML file", EXPORT),
    (rb"\xd7\xcd\xc6\x9a|\x01\0{3}.{36} EMF", "a Windows metafile (WMF or EMF)", EXPORT),
    (rb"8BPS", "a Photoshop file", EXPORT),
    (rb"gimp xcf", "a GIMP file", EXPORT),
    (rb"\xff\x0a|\0{3}\x0cJXL ", "a JPEG XL file", EXPORT),
    (rb"v/1\x01|#\?R(ADIANCE|GBE)", "a high-dynamic-range image (OpenEXR or Radiance)", EXPORT),
    (rb"\0\0[\x01\x02]\0[\x01-\x40]\0", "an icon or a cursor", EXPORT),
    (rb"FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR|FOVb|\0MRM|.{4}ftypcrx", "a camera raw file", DEVELOP),
    (rb"II\*\0.{4}CR\x02\0|II\x1a\0{3}HEAPCCDR", "a camera raw file", DEVELOP),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", *HEIC),
    (rb".{4}ftyp(?!avi[fs])|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video", "Export one of its frames as PNG or JPEG."),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive", "Unpack it, and give the image in it."),
    (rb"\s*(?i:<!doctype html|<html)", "a page of the web", "Save the image itself."),
    (rb"version https://git-lfs", "a note in the place of a file that Git LFS keeps", "Fetch it: git lfs pull."),
)
"""How a file begins, what it is, and what its owner can do."""


def what_it_is(data: bytes) -> tuple[str, str] | None:
    """What a file is that is not opened, and what to do about it; None if its first bytes do not tell."""
    for begins, name, advice in _KINDS:
        if re.match(begins, data[:1024], re.DOTALL):
            return name, advice
    return None
