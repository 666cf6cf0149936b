"""Arrays as images: shapes, types and ranges that are taken, and those that are refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from nulltext import open_image
from nulltext.arrays import image_of
from nulltext.errors import ImageDecodeError

BYTES = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
FIRST = torch.from_numpy(BYTES).permute(2, 0, 1)

SAME = {
    "bytes": BYTES,
    "not contiguous": np.asfortranarray(BYTES),
    "floats": BYTES / 255,
    "single": (BYTES / 255).astype(np.float32),
    "tensor": FIRST,
    "a batch of one": FIRST[None],
    "tensor of floats": FIRST / 255,
    "one that asks for a gradient": (FIRST / 255).requires_grad_(),
}


@pytest.mark.parametrize("array", SAME.values(), ids=SAME)
def test_an_array_is_the_image_that_it_holds(array, model):
    assert np.array_equal(np.asarray(image_of(array)), BYTES)
    assert open_image(array, model).sha256 == open_image(Image.fromarray(BYTES), model).sha256


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_near_as_it_can_be(dtype):
    off = np.abs(np.asarray(image_of((FIRST / 255).to(dtype)), dtype=int) - BYTES)
    assert off.max() <= (1 if dtype == torch.bfloat16 else 0)


@pytest.mark.parametrize(
    ("array", "mode"),
    [(BYTES[..., 0], "L"), (BYTES[..., :1], "L"), (FIRST[:1], "L"), (np.dstack([BYTES, BYTES[..., :1]]), "RGBA")],
)
def test_grey_and_transparent_ones(array, mode):
    assert image_of(array).mode == mode


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (BYTES.transpose(2, 0, 1), r"shape \(3, 12, 20\)"),
        (FIRST.permute(1, 2, 0), r"shape \(12, 20, 3\)"),
        (FIRST[None].expand(2, -1, -1, -1), r"shape \(2, 3, 12, 20\)"),
        (BYTES[..., :2], r"shape \(12, 20, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (BYTES.astype(np.int64), "array of int64"),
        (BYTES > 3, "array of bool"),
        (BYTES.astype(float), "values from 0 to 255"),
        (FIRST / 127.5 - 1, r"values from -1 to 1.*take \(x \+ 1\) / 2"),
        (np.full((4, 4, 3), np.nan), "values from nan"),
        (np.array([["a"]]), "array of <U1"),
    ],
)
def test_others_are_refused_with_what_is_expected(array, says, model):
    with pytest.raises(ImageDecodeError, match=says) as caught:
        open_image(array, model)
    assert "expected [height, width]" in str(caught.value)
