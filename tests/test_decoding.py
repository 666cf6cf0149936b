"""Files of every kind, and which colours come out of them, or which sentence."""

import ast
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

import nulltext
from nulltext import decoding
from nulltext.errors import ImageDecodeError, ImageError, ImageTooLargeError

GREEN, GREEN_IN_SRGB = (128, 200, 128), (104, 204, 121)
"""A colour in Display P3 with a gamma of 2.2, and the same in sRGB."""


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(mode: str = "RGB", value: Any = GREEN) -> Image.Image:
    return Image.new(mode, (24, 20), value)


def palette(value: tuple[int, int, int] = GREEN) -> Image.Image:
    image = plain("P", 0)
    image.putpalette(list(value) * 256)
    return image


def noise(kind: str) -> bytes:
    """A file long enough to be cut."""
    return encode(Image.effect_noise((80, 60), 90).convert("RGB"), kind)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: tuple[bytes, bytes], row: bytes = bytes(GREEN) * 24, depth: int = 8, kind: int = 2) -> bytes:
    """A PNG of 24 x 20 of the same row, with chunks between header and pixels."""
    head = struct.pack(">2I5B", 24, 20, depth, kind, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * 20)
    between = b"".join(chunk(*each) for each in chunks)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + between + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def vast(side: int) -> bytes:
    head = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")


def chromaticities(*corners: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(each * 100_000) for each in corners))


P3_CHRM = chromaticities(0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB_CHRM = chromaticities(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"a test"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78 + 3),
        b"cprt": b"text\0\0\0\0" + text + b"\0\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        **tags,
    }
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"lcms", 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s4sI", 2026, 1, 1, 0, 0, 0, b"acsp", b"APPL", 0) + bytes(16) + bytes(4)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + data


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


P3 = profile(
    b"RGB ",
    {
        b"rXYZ": xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.15710, 0.06657, 0.78407),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(2.2)),
    },
)
"""Primaries of Display P3, adapted to D50, and a gamma of 2.2."""
LINEAR_GREY = profile(b"GRAY", {b"kTRC": curve(1.0)})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def lab() -> Image.Image:
    cms = ImageCms
    made = cms.profileToProfile(plain(), cms.createProfile("sRGB"), cms.createProfile("LAB"), outputMode="LAB")
    assert made is not None
    return made


def grey16(value: int, kind: str, **options: Any) -> bytes:
    return encode(Image.fromarray(np.full((20, 24), value, dtype=np.uint16)), kind, **options)


def tiff(**tags: object) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[int(tag[1:])] = value
    return encode(plain(), "TIFF", tiffinfo=directory)


def animation(kind: str) -> bytes:
    return encode(plain(), kind, save_all=True, append_images=[plain(value=(0, 0, 255))], lossless=True)


def heic(**options: Any) -> bytes:
    pytest.importorskip("pillow_heif")
    return encode(plain(), "HEIF", quality=-1, **options)


