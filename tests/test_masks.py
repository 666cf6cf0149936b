"""Masks drawn over a photograph, fitted and put back."""

import numpy as np
import pytest
import torch
from PIL import Image

from nulltext.errors import ImageDecodeError, ImageError, ImageNotFoundError
from nulltext.images import open_image
from nulltext.mask_images import open_mask
from nulltext.models.base import Model


def half(size: tuple[int, int], mode: str = "L") -> Image.Image:
    """White on the left."""
    mask = Image.new(mode, size)
    mask.paste("white", (0, 0, size[0] // 2, size[1]))
    return mask


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(96, 80), (192, 160), (48, 40)])
def test_a_mask_is_fitted_like_the_image(model: Model, image: Image.Image, fit, size):
    source_image = open_image(image, model, fit=fit)
    mask = source_image.frame.fit_mask(open_mask(half(size)))
    assert mask.shape == (1, 1, 64, 64)
    left, _, right, _ = source_image.frame.content
    middle = (left + right) // 2
    assert (mask[..., left : middle - 2] > 0.5).float().mean() > 0.6
    assert not mask[..., middle + 3 :].any()
    back = np.asarray(source_image.frame.restore_mask(mask))
    assert back.shape == (80, 96)
    inside = slice(source_image.frame.part[0] + 3, 45)
    assert back[source_image.frame.part[1] + 3 : source_image.frame.part[3] - 3, inside].min() > 200
    assert back[:, 52:].max() == 0


def test_transparent_is_black_and_colours_count_by_brightness(model: Model, image: Image.Image):
    frame = open_image(image, model).frame
    clear = Image.new("RGBA", image.size, (255, 255, 255, 0))
    assert not frame.fit_mask(open_mask(clear)).any()
    assert (frame.fit_mask(open_mask(Image.new("1", image.size, 1))) == 1).all()
    assert (frame.fit_mask(open_mask(Image.new("P", image.size, 0))) == 0).all()


def test_a_file_or_an_image(model: Model, image: Image.Image, tmp_path):
    half(image.size, "RGB").save(tmp_path / "mask.png")
    frame = open_image(image, model).frame
    assert torch.equal(frame.fit_mask(open_mask(tmp_path / "mask.png")), frame.fit_mask(open_mask(half(image.size))))


def test_bad_masks(model: Model, image: Image.Image, tmp_path):
    frame = open_image(image, model).frame
    with pytest.raises(ImageError, match="the mask is 80 x 96; expected the photograph's 96 x 80"):
        frame.fit_mask(open_mask(half((80, 96))))
    with pytest.raises(ImageNotFoundError):
        open_mask(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageDecodeError):
        open_mask(tmp_path / "text.png")
    half((400, 400), "RGB").save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    with pytest.raises(ImageDecodeError, match=r"cut\.png is truncated"):
        open_mask(tmp_path / "cut.png")
    with pytest.raises(ImageDecodeError, match="floating-point"):
        open_mask(Image.new("F", image.size, 1.0))


def test_sixteen_bits_are_scaled_not_clipped(model: Model, image: Image.Image, tmp_path):
    levels = np.full((image.height, image.width), 32896, dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "mask.png")
    frame = open_image(image, model).frame
    for source in (tmp_path / "mask.png", Image.fromarray(levels)):
        assert frame.fit_mask(open_mask(source)).mean() == pytest.approx(128 / 255, abs=0.01)
