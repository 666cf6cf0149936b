"""A decoder of image embeddings in pixels, told of them in its time embedding and by tokens before an empty text's."""

import json
import shutil

import pytest
import torch
from diffusers import UnCLIPScheduler
from tests.models.tiny.unclip import LENGTH
from torch.nn import functional

import nulltext
from nulltext.errors import ModelLoadError, PromptError, SessionError, UnsupportedPipelineError
from nulltext.images import to_image

FAMILY = "unclip"
PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"
EXTRA = 4
"""Tokens made of an image embedding."""


@pytest.fixture(scope="module")
def karlo(made):
    return made.model


def noise(seed, *size):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_tells_the_network_what_the_pipeline_tells_it(karlo, pipeline, source):
    """The pipeline's own methods, and its call of the decoder, of which the noise is taken and the variance left."""
    image = pipeline._encode_image(to_image(source.pixels), torch.device("cpu"), 1)
    torch.testing.assert_close(karlo.images.see(source.pixels), image, rtol=0, atol=1e-5)
    prompts, states, mask = pipeline._encode_prompt([""], torch.device("cpu"), 1, True)
    with torch.no_grad():
        text, beside = pipeline.text_proj(
            image_embeddings=image,
            prompt_embeds=prompts,
            text_encoder_hidden_states=states,
            do_classifier_free_guidance=True,
        )
        x, seen = noise(0, 2, 3, 16, 16), functional.pad(mask, (EXTRA, 0), value=True)
        theirs = pipeline.decoder(x, 500, text, class_labels=beside, attention_mask=seen).sample[:, :3]
    told = [karlo.null(), karlo.images.told(image)]
    assert karlo.text_length == told[0].text.shape[1] == EXTRA + LENGTH
    for row, own in enumerate(told):
        at = slice(row, row + 1)
        torch.testing.assert_close(own.text, text[at], rtol=0, atol=1e-5)
        torch.testing.assert_close(own.pooled, beside[at], rtol=0, atol=1e-5)
        torch.testing.assert_close(karlo.predict(x[at], 500.0, own), theirs[at], rtol=0, atol=1e-4)
    assert not seen.all()


def test_what_it_is(karlo, image):
    assert (karlo.prediction, karlo.scale, karlo.latent_channels, karlo.guidance) == ("epsilon", 1, 3, 8.0)
    assert karlo.default_size == (16, 16)
    assert nulltext.open_image(image, karlo, size=(15, 23)).pixels.shape[-2:] == (16, 24)
    levels = UnCLIPScheduler().alphas_cumprod
    for step in karlo.schedule(10):
        assert step.noisy.alpha**2 == pytest.approx(levels[round(step.t)].item(), abs=1e-6)


def test_an_edit_turns_the_embedding(karlo, source, direct):
    edit = nulltext.TextDiff(strength=0.4)(karlo, direct, [TARGET, PROMPT])
    torch.testing.assert_close(edit.source, source.pixels, rtol=0, atol=1e-6)
    assert (edit.pixels[0] - edit.pixels[1]).abs().max() > 1e-4


def test_null_text_comes_nearer(karlo, source):
    """By little: the time embedding stays that of no prompt, and it says the most."""
    plain = nulltext.DDIM(steps=2)(karlo, source, PROMPT)
    optimised = nulltext.NullText(steps=2, inner_steps=8, solver="lbfgs")(karlo, source, PROMPT)
    off = [(nulltext.replay(karlo, one, guidance=8.0) - source.pixels).square().mean() for one in (plain, optimised)]
    assert off[1] < off[0]


def test_what_has_no_meaning_here(karlo, direct):
    with pytest.raises(SessionError, match=r"sees no words; .* such as text-diff"):
        nulltext.PromptToPrompt()(karlo, direct, TARGET)
    for editor in (nulltext.PromptSwap(), nulltext.SDEdit(), nulltext.FromNoise()):
        with pytest.raises(PromptError, match=r"has no prior, .*; expected an image to start from"):
            editor(karlo, direct, TARGET)


REFUSED = {
    "no image encoder": ("model_index.json", {"_class_name": "UnCLIPPipeline"}, "no image encoder to see a photograph"),
    "another scheduler": ("decoder_scheduler/scheduler_config.json", {"_class_name": "DDIM"}, "expected an UnCLIP"),
    "no size": ("decoder/config.json", {"sample_size": None}, "sample_size=None; expected the side of an image"),
    "another decoder": (
        "decoder/config.json",
        {"class_embed_type": None},
        r"\(3, 6, None\); expected \(3, 6, 'identity'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_a_sentence(spot, tmp_path, what):
    name, values, expected = REFUSED[what]
    path = shutil.copytree(spot, tmp_path / "a") / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises((UnsupportedPipelineError, ModelLoadError), match=expected):
        nulltext.load(tmp_path / "a", device="cpu")