Maker = Callable[[], bytes | Image.Image]
IMAGES: list[tuple[str, Maker, object]] = [
    # pixel formats
    ("RGB", lambda: encode(plain()), GREEN),
    ("clear RGBA", lambda: plain("RGBA", (255, 0, 0, 0)), (255, 255, 255)),
    ("RGBA", lambda: plain("RGBA", (0, 0, 0, 51)), (204, 204, 204)),
    ("clear LA", lambda: plain("LA", (0, 0)), (255, 255, 255)),
    ("premultiplied RGBa", lambda: plain("RGBa", (0, 0, 0, 51)), (204, 204, 204)),
    ("premultiplied La", lambda: plain("La", (0, 51)), (204, 204, 204)),
    ("palette", lambda: encode(palette((10, 20, 30))), (10, 20, 30)),
    ("clear palette", lambda: encode(palette((10, 20, 30)), transparency=0), (255, 255, 255)),
    ("clear colour of RGB", lambda: encode(plain(), transparency=GREEN), (255, 255, 255)),
    ("grey", lambda: plain("L", 77), (77, 77, 77)),
    ("clear value of grey", lambda: encode(plain("L", 77), transparency=77), (255, 255, 255)),
    ("bilevel", lambda: plain("1", 1), (255, 255, 255)),
    ("CMYK", lambda: plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
    ("CMYK JPEG", lambda: encode(plain("CMYK", (0, 255, 255, 0)), "JPEG"), (254, 0, 0)),
    ("CMYK TIFF", lambda: encode(plain("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    ("Lab TIFF", lambda: encode(lab(), "TIFF"), GREEN),
    ("HSV", lambda: plain("HSV", (0, 255, 255)), (255, 0, 0)),
    ("16-bit grey PNG", lambda: grey16(32896, "PNG"), (128, 128, 128)),
    ("16-bit grey TIFF", lambda: grey16(32896, "TIFF"), (128, 128, 128)),
    ("16-bit grey", lambda: Image.fromarray(np.full((20, 24), 32896, dtype=np.uint16)), (128, 128, 128)),
    ("16-bit RGB", lambda: png(row=struct.pack(">3H", 65535, 32896, 0) * 24, depth=16), (255, 128, 0)),
    ("float", lambda: Image.fromarray(np.zeros((9, 9), np.float32)), "8 or 16 bits"),
    ("beyond 16 bits", lambda: Image.fromarray(np.full((9, 9), 70000, np.int32)), "8 or 16 bits"),
    ("below 0", lambda: Image.fromarray(np.full((9, 9), -1, np.int32)), "8 or 16 bits"),
    ("first frame of GIF", lambda: animation("GIF"), GREEN),
    ("first frame of WebP", lambda: animation("WEBP"), GREEN),
    ("first frame of APNG", lambda: animation("PNG"), GREEN),
    ("first page of TIFF", lambda: animation("TIFF"), GREEN),
    ("BMP", lambda: encode(plain(), "BMP"), GREEN),
    ("JPEG 2000", lambda: encode(plain(), "JPEG2000"), GREEN),
    ("PPM", lambda: encode(plain(), "PPM"), GREEN),
    ("MPO", lambda: encode(plain(), "MPO", save_all=True, append_images=[plain()]), GREEN),
    # what says which colours are meant
    ("P3 RGB", lambda: encode(plain(), icc_profile=P3), GREEN_IN_SRGB),
    ("P3 JPEG", lambda: encode(plain(), "JPEG", quality=95, icc_profile=P3), GREEN_IN_SRGB),
    ("P3 TIFF", lambda: encode(plain(), "TIFF", icc_profile=P3), GREEN_IN_SRGB),
    ("P3 WebP", lambda: encode(plain(), "WEBP", lossless=True, icc_profile=P3), GREEN_IN_SRGB),
    ("P3 AVIF", lambda: encode(plain(), "AVIF", quality=100, subsampling="4:4:4", icc_profile=P3), (101, 205, 121)),
    ("P3 palette", lambda: encode(palette(), icc_profile=P3), GREEN_IN_SRGB),
    ("P3 clear palette", lambda: encode(palette(), icc_profile=P3, transparency=0), (255, 255, 255)),
    ("P3 clear colour of RGB", lambda: encode(plain(), icc_profile=P3, transparency=GREEN), (255, 255, 255)),
    ("P3 RGBA", lambda: encode(plain("RGBA", (*GREEN, 128)), icc_profile=P3), (179, 229, 188)),
    (
        "P3 16-bit RGB",
        lambda: png(
            (b"iCCP", b"p\0\0" + zlib.compress(P3)), row=struct.pack(">3H", 32896, 51400, 32896) * 24, depth=16
        ),
        GREEN_IN_SRGB,
    ),
    ("P3 of another mode", lambda: encode(plain("CMYK", (0, 255, 255, 0)), "TIFF", icc_profile=P3), (255, 0, 0)),
    ("P3 grey", lambda: encode(plain("L", 128), icc_profile=P3), (128, 128, 128)),
    ("linear grey", lambda: encode(plain("L", 55), icc_profile=LINEAR_GREY), (128, 128, 128)),
    ("linear grey and alpha", lambda: encode(plain("LA", (55, 255)), icc_profile=LINEAR_GREY), (128, 128, 128)),
    ("linear 16-bit grey PNG", lambda: grey16(55 * 257, "PNG", icc_profile=LINEAR_GREY), (128, 128, 128)),
    ("linear 16-bit grey TIFF", lambda: grey16(55 * 257, "TIFF", icc_profile=LINEAR_GREY), (128, 128, 128)),
    ("grey's profile on RGB", lambda: encode(plain(), icc_profile=LINEAR_GREY), GREEN),
    ("grey's profile on a palette", lambda: encode(palette(), icc_profile=LINEAR_GREY), GREEN),
    ("sRGB's profile", lambda: encode(plain(), icc_profile=SRGB), GREEN),
    ("damaged profile", lambda: encode(plain(), icc_profile=b"not a profile"), GREEN),
    ("cut profile", lambda: encode(plain(), icc_profile=P3[:200]), GREEN),
    ("gAMA and cHRM of P3", lambda: png((b"gAMA", struct.pack(">I", 45455)), P3_CHRM), GREEN_IN_SRGB),
    ("gAMA and cHRM of sRGB", lambda: png((b"gAMA", struct.pack(">I", 45455)), SRGB_CHRM), GREEN),
    ("linear gAMA", lambda: png((b"gAMA", struct.pack(">I", 100_000)), row=bytes([55] * 72)), (128, 128, 128)),
    (
        "linear gAMA of grey",
        lambda: png((b"gAMA", struct.pack(">I", 100_000)), row=bytes([55] * 24), kind=0),
        (128, 128, 128),
    ),
    ("gAMA of 0", lambda: png((b"gAMA", struct.pack(">I", 0))), GREEN),
    (
        "cHRM that spans nothing",
        lambda: png((b"gAMA", struct.pack(">I", 45455)), chromaticities(*[0.3] * 8)),
        GREEN,
    ),
    (
        "cHRM without a white",
        lambda: png((b"gAMA", struct.pack(">I", 45455)), chromaticities(0.3, 0, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
        GREEN,
    ),
    (
        "cHRM beyond all colours",
        lambda: png((b"gAMA", struct.pack(">I", 45455)), chromaticities(*[9000, 1, 1, 9000] * 2)),
        GREEN,
    ),
    ("gAMA of 40000", lambda: png((b"gAMA", b"\xee\0\0\0")), GREEN),
    ("sRGB before gAMA", lambda: png((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))), GREEN),
    ("profile before gAMA", lambda: png((b"gAMA", b"\0\1\x86\xa0"), (b"iCCP", b"p\0\0" + zlib.compress(SRGB))), GREEN),
    ("cICP of P3", lambda: png((b"cICP", bytes([12, 13, 0, 1]))), (103, 202, 120)),
    ("cICP before sRGB", lambda: png((b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")), (103, 202, 120)),
    ("cICP of sRGB", lambda: png((b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", b"\0\1\x86\xa0")), GREEN),
    ("cICP of nothing known", lambda: png((b"cICP", bytes([99, 13, 0, 1]))), GREEN),
    ("cICP of PQ", lambda: png((b"cICP", bytes([9, 16, 0, 1]))), "high dynamic range"),
    # what is only a part of an image
    ("raw with a thumbnail", lambda: tiff(_254=1), "camera raw.*24 x 20.*JPEG or TIFF"),
    ("DNG", lambda: tiff(_50706=b"\1\4\0\0"), "camera raw.*JPEG or TIFF"),
    ("TIFF of a whole image", lambda: tiff(_254=0), GREEN),
    ("page of several TIFF", lambda: tiff(_254=2), GREEN),
    ("CR2", lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(500), "camera raw.*JPEG or TIFF"),
    ("CR3", lambda: b"\0\0\0\x18ftypcrx " + bytes(500), "camera raw"),
    ("ORF", lambda: b"IIRO" + bytes(500), "camera raw"),
    ("RW2", lambda: b"IIU\0" + bytes(500), "camera raw"),
    ("RAF", lambda: b"FUJIFILMCCD-RAW 0201" + bytes(500), "camera raw"),
    ("X3F", lambda: b"FOVb" + bytes(500), "camera raw"),
    # HEIC, where there is something that reads it
    ("HEIC", heic, GREEN),
    ("HEIC in P3", lambda: heic(icc_profile=P3), GREEN_IN_SRGB),
    ("cut HEIC", lambda: heic()[:300], "damaged|not an image"),
    # what is no image
    ("EPS", lambda: encode(plain(), "EPS"), "an EPS/PostScript file.*PNG or JPEG"),
    ("DOS EPS", lambda: b"\xc5\xd0\xd3\xc6" + bytes(99), "an EPS/PostScript file"),
    ("PDF", lambda: b"%PDF-1.7", "a PDF"),
    ("SVG", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ("WMF", lambda: b"\xd7\xcd\xc6\x9a" + bytes(99), "metafile"),
    ("EMF", lambda: b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(99), "metafile"),
    ("Photoshop", lambda: b"8BPS\0\1" + bytes(99), "Photoshop"),
    ("GIMP", lambda: b"gimp xcf v011\0", "GIMP"),
    ("JPEG XL", lambda: b"\xff\x0a" + bytes(99), "JPEG XL"),
    ("OpenEXR", lambda: b"v/1\1" + bytes(99), "dynamic-range"),
    ("icon", lambda: encode(plain(), "ICO"), "icon"),
    ("video", lambda: b"\0\0\0\x18ftypmp42" + bytes(99), "a video"),
    ("archive", lambda: b"PK\3\4" + bytes(99), "an archive"),
    ("page", lambda: b"<!DOCTYPE html><p>404", "a page of the web"),
    ("Git LFS", lambda: b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ("TGA", lambda: encode(plain(), "TGA"), "not an image"),
    ("nothing", lambda: b"", "not an image"),
    ("text", lambda: b"hello", "not an image"),
    ("zeros", lambda: bytes(1000), "not an image"),
    ("start of a PNG", lambda: b"\x89PNG\r\n\x1a\n", "not an image|damaged"),
    ("bomb", lambda: vast(60_000), "at most"),
    ("below a bomb", lambda: vast(10_000), "truncated or damaged"),
    *(
        (
            f"{share:.0%} of a {kind}",
            lambda kind=kind, share=share: noise(kind)[: int(share * len(noise(kind)))],
            "damaged|not an image",
        )
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
        for share in (0.3, 0.6, 0.9)
        if (kind, share) != ("JPEG2000", 0.9)  # whole but for its last refinement, which decoders do without
    ),
]
"""A name, what makes the file, and the colour it shows or what the sentence says."""


@pytest.mark.parametrize(("make", "wanted"), [each[1:] for each in IMAGES], ids=[each[0] for each in IMAGES])
def test_an_image_shows_its_colours_or_is_named(make, wanted, tmp_path):
    made = make()
    sources = [made]
    if isinstance(made, bytes):
        path = tmp_path / "a.png"  # whatever the name says
        path.write_bytes(made)
        sources.append(path)
    for source in sources:
        if isinstance(wanted, str):
            with pytest.raises(ImageError, match=wanted) as caught:
                decoding.read(source)
            assert isinstance(caught.value, ImageTooLargeError if wanted == "at most" else ImageDecodeError)
        else:
            image, _ = decoding.read(source)
            assert (image.mode, image.size) == ("RGB", (24, 20))
            assert image.getpixel((12, 10)) == pytest.approx(wanted, abs=1)


def test_a_phone_image_is_named_with_what_opens_it_where_that_is_missing(monkeypatch):
    monkeypatch.setattr(decoding, "FORMATS", tuple(name for name in decoding.FORMATS if name != "HEIF"))
    with pytest.raises(ImageDecodeError, match=r"HEIC.*pip install 'nulltext\[heic\]'.*JPEG"):
        decoding.read(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))


def test_a_thumbnail_opened_by_the_caller():
    with pytest.raises(ImageDecodeError, match="camera raw"):
        decoding.read(Image.open(io.BytesIO(tiff(_254=1))))


# ---- no other format is opened, anywhere


def unguarded(source: str) -> list[int]:
    """The lines on which an image is opened with any of Pillow's formats, or by another library."""
    lines: list[int] = []
    tree = ast.parse(source)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="Image") | ast.Attribute(attr="Image"), attr="open"):
                call = called.get(id(node))
                lines += [] if call and any(word.arg == "formats" for word in call.keywords) else [node.lineno]
            case ast.Attribute(attr="imread" | "read_image" | "decode_image"):
                lines.append(node.lineno)
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "PIL":
                known = {"open", "ImageFile", "EpsImagePlugin"} & {name.name for name in names}
                renamed = any(name.name == "Image" and name.asname not in {None, "Image"} for name in names)
                lines += [node.lineno] if known or renamed else []
    return lines


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Image.open(x)", True),
        ("PIL.Image.open(x, 'r')", True),
        ("map(Image.open, files)", True),
        ("from PIL.Image import open", True),
        ("from PIL import Image as I", True),
        ("skimage.io.imread(x)", True),
        ("Image.open(x, formats=FORMATS)", False),
        ("path.open(x)", False),
    ],
)
def test_what_opens_an_image_with_any_format_is_found(line, found):
    assert bool(unguarded(line)) == found


def test_every_image_is_opened_with_a_list_of_formats():
    files = sorted(Path(nulltext.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    assert [(file.name, line) for file in files for line in unguarded(file.read_text(encoding="utf-8"))] == []


def test_the_formats_are_known_to_pillow_and_ask_no_other_program():
    Image.init()
    assert set(decoding.FORMATS) <= set(Image.OPEN)
    assert not set(decoding.FORMATS) & {"EPS", "WMF", "FITS", "GRIB", "BUFR", "HDF5", "MPEG", "PSD"}


def test_heic_is_opened_where_its_package_is_installed():
    """In a process of its own, as this one may have it registered."""
    code = "import sys; sys.modules['pillow_heif'] = None; from nulltext.decoding import FORMATS; print(*FORMATS)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "HEIF" not in result.stdout.split()
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        assert "HEIF" not in decoding.FORMATS
    else:
        assert "HEIF" in decoding.FORMATS
