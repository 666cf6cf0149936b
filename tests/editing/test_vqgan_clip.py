import dataclasses
from typing import Any

import pytest
import torch
from diffusers import VQModel

from nulltext import DDIM, Progress, load, psnr
from nulltext.editing.methods.vqgan_clip import VQGANCLIP
from nulltext.errors import EmptyPromptError, SettingError
from nulltext.models.vq import VQAutoencoder

PROMPT, TARGET = "a red ball on grass", "a dog"


@pytest.fixture(scope="module")
def inversion(model, source_image):
    return DDIM(steps=2)(model, source_image, PROMPT)


@pytest.fixture(scope="module")
def editor(clip):
    return VQGANCLIP(iterations=30, learning_rate=0.1, cutouts=4, clip=clip)


def similarity(clip, pixels, prompt):
    return (clip.images(pixels) @ clip.texts([prompt]).T).item()


def test_clip_comes_to_see_the_prompt(model, inversion, clip, editor, untouched):
    events: list[Progress] = []
    edit = editor(model, inversion, TARGET, events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [("optimise", i, 30) for i in range(1, 31)]
    first, last = (sum(event.loss or 0.0 for event in part) / 5 for part in (events[:5], events[-5:]))
    assert last < first - 0.01
    assert similarity(clip, edit.pixels, TARGET) > similarity(clip, edit.source, TARGET) + 0.01
    assert not edit.pixels.requires_grad
    torch.testing.assert_close(edit.source, model.decode(inversion.pivot[-1:]), rtol=1e-4, atol=1e-4)


def test_several_are_what_each_is_alone(model, inversion, editor):
    few = dataclasses.replace(editor, iterations=3)
    events: list[Progress] = []
    batched = few(model, inversion, [TARGET, "a cat"], events.append)
    assert [(event.image, event.images, event.step) for event in events] == [
        (image, 2, step) for image in (1, 2) for step in (1, 2, 3)
    ]
    for i, prompt in enumerate((TARGET, "a cat")):
        assert torch.equal(batched.pixels[i : i + 1], few(model, inversion, prompt).pixels)
    assert not torch.equal(batched.pixels[0], batched.pixels[1])
    assert not torch.equal(batched.pixels[:1], dataclasses.replace(few, seed=1)(model, inversion, TARGET).pixels)


def test_weight_that_keeps_near_the_start(model, inversion, editor):
    free, corrected = (
        dataclasses.replace(editor, iterations=10, keep=keep)(model, inversion, TARGET) for keep in (0.0, 100.0)
    )
    assert psnr(corrected.pixels, corrected.source) > psnr(free.pixels, free.source) + 1.5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(2)
    return VQModel(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        num_vq_embeddings=32,
        norm_num_groups=4,
    )


def test_moves_the_codes_of_the_checkpoints_vq_model(pipeline_builder, network, source_image, editor, clip, tmp_path):
    pipeline_builder().save_pretrained(tmp_path)
    network.save_pretrained(tmp_path / "vqvae")
    model: Any = load(tmp_path, device="cpu")
    inversion = DDIM(steps=1)(model, source_image, PROMPT)
    assert isinstance(model.quantised, VQAutoencoder)
    few = dataclasses.replace(editor, iterations=8)
    edit = few(model, inversion, TARGET)
    given = dataclasses.replace(few, autoencoder=VQAutoencoder.load(tmp_path / "vqvae"))
    assert torch.equal(edit.pixels, given(dataclasses.replace(model, quantised=None), inversion, TARGET).pixels)
    torch.testing.assert_close(
        edit.source, network(source_image.pixels).sample.clamp(-1, 1).detach(), rtol=1e-4, atol=1e-4
    )
    assert similarity(clip, edit.pixels, TARGET) > similarity(clip, edit.source, TARGET)


def test_no_clip_of_its_own(model, inversion):
    with pytest.raises(SettingError, match=r"Pass clip=nulltext\.models\.clip\.Clip\.load"):
        VQGANCLIP()(model, inversion, TARGET)


@pytest.mark.parametrize(
    ("name", "number"), [("iterations", -1), ("cutouts", -1), ("keep", -1.0), ("learning_rate", -1.0)]
)
def test_settings_out_of_range(name, number):
    with pytest.raises(SettingError, match=f"{name}=-1; expected"):
        VQGANCLIP(**{name: number})


def test_no_prompt(model, inversion, editor):
    with pytest.raises(EmptyPromptError):
        editor(model, inversion, [TARGET, " "])
