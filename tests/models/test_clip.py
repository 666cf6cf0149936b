import dataclasses

import pytest
import torch

from nulltext import load
from nulltext.errors import SettingError
from nulltext.models.clip import Clip, clip_for, spherical


@pytest.fixture(scope="module")
def clip():
    return Clip.load()


def test_gradients_reach_images_and_nothing_else(clip):
    for of in (clip.images, clip.patches):
        pixels = torch.zeros(1, 3, 96, 96, requires_grad=True)
        embeddings = of(pixels)
        torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(embeddings.shape[:-1]))
        embeddings[..., 0].sum().backward()
        assert (pixels.grad != 0).float().mean() > 0.9
        assert not of(pixels.detach()).requires_grad
    assert all(weight.grad is None and not weight.requires_grad for weight in clip.model.parameters())


def test_patches_are_those_of_the_last_layer_row_by_row(clip):
    pixels = torch.zeros(1, 3, clip.side, clip.side)
    changed = pixels.clone()
    changed[..., -16:, :16] = 1  # the first patch of the last row, of eight
    before, after = clip.patches(pixels)[0], clip.patches(changed)[0]
    assert before.shape == (64, 128)
    assert (after - before).norm(dim=-1).argmax() == 56


def test_of_a_long_prompt_the_beginning_counts(clip):
    (start,), (longer, longest) = clip.texts(["red " * 38]), clip.texts(["red " * 38 + "cube", "red " * 60])
    torch.testing.assert_close(longer, start)
    torch.testing.assert_close(longest, start)


def test_half_the_square_of_an_angle():
    angles = torch.tensor([0.0, 0.3, 1.5, 3.0])
    rim = torch.stack([angles.cos(), angles.sin()], -1)
    torch.testing.assert_close(spherical(rim, torch.tensor([1.0, 0.0])), angles**2 / 2, rtol=1e-3, atol=1e-6)


def test_the_clip_of_a_model(clip, model):
    assert clip_for(model, clip) is clip
    embedded = load(device="cpu")
    torch.testing.assert_close(clip_for(embedded, None).texts(["a red cube"]), clip.texts(["a red cube"]))
    with pytest.raises(SettingError, match="got no CLIP for epsilon0"):
        clip_for(dataclasses.replace(model, identity=dataclasses.replace(model.identity, id="epsilon0")), None)
