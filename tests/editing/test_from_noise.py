from typing import Any

import pytest
import torch

from nulltext import DDIM, generate, open_image
from nulltext.editing.methods.from_noise import FromNoise
from nulltext.errors import EmptyPromptError


@pytest.fixture(scope="module")
def inversion(any_model, image):
    """Of another size than the model's own."""
    return DDIM(steps=3)(any_model, open_image(image, any_model, size=(48, 72)), "a red ball on grass")


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_is_generation_of_the_images_size(any_model, inversion):
    edit = FromNoise(seed=7)(any_model, inversion, "a dog")
    assert edit.pixels.shape == (1, 3, 48, 72)
    assert torch.equal(edit.pixels, generate(any_model, "a dog", steps=3, seed=7, size=(48, 72)))
    torch.testing.assert_close(edit.source, any_model.decode(inversion.pivot[-1:]))


def test_several_in_one_batch_are_what_each_is_alone(any_model, inversion):
    batched = FromNoise()(any_model, inversion, ["a cat", "a dog"])
    for i, prompt in enumerate(["a cat", "a dog"]):
        single = FromNoise()(any_model, inversion, prompt)
        torch.testing.assert_close(batched.pixels[i : i + 1], single.pixels, rtol=1e-3, atol=1e-3)


def test_seed_and_guidance_matter(any_model, inversion):
    asked: list[dict[str, Any]] = [{}, {"seed": 1}, {"guidance": 1.0}]
    first, seed, guidance = (FromNoise(**settings)(any_model, inversion, "a dog").pixels for settings in asked)
    assert not torch.allclose(first, seed)
    assert not torch.allclose(first, guidance)


def test_no_prompt(any_model, inversion):
    with pytest.raises(EmptyPromptError):
        FromNoise()(any_model, inversion, [])
