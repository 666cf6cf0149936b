"""DeepFloyd IF's stage I: pixels for latents, a T5, and attention with added keys."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, IFPipeline
from tests.models.tiny.deepfloyd import SIDE, WIDTH
from tests.models.tiny.watch import Watch

import nulltext
from nulltext.attention.added import SteeredAddedProcessor
from nulltext.attention.sites import attention_modules, self_attention_layers
from nulltext.attention.steering import Steering
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.sharing import descend
from nulltext.errors import (
    DivergedError,
    ModelLoadError,
    PromptTooLongError,
    UnsupportedPipelineError,
    UnsupportedScheduleError,
)
from nulltext.inversion.stopping import DescentSchedule
from nulltext.models.compiling import compile_denoiser
from nulltext.models.deepfloyd import ROWS, check_fit

pytestmark = pytest.mark.filterwarnings("ignore:the model was made for images")  # the tiny one of 32 x 32
FAMILY = "deepfloyd"
PROMPT, TARGET = "A red ball on grass", "A pot ball on grass"
"""The T5 of these tests has a token for `red`, and four for `pot`."""
SIZE = (32, 48)
"""Not square."""


@pytest.fixture(scope="module")
def floyd(made):
    return made.model


@pytest.fixture(scope="module")
def direct(floyd, source):
    return nulltext.DirectInversion(steps=3)(floyd, source, PROMPT)


@pytest.fixture(scope="module")
def theirs(spot):
    """The pipeline, by DDIM and without thresholding."""
    pipeline: Any = IFPipeline.from_pretrained(spot)
    # DDIM has no variance to be learned, and the pipeline hands it one unless its config says another.
    own = {"thresholding": False, "clip_sample": False, "variance_type": "fixed_small"}
    pipeline.scheduler = DDIMScheduler.from_config({**pipeline.scheduler.config, **own})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def noise(seed, *, batch=1, size=SIZE):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


# ---- against the pipeline


def test_the_embeddings_are_the_pipelines(floyd, theirs):
    prompts = [PROMPT, "  A CAT, a dog ", "old"]
    text, null = theirs.encode_prompt(prompts, device="cpu", clean_caption=False)
    assert floyd.embed(prompts).text.shape == (3, ROWS, WIDTH) == (3, floyd.text_length, WIDTH)
    torch.testing.assert_close(floyd.embed(prompts).text, text, rtol=0, atol=1e-4)
    torch.testing.assert_close(floyd.null().text, null[:1], rtol=0, atol=1e-4)
    unmasked = theirs.text_encoder(floyd.text.t5.padded(["old"])[0])[0]
    assert (unmasked - text[2:]).abs().max() > 1e-2  # the mask counts


def test_draws_what_the_pipeline_draws(floyd, theirs):
    """Pixels, and the mean of a prediction that has a variance as well."""
    height, width = SIZE
    drawn = theirs(
        PROMPT,
        num_inference_steps=4,
        guidance_scale=6.0,
        height=height,
        width=width,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
        clean_caption=False,
    ).images
    inversion = nulltext.generate_inversion(floyd, PROMPT, steps=4, guidance=6.0, seed=3, size=SIZE)
    torch.testing.assert_close(inversion.pivot[-1:], drawn, rtol=0, atol=1e-4)
    torch.testing.assert_close(nulltext.replay(floyd, inversion), drawn, rtol=0, atol=1e-4)
    pixels = nulltext.generate(floyd, PROMPT, steps=4, guidance=6.0, seed=3, size=SIZE)
    torch.testing.assert_close(pixels, drawn.clamp(-1, 1), rtol=0, atol=1e-4)
    assert drawn.abs().max() > 1


def test_what_it_is(floyd, spot):
    assert "DeepFloyd IF, stage I without thresholding" in repr(floyd)
    assert (floyd.scale, floyd.latent_channels, floyd.multiple, floyd.default_size) == (1, 3, 2, (SIDE, SIDE))
    assert (floyd.guidance, floyd.prediction) == (7.0, "epsilon")
    assert nulltext.load(spot, device="cpu").identity == floyd.identity


def test_a_checkpoint_without_thresholding(spot, tmp_path):
    clipped, plain = ({"thresholding": False, "clip_sample": clips} for clips in (True, False))
    assert "stage I without clip_sample" in repr(nulltext.load(changed(spot, tmp_path / "a", SCHEDULER, **clipped)))
    assert "without" not in repr(nulltext.load(changed(spot, tmp_path / "b", SCHEDULER, **plain)))


def test_an_image_is_its_own_latents(floyd, image):
    source = nulltext.open_image(image, floyd, size=(33, 47))
    assert source.pixels.shape[-2:] == (34, 48)  # the network halves once
    assert torch.equal(floyd.decode(floyd.encode(source.pixels)), source.pixels)
    assert floyd.decode(source.pixels * 3).abs().max() == 1
    with pytest.raises(DivergedError, match="the image became infinite"):
        floyd.decode(source.pixels / 0)


def test_words_are_found_where_they_stand(floyd):
    tokens = floyd.tokenize("  A Red İball on GRASS")
    assert next(tokens.prompt[slice(*span)] for span in tokens.spans[2:] if span) == "Red"
    assert tokens.find("grass") == [len(tokens.ids) - 2]
    assert "".join(tokens.prompt[slice(*tokens.spans[at])] for at in tokens.find("İball")).endswith("ball")
    with pytest.raises(PromptTooLongError, match="Leave out"):
        floyd.embed(["red " * ROWS])


# ---- inversion and editing


def test_null_text_inversion_leads_back(floyd, image):
    """At its first step, after which there is next to no noise. An untrained T5's states are far apart: that takes many
    iterations at a high rate.
    """
    source = nulltext.open_image(image, floyd, size=(16, 16))
    quick = DescentSchedule(learning_rate=0.05, decay=0.0, tolerance=1e-7, tolerance_growth=1.0)
    solved = FixedPoint(iterations=6)
    inverter = nulltext.NullText(steps=2, inner_steps=80, descent=quick, fixed_point=solved)
    inversion = inverter(floyd, source, PROMPT)
    plain, optimised = (
        (nulltext.replay(floyd, made, guidance=floyd.guidance) - source.pixels).square().mean()
        for made in (nulltext.DDIM(steps=2)(floyd, source, PROMPT), inversion)
    )
    assert optimised < plain / 10
    assert inversion.replay.nulls.shape == (2, ROWS, WIDTH)


def test_there_is_nothing_between_latents_and_image_to_lose(direct):
    assert direct.scores.vae_psnr == direct.scores.psnr == float("inf")


@pytest.mark.parametrize("name", ["EditFriendly", "NegativePrompt", "RandomPivot"])
def test_other_inversions(floyd, source, name):
    settings: dict[str, Any] = {"inner_steps": 1} if name == "RandomPivot" else {}
    back = nulltext.replay(floyd, getattr(nulltext, name)(steps=3, **settings)(floyd, source, PROMPT))
    assert back.isfinite().all()
    if name == "EditFriendly":
        torch.testing.assert_close(back, source.pixels, rtol=0, atol=1e-5)


# ---- attention


def test_the_sites_of_attention_with_added_keys(floyd):
    told, x, watch = floyd.embed([PROMPT, TARGET]), noise(2, batch=2), Watch()
    before = [module.processor for module in attention_modules(floyd.denoiser).values()]
    plain = floyd.predict(x, 500.0, told)
    watched = floyd.predict(x, 500.0, told, [(2, Steering(watch, 2, SIZE).at(0))])
    torch.testing.assert_close(watched, plain, rtol=0, atol=1e-5)
    assert all(
        module.processor is own for module, own in zip(attention_modules(floyd.denoiser).values(), before, strict=True)
    )
    hybrid = ["down_blocks.1.attentions.0", "up_blocks.0.attentions.0", "up_blocks.0.attentions.1"]
    assert self_attention_layers(floyd.denoiser) == hybrid
    assert list(watch.seen) == [
        (name, kind)
        for name in (hybrid[0], "mid_block.attentions.0", *hybrid[1:])
        for kind in (("self", "cross") if name in hybrid else ("cross",))
    ]
    for name in hybrid:
        (site, own), (_, text) = watch.seen[name, "self"], watch.seen[name, "cross"]
        assert (site.rows, site.columns, site.one_size) == (16, 24, False)
        assert (own.shape, text.shape) == ((2, 4, 384, 384), (2, 4, 384, ROWS))
        torch.testing.assert_close(own.sum(-1) + text.sum(-1), torch.ones(2, 4, 384))
    text = watch.seen["mid_block.attentions.0", "cross"][1]
    torch.testing.assert_close(text.sum(-1), torch.ones(2, 4, 384))


def test_text_that_is_masked_is_not_seen(floyd):
    """As unCLIP has it, and DeepFloyd IF has not."""
    layer, watch = attention_modules(floyd.denoiser)["down_blocks.1.attentions.0"], Watch()
    x, text = torch.randn(2, 32, 16, 24), torch.randn(2, 5, 32)
    mask = torch.tensor([[0.0, 0, -1e4, -1e4, -1e4], [0, 0, 0, 0, -1e4]])[:, None]
    module: Any = layer
    plain = module(x, encoder_hidden_states=text, attention_mask=mask)
    own = layer.processor
    steered = SteeredAddedProcessor("a", own, [(2, Steering(watch, 2, SIZE).at(0))])
    seen = steered(module, x, text, mask)
    torch.testing.assert_close(seen, plain, rtol=0, atol=1e-5)
    (_, probs) = watch.seen["a", "cross"]
    assert probs[0, ..., 2:].max() == 0 < probs[1, ..., :4].min()


def test_prompt_to_prompt(floyd, direct):
    """The same prompt gives the source itself; a changed word leaves the attention to the others."""
    follow: Any = {"cross_attention": 1.0, "self_attention": 1.0}
    free = replace(direct, replay=replace(direct.replay, corrected="nobody"))
    same = nulltext.PromptToPrompt(**follow)(floyd, free, PROMPT.lower())
    torch.testing.assert_close(same.pixels, same.source, rtol=0, atol=0)
    blend = nulltext.Blend("ball", threshold=0.1)
    edit = nulltext.PromptToPrompt(**follow, maps=True, blend=blend)(floyd, direct, TARGET)
    assert edit.maps is not None
    assert edit.maps.maps.shape == (2, ROWS, 16, 24)
    for word in ("ball", "grass"):
        torch.testing.assert_close(edit.maps.of(word, 1), edit.maps.of(word, 0))
    loose = nulltext.PromptToPrompt(cross_attention=0.0, self_attention=0.0, maps=True)(floyd, direct, TARGET)
    assert loose.maps is not None
    assert (loose.maps.of("ball", 1) - loose.maps.of("ball", 0)).abs().max() > 1e-6
    swapped = nulltext.PromptSwap()(floyd, direct, TARGET)
    torch.testing.assert_close(loose.pixels, swapped.pixels, rtol=0, atol=1e-5)
    assert (edit.pixels - loose.pixels).abs().max() > 1e-4


@pytest.mark.parametrize("editor", [nulltext.MasaCtrl(), nulltext.SDEdit()], ids=str)
def test_other_editors(floyd, direct, editor):
    edit = editor(floyd, direct, TARGET)
    assert (edit.pixels - edit.source).abs().max() > 1e-3


# ---- precision, memory, compilation


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_and_low_memory(spot, floyd, dtype):
    half: Any = nulltext.load(spot, device="cpu", dtype=dtype, low_memory=True)
    assert half.text.t5.network.dtype == torch.bfloat16
    exact, near = (
        descend(model, noise(0), 500.0, model.null(), lambda y: y.square().mean()) for model in (floyd, half)
    )
    assert abs(near[0] - exact[0]) < 0.03 * exact[0]
    assert torch.cosine_similarity(near[1].flatten(), exact[1].flatten(), dim=0) > 0.9


def test_low_memory_changes_nothing(spot, floyd):
    frugal = nulltext.load(spot, device="cpu", low_memory=True)
    gradients = [
        descend(model, noise(0), 500.0, model.null(), lambda output: output.square().mean())[1]
        for model in (floyd, frugal)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-9)


def test_compiled_it_is_told_the_same(spot, floyd, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, **_: forward)
    model = nulltext.load(spot, device="cpu")
    compile_denoiser(model)
    x, cond = noise(0, size=(32, 32)), model.embed([PROMPT])
    torch.testing.assert_close(model.predict(x, 500.0, cond), floyd.predict(x, 500.0, cond), rtol=0, atol=1e-4)


# ---- what cannot be used

SCHEDULER = "scheduler/scheduler_config.json"


def changed(spot, to, name, **values):
    """A copy of a checkpoint whose config has other values."""
    shutil.copytree(spot, to)
    path = to / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return to


REFUSED = {
    "an upsampler": (
        "model_index.json",
        {"_class_name": "IFSuperResolutionPipeline"},
        r"an upsampler of DeepFloyd IF: it draws a larger image anew.*expected stage I.*DeepFloyd/IF-I-XL",
    ),
    "another encoder": (
        "model_index.json",
        {"text_encoder": ["transformers", "CLIPTextModel"]},
        r"CLIPTextModel.* for the text_encoder; expected T5EncoderModel",
    ),
    "another denoiser": ("unet/config.json", {"_class_name": "UNet2DModel"}, "holds UNet2DModel; expected UNet2DCond"),
    "another scheduler": (SCHEDULER, {"prediction_type": "sample"}, "prediction_type='sample'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_a_sentence(spot, tmp_path, what):
    name, values, expected = REFUSED[what]
    with pytest.raises((UnsupportedPipelineError, UnsupportedScheduleError), match=expected):
        nulltext.load(changed(spot, tmp_path / "a", name, **values), device="cpu")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"in_channels": 6, "class_embed_type": "timestep"}, r"takes 6 channels .* upsampler \(stage II\)"),
        ({"out_channels": 4}, "gives 4 channels"),
        ({"sample_size": None}, "sample_size=None"),
        ({"addition_embed_type": "text_time"}, "addition_embed_type='text_time'.*another kind of pipeline"),
        ({"encoder_hid_dim": 40}, "expects text embeddings of width 40, the text encoder gives 48"),
    ],
)
def test_a_denoiser_that_is_anothers(floyd, values, expected):
    with pytest.raises(UnsupportedPipelineError, match=expected):
        check_fit(SimpleNamespace(**{**floyd.denoiser.config, **values}), WIDTH, "this")


def test_a_vocabulary_that_is_missing_or_cannot_be_read(spot, tmp_path, monkeypatch):
    folder = shutil.copytree(spot, tmp_path / "a")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ModelLoadError, match=r"it lacks tokenizer/spiece\.model"):
        nulltext.load(folder, device="cpu")
    (folder / "tokenizer" / "spiece.model").write_bytes(b"of sentencepiece")
    monkeypatch.setattr("nulltext.models.tokenizers.is_sentencepiece_available", lambda: False)
    with pytest.raises(ModelLoadError, match=r"takes sentencepiece and protobuf.*nulltext\[t5\]"):
        nulltext.load(folder, device="cpu")
