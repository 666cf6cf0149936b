"""An image without its last rows is refused, and one that merely ends with one colour is not."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from nulltext import decoding
from nulltext.errors import ImageDecodeError
from nulltext.mask_images import open_mask

WIDTH, HEIGHT = 37, 29
NOISE = Image.frombytes("RGB", (WIDTH, HEIGHT), random.Random(0).randbytes(3 * WIDTH * HEIGHT))
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(depth, kind, share, *, interlaced=False):
    """A PNG of noise that has this share of its rows, whole ones, and is sound otherwise."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    bits, chance = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind], random.Random(1)
    sizes = [(WIDTH, HEIGHT)]
    if interlaced:
        sizes = [(-(-(WIDTH - x) // across), -(-(HEIGHT - y) // down)) for x, y, across, down in PASSES]
    rows = [b"\0" + chance.randbytes(-(-columns * bits // 8)) for columns, count in sizes for _ in range(count)]
    packed = zlib.compress(b"".join(rows[: round(share * len(rows))]))
    palette = chunk(b"PLTE", chance.randbytes(3 * 2**depth)) if kind == 3 else b""
    pieces = b"".join(chunk(b"IDAT", packed[at : at + 100]) for at in range(0, len(packed), 100))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + palette + pieces + chunk(b"IEND", b"")


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(share, image=NOISE, mode="RGB", thumbnail=False, **options):
    """A JPEG that has this share of its scan, and then says that it ends."""
    exif = b"Exif\0\0" + encode(NOISE.resize((8, 8)), "JPEG") if thumbnail else b""
    data = encode(image.convert(mode), "JPEG", **options, **({"exif": exif} if exif else {}))
    begin = data.rindex(b"\xff\xda")
    end = begin + round(share * (len(data) - 2 - begin))
    while data[end - 1] == 0xFF:
        end -= 1
    return data[:end] + b"\xff\xd9"


def blank(kind, **options):
    """An image that ends with one colour."""
    image = NOISE.copy()
    image.paste(options.pop("colour", "black"), (0, HEIGHT // 3, WIDTH, HEIGHT))
    return encode(image.convert(options.pop("mode", "RGB")), kind, **options)


def refused(data):
    for read in (decoding.read, lambda of: open_mask(decoding.decode("the mask", of))):
        try:
            read(data)
        except ImageDecodeError:
            return True
    return False


PNGS = [
    (1, 0),
    (2, 0),
    (4, 0),
    (8, 0),
    (16, 0),
    (8, 2),
    (16, 2),
    (1, 3),
    (4, 3),
    (8, 3),
    (8, 4),
    (16, 4),
    (8, 6),
    (16, 6),
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "kind"), PNGS)
def test_a_png(depth, kind, interlaced):
    assert not refused(png(depth, kind, 1, interlaced=interlaced))
    for share in (0.03, 0.5, 0.97):
        assert refused(png(depth, kind, share, interlaced=interlaced)), share


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "L"}, {"mode": "CMYK"}, {"restart_marker_blocks": 2}, {"optimize": True}, {"thumbnail": True},
     {"quality": 100, "subsampling": 0}],
    ids=str,
)  # fmt: skip
def test_a_jpeg_of_one_scan(options):
    assert not refused(jpeg(1, **options))
    for share in (0.1, 0.5, 0.8):
        assert refused(jpeg(share, **options)), share


def test_a_camera_s_several_photographs():
    buffer = io.BytesIO()
    NOISE.save(buffer, "MPO", save_all=True, append_images=[NOISE.rotate(180)])
    data = buffer.getvalue()
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert not refused(data)
    begin = data.index(b"\xff\xda")
    end = data.index(b"\xff\xd9", begin)
    cut = (begin + end) // 2
    assert refused(data[: cut - (data[cut - 1] == 0xFF)] + b"\xff\xd9" + data[end + 2 :])


def test_a_jpeg_2000_that_is_a_header():
    data = encode(NOISE, "JPEG2000")
    refusals = [refused(data[:end]) for end in range(100, 300)]
    assert all(refusals)
    assert not refused(data)


@pytest.mark.parametrize("colour", ["black", "white", (128, 128, 128)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}), ("PNG", {"mode": "P"}), ("PNG", {"mode": "RGBA"}), ("PNG", {"mode": "1"}), ("JPEG", {}),
        ("JPEG", {"progressive": True}), ("JPEG", {"mode": "L"}), ("JPEG2000", {}), ("GIF", {}), ("TIFF", {}),
        ("WEBP", {}), ("BMP", {}), ("PPM", {}), ("AVIF", {}),
    ],
)  # fmt: skip
def test_what_ends_with_one_colour_is_whole(kind, options, colour):
    assert not refused(blank(kind, colour=colour, **options))
    assert not refused(blank(kind, colour=colour, **options) + b"what a camera puts behind")


def test_a_mask_of_a_file(tmp_path):
    (tmp_path / "mask.png").write_bytes(png(8, 0, 0.5))
    with pytest.raises(ImageDecodeError, match="last rows are missing"):
        open_mask(tmp_path / "mask.png")
