import hashlib
import inspect
import io
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from nulltext.errors import ImageDecodeError, ImageNotFoundError, SettingError
from nulltext.images import Frame, open_image, to_image, to_image_bytes, to_pixels


@dataclass(frozen=True)
class Fit:
    """What is asked of a model."""

    scale: int = 8
    default_size: tuple[int, int] = (64, 64)


SIZES = Fit()


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def quadrants():
    """Red and green above blue and white, 64 x 64."""
    image = Image.new("RGB", (64, 64), "white")
    image.paste((255, 0, 0), (0, 0, 32, 32))
    image.paste((0, 255, 0), (32, 0, 64, 32))
    image.paste((0, 0, 255), (0, 32, 32, 64))
    return image


# ---- sources


def test_paths_bytes_and_images_give_the_same(tmp_path, image):
    path = tmp_path / "a.png"
    image.save(path)
    source_images = [open_image(source, SIZES) for source in (str(path), path, path.read_bytes(), image)]
    assert all(torch.equal(source_image.pixels, source_images[0].pixels) for source_image in source_images)
    assert {source_image.sha256 for source_image in source_images[:3]} == {
        hashlib.sha256(path.read_bytes()).hexdigest()
    }


def test_pixels_are_what_the_file_holds(quadrants):
    source_image = open_image(quadrants, SIZES)
    assert source_image.pixels.shape == (1, 3, 64, 64)
    assert source_image.pixels.dtype == torch.float32
    assert source_image.pixels.unique().tolist() == [-1, 1]
    assert np.array_equal(np.asarray(to_image(source_image.pixels)), np.asarray(quadrants))


def test_bytes_survive_the_round_trip():
    every = torch.arange(256, dtype=torch.uint8).reshape(16, 16, 1).expand(16, 16, 3)
    assert torch.equal(to_image_bytes(to_pixels(every)), every)


# ---- kinds of images


@pytest.mark.parametrize("orientation", range(1, 9))
def test_is_turned_upright(quadrants, orientation):
    turned = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = quadrants if turned is None else quadrants.transpose(turned)
    exif = Image.Exif()
    exif[0x0112] = orientation
    source_image = open_image(encode(stored, exif=exif), SIZES)
    assert np.array_equal(np.asarray(to_image(source_image.pixels)), np.asarray(quadrants))


def test_orientation_counts_for_the_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    source_image = open_image(encode(Image.new("RGB", (90, 40)), "JPEG", exif=exif), SIZES)
    assert source_image.frame.size == (90, 40)


# ---- fitting and restoring


def test_crop_takes_the_middle(quadrants):
    wide = Image.new("RGB", (128, 64), "black")
    wide.paste(quadrants, (32, 0))
    source_image = open_image(wide, SIZES)
    assert np.array_equal(np.asarray(to_image(source_image.pixels)), np.asarray(quadrants))
    assert source_image.frame.part == (32, 0, 96, 64)


def test_crop_is_put_back_in_its_place():
    image = Image.effect_noise((200, 90), 80).convert("RGB")
    source_image = open_image(image, SIZES)
    back = source_image.restore(torch.ones_like(source_image.pixels))
    left, _, right, _ = source_image.frame.part
    expected = np.array(image)
    expected[:, left:right] = 255
    assert (right - left) == 90
    assert np.array_equal(np.asarray(back), expected)


def test_pad_shows_all_of_it_and_mirrors_the_rest():
    ramp = Image.fromarray(np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 32, 0).repeat(3, 2))
    source_image = open_image(ramp, SIZES, fit="pad")
    assert source_image.frame.content == (0, 16, 64, 48)
    assert source_image.frame.surroundings is None
    fitted = to_image_bytes(source_image.pixels).numpy()
    assert np.array_equal(fitted[16:48], np.asarray(ramp))
    assert np.array_equal(fitted[15], fitted[17])
    assert np.array_equal(np.asarray(source_image.restore(source_image.pixels)), np.asarray(ramp))


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(64, 64), (200, 90), (31, 77), (1, 1), (1, 500), (500, 1), (3, 2), (2000, 1500)])
@pytest.mark.parametrize("wanted", [None, (40, 96)])
def test_any_size_comes_back(fit, size, wanted):
    source_image = open_image(Image.new("RGB", size, (200, 100, 50)), SIZES, fit=fit, size=wanted)
    assert source_image.pixels.shape[2:] == (wanted or (64, 64))
    assert tuple(source_image.frame.fitted) == (wanted or (64, 64))
    back = source_image.restore(source_image.pixels)
    assert back.size == size
    assert (np.asarray(back) == (200, 100, 50)).all()


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_smooth_image_survives(fit, image):
    source_image = open_image(image, SIZES, fit=fit)
    difference = np.asarray(source_image.restore(source_image.pixels)).astype(int) - np.asarray(image)
    assert abs(difference).max() <= 6
    assert abs(difference).mean() < 1


@pytest.mark.filterwarnings("ignore:the model was made for images")
@pytest.mark.parametrize(
    ("wanted", "taken"), [((64, 64), (64, 64)), ((60, 100), (64, 104)), ((8, 11), (8, 8)), ((67, 69), (64, 72))]
)
def test_sizes_are_rounded_to_the_nearest_the_model_can_take(wanted, taken, image):
    assert open_image(image, SIZES, size=wanted).pixels.shape[2:] == taken


def test_settings_out_of_range(image):
    with pytest.raises(SettingError, match="'stretch'"):
        inspect.unwrap(open_image)(image, SIZES, fit="stretch")  # past the check of annotations in tests
    with pytest.raises(SettingError, match="at least 8"):
        open_image(image, SIZES, size=(0, 64))


def test_a_frame_holds_together(image):
    frame = open_image(image, SIZES).frame
    assert Frame.read(frame.record(), frame.surroundings) == frame
    with pytest.raises(SettingError):
        Frame.read(frame.record(), None)


# ---- what is no image


def test_no_such_file(tmp_path):
    with pytest.raises(ImageNotFoundError, match="Check the path"):
        open_image(tmp_path / "a.png", SIZES)


def test_a_folder(tmp_path):
    with pytest.raises(ImageDecodeError, match="cannot read"):
        open_image(tmp_path, SIZES)


def test_a_truncated_image_opened_by_the_caller():
    data = encode(Image.effect_noise((80, 60), 90).convert("RGB"), "JPEG")
    with pytest.raises(ImageDecodeError, match="truncated"):
        open_image(Image.open(io.BytesIO(data[: len(data) // 2])), SIZES)


def test_an_image_that_pillow_finds_large_is_taken_without_a_warning(monkeypatch, image):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", image.width * image.height - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source_image = open_image(encode(image), SIZES)
        frame = Frame.read(source_image.frame.record(), source_image.frame.surroundings)
        assert frame.restore(source_image.pixels).size == image.size
