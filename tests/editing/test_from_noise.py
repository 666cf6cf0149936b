from typing import Any

import pytest
import torch

from nulltext import DDIM, generate, open_image
from nulltext.editing.methods.from_noise import FromNoise
from nulltext.errors import EmptyCaptionError


@pytest.fixture(scope="module")
def inversion(any_model, picture):
    """Of another size than the model's own."""
    return DDIM(steps=3)(any_model, open_image(picture, any_model, size=(48, 72)), "a red ball on grass")


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_is_generation_of_the_photographs_size(any_model, inversion):
    edit = FromNoise(seed=7)(any_model, inversion, "a dog")
    assert edit.pixels.shape == (1, 3, 48, 72)
    assert torch.equal(edit.pixels, generate(any_model, "a dog", steps=3, seed=7, size=(48, 72)))
    torch.testing.assert_close(edit.source, any_model.decode(inversion.pivot[-1:]))


def test_several_in_one_batch_are_what_each_is_alone(any_model, inversion):
    together = FromNoise()(any_model, inversion, ["a cat", "a dog"])
    for i, caption in enumerate(["a cat", "a dog"]):
        alone = FromNoise()(any_model, inversion, caption)
        torch.testing.assert_close(together.pixels[i : i + 1], alone.pixels, rtol=1e-3, atol=1e-3)


def test_seed_and_guidance_matter(any_model, inversion):
    asked: list[dict[str, Any]] = [{}, {"seed": 1}, {"guidance": 1.0}]
    first, seed, guidance = (FromNoise(**settings)(any_model, inversion, "a dog").pixels for settings in asked)
    assert not torch.allclose(first, seed)
    assert not torch.allclose(first, guidance)


def test_no_caption(any_model, inversion):
    with pytest.raises(EmptyCaptionError):
        FromNoise()(any_model, inversion, [])
