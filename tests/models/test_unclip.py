"""A decoder of image embeddings in pixels, told of them in its time embedding and by tokens before an empty text's."""

import json
import shutil
from typing import Any

import pytest
import torch
from diffusers import UnCLIPImageVariationPipeline, UnCLIPScheduler, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from torch.nn import functional

import nulltext
from nulltext.diffusion.sharing import descend
from nulltext.errors import ModelLoadError, PromptError, SessionError, UnsupportedPipelineError
from nulltext.images import to_image

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"
LENGTH, WIDTH, CONTEXT = 24, 20, 16
"""Of the tiny pipeline: tokens of a prompt, numbers of an embedding, and of what attention looks at."""
EXTRA = 4
"""Tokens made of an image embedding."""


def build_pipeline(tokenizer, clip):
    """Of random weights, for images of 16 x 16."""
    torch.manual_seed(0)
    network: Any = UNet2DConditionModel  # which annotates tuples of any length as tuples of one, as does the next
    decoder = network(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=CONTEXT,
        attention_head_dim=8,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",
    )
    projection = UnCLIPTextProjModel(clip_embeddings_dim=WIDTH, time_embed_dim=64, cross_attention_dim=CONTEXT)
    with torch.no_grad():
        decoder.conv_out.weight *= 0.1  # with less, steps backwards have no one solution, as trained networks have
        projection.learned_classifier_free_guidance_embeddings.normal_()  # which is zeros before it is learnt
        for layer in (projection.embedding_proj, projection.clip_image_embeddings_project_to_time_embeddings):
            layer.weight.mul_(0.1)  # untrained, it would hear the time embedding alone
    enlarging: Any = UNet2DModel
    larger = [
        enlarging(
            sample_size=32,
            in_channels=6,
            out_channels=3,
            block_out_channels=(8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"),
            up_block_types=("ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
        )
        for _ in range(2)
    ]
    scheduler: Any = UnCLIPScheduler
    return UnCLIPImageVariationPipeline(
        decoder=decoder,
        text_encoder=clip.text,
        tokenizer=tokenizer,
        text_proj=projection.eval(),
        feature_extractor=clip.processor,
        image_encoder=clip.vision,
        super_res_first=larger[0],
        super_res_last=larger[1],
        decoder_scheduler=scheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=scheduler(variance_type="fixed_small_log", prediction_type="epsilon"),
    )


@pytest.fixture(scope="module")
def pipeline(tokenizer_builder, clip_builder):
    tokenizer = tokenizer_builder(LENGTH)
    return build_pipeline(tokenizer, clip_builder(tokenizer, WIDTH))


@pytest.fixture(scope="module")
def spot(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unclip")
    pipeline.save_pretrained(folder)
    for name in ("super_res_first", "super_res_last", "super_res_scheduler"):
        shutil.rmtree(folder / name)  # which are not asked for
    return folder


@pytest.fixture(scope="module")
def karlo(spot):
    return nulltext.load(spot, device="cpu")


@pytest.fixture(scope="module")
def source(karlo, image):
    return nulltext.open_image(image, karlo)


@pytest.fixture(scope="module")
def direct(karlo, source):
    return nulltext.DirectInversion(steps=2)(karlo, source, PROMPT)


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


def test_the_fixed_point_leads_there_and_back(karlo, source):
    solved = nulltext.DDIM(steps=2, fixed_point=nulltext.FixedPoint(iterations=12))
    off = {}
    for inverter in (nulltext.DDIM(steps=2), solved):
        back = nulltext.replay(karlo, inverter(karlo, source, PROMPT))
        off[inverter] = (back - source.pixels).abs().max().item()
    assert off[solved] < 1e-4
    assert max(off.values()) > 10 * off[solved]


def test_direct_inversion_is_exact_and_turned(karlo, spot, source, direct, tmp_path):
    torch.testing.assert_close(nulltext.replay(karlo, direct), source.pixels, rtol=0, atol=1e-6)
    back = nulltext.Inversion.load(direct.save(tmp_path / "ball.safetensors"))
    again = nulltext.load(spot, device="cpu", low_memory=True)
    edit, other = (
        nulltext.TextDiff(strength=0.4)(*made, [TARGET, PROMPT]) for made in ((karlo, direct), (again, back))
    )
    torch.testing.assert_close(edit.source, source.pixels, rtol=0, atol=1e-6)
    assert (edit.pixels[0] - edit.pixels[1]).abs().max() > 1e-4
    torch.testing.assert_close(other.pixels, edit.pixels, rtol=0, atol=1e-4)


def test_null_text_comes_nearer(karlo, source):
    """By little: the time embedding stays that of no prompt, and it says the most."""
    plain = nulltext.DDIM(steps=2)(karlo, source, PROMPT)
    optimised = nulltext.NullText(steps=2, inner_steps=8, solver="lbfgs")(karlo, source, PROMPT)
    off = [(nulltext.replay(karlo, one, guidance=8.0) - source.pixels).square().mean() for one in (plain, optimised)]
    assert off[1] < off[0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_and_low_memory(spot, karlo, dtype):
    half = nulltext.load(spot, device="cpu", dtype=dtype, low_memory=True)
    x = noise(0, 1, 3, 16, 16)
    error, gradient = descend(half, x, 500.0, half.null(), lambda output: output.square().mean())
    assert error.isfinite()
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
    exact = karlo.predict(x, 500.0, karlo.null())
    assert (half.predict(x, 500.0, half.null()) - exact).norm() < 0.03 * exact.norm()


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
