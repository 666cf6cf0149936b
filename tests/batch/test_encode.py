"""Edited images as files: colours and EXIF of the photograph's own file, without its place unless that is asked for."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from nulltext.batch.encode import Original
from nulltext.decoding import read

GPS, SUB, MAKER, ORIENTATION = 0x8825, 0x8769, 0x927C, 0x0112


def _photo(form: str = "JPEG", profile: bytes | None = None) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x0110] = 6, "A camera"
    exif[SUB] = {0x9003: "2026:01:02 03:04:05", MAKER: b"secret place"}
    exif[GPS] = {1: "N", 2: (48.0, 51.0, 30.0)}
    buffer = io.BytesIO()
    more = {} if profile is None else {"icc_profile": profile}
    Image.new("RGB", (20, 10), (200, 30, 40)).save(buffer, form, exif=exif.tobytes(), **more)
    return buffer.getvalue()


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("gps", [False, True])
def test_exif_is_kept_and_the_place_only_if_asked(form, gps):
    image = Image.new("RGB", (20, 10), "white")
    exif = _opened(Original.of(_photo(), gps=gps).encode(image, form)).getexif()
    assert exif[0x0110] == "A camera"
    assert exif[ORIENTATION] == 1
    assert exif.get_ifd(SUB)[0x9003] == "2026:01:02 03:04:05"
    assert bool(exif.get_ifd(GPS)) == gps
    assert (MAKER in exif.get_ifd(SUB)) == gps


def test_without_gps_no_byte_of_it_is_left():
    photo = _photo()
    assert b"secret place" in photo
    assert b"secret place" not in Original.of(photo, gps=False).encode(Image.new("RGB", (9, 9)), "jpeg")


def _wide_gamut() -> bytes:
    """A profile like sRGB's with other primaries: Display P3, as phones write it."""
    from nulltext.colours import _coded_profile

    profile = _coded_profile("it", 12, 13)
    assert profile is not None
    return profile


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_colours_are_those_of_the_photographs_profile(form):
    profile = _wide_gamut()
    original = Original.of(_photo(profile=profile), gps=False)
    image = Image.fromarray(np.dstack([np.full((16, 16), value, np.uint8) for value in (120, 200, 90)]))
    data = original.encode(image, form)
    assert _opened(data).info["icc_profile"] == profile
    again, _ = read(data)
    assert np.abs(np.asarray(again, int) - np.asarray(image, int)).max() <= 5  # what the formats lose
    raw = np.asarray(_opened(data).convert("RGB"), int)
    assert np.abs(raw - np.asarray(image, int)).max() > 8  # numbers of another space


@pytest.mark.parametrize(
    "data", [b"", b"no image", _photo()[:60], _photo(profile=b"no profile")], ids=["empty", "text", "cut", "profile"]
)
def test_what_cannot_be_read_is_left_out(data):
    encoded = Original.of(data, gps=True).encode(Image.new("RGB", (9, 9)), "png")
    assert "icc_profile" not in _opened(encoded).info


def test_profiles_of_other_spaces_are_left_out():
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG", icc_profile=grey)
    assert Original.of(buffer.getvalue(), gps=False).profile is None
