import dataclasses
from typing import Any

import pytest
import torch

from nulltext import DDIM, Progress, open_image
from nulltext.editing.methods.text2live import Text2LIVE, lay
from nulltext.errors import EmptyPromptError, SettingError
from nulltext.images import to_pixels

PROMPT, TARGET = "a red ball on grass", "a dog"


@pytest.fixture(scope="module")
def inversion(model, source_image):
    return DDIM(steps=2)(model, source_image, PROMPT)


@pytest.fixture(scope="module")
def editor(clip):
    return Text2LIVE(iterations=40, views=4, width=8, scales=3, clip=clip)


def test_clip_comes_to_see_the_prompt(model, inversion, clip, editor, untouched):
    events: list[Progress] = []
    edit = editor(model, inversion, TARGET, events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [("optimise", i, 40) for i in range(1, 41)]
    first, last = (sum(event.loss or 0.0 for event in part) / 5 for part in (events[:5], events[-5:]))
    assert last < 0.9 * first
    before, after = ((clip.images(pixels) @ clip.texts([TARGET]).T).item() for pixels in (edit.source, edit.pixels))
    assert after > before + 0.05
    assert torch.equal(edit.source, to_pixels(inversion.image))
    assert not edit.pixels.requires_grad
    assert edit.masks.shape == (1, 1, 64, 64)
    assert 0 <= edit.masks.min() <= edit.masks.max() <= 1
    assert edit.masks.mean() > 0.2


def test_a_heavy_weight_on_opacity_leaves_the_image_alone(model, inversion, editor):
    edit = dataclasses.replace(editor, sparsity=100.0, learning_rate=0.02)(model, inversion, TARGET)
    assert edit.masks.mean() < 0.05
    assert (edit.pixels - edit.source).abs().mean() < 0.05


@pytest.mark.parametrize("loss", ["composition", "screen", "structure", "sparsity"])
def test_every_loss_has_a_part(model, inversion, editor, loss):
    few = dataclasses.replace(editor, iterations=3)
    without = dataclasses.replace(few, **{loss: 0.0})
    assert not torch.equal(few(model, inversion, TARGET).pixels, without(model, inversion, TARGET).pixels)


def test_the_sources_prompt_and_the_screens_have_a_part(model, inversion, editor):
    few = dataclasses.replace(editor, iterations=3)
    usual = few(model, inversion, TARGET).pixels
    assert not torch.equal(usual, few(model, dataclasses.replace(inversion, prompt="a cat"), TARGET).pixels)
    assert not torch.equal(usual, dataclasses.replace(few, screen_prompt="{}")(model, inversion, TARGET).pixels)


def test_several_are_what_each_is_alone(model, inversion, editor):
    few = dataclasses.replace(editor, iterations=3)
    batched = few(model, inversion, [TARGET, "a cat"])
    for i, prompt in enumerate((TARGET, "a cat")):
        assert torch.equal(batched.pixels[i : i + 1], few(model, inversion, prompt).pixels)
    assert not torch.equal(batched.pixels[0], batched.pixels[1])
    assert not torch.equal(batched.pixels[:1], dataclasses.replace(few, seed=1)(model, inversion, TARGET).pixels)


def test_images_of_any_size(model, clip, image, editor):
    inversion = DDIM(steps=1)(model, open_image(image, model, size=(40, 72)), PROMPT)
    edit = dataclasses.replace(editor, iterations=2, scales=7)(model, inversion, TARGET)
    assert edit.pixels.shape == (1, 3, 40, 72)
    assert edit.image.size == image.size


def test_a_layer_laid_over_an_image():
    colours, ground = torch.full((1, 3, 2, 2), 1.0), torch.full((1, 3, 2, 2), -1.0)
    opacity = torch.tensor([[[[0.0, 0.5], [0.75, 1.0]]]])
    assert lay(colours, opacity, ground)[0, 1].tolist() == [[-1.0, 0.0], [0.5, 1.0]]


def test_no_clip_of_its_own(model, inversion):
    with pytest.raises(SettingError, match=r"Pass clip=nulltext\.models\.clip\.Clip\.load"):
        Text2LIVE()(model, inversion, TARGET)


@pytest.mark.parametrize(
    "name",
    ["iterations", "views", "width", "scales", "composition", "screen", "structure", "sparsity", "learning_rate"],
)
def test_settings_out_of_range(name):
    wrong: Any = {name: type(getattr(Text2LIVE, name) or 0)(-1)}
    with pytest.raises(SettingError, match=f"{name}=-1; expected"):
        Text2LIVE(**wrong)


def test_a_screen_without_the_prompt():
    with pytest.raises(SettingError, match=r"expected \{\} where"):
        Text2LIVE(screen_prompt="a green screen")


def test_no_prompt(model, inversion, editor):
    with pytest.raises(EmptyPromptError):
        editor(model, inversion, [])
