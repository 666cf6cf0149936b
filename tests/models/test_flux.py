"""FLUX.1: streams of text and image and then one of both, rotations for places, guidance as an input."""

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from safetensors.torch import save_file
from tests.models.tiny.flux import POOLED, SHIFTED, WIDTH
from tests.models.tiny.watch import Watch

import nulltext
from nulltext.attention.sites import attention_modules, self_attention_layers
from nulltext.attention.steering import Steering
from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import (
    ModelError,
    ModelLoadError,
    PromptTooLongError,
    SettingError,
    UnsupportedPipelineError,
    UnsupportedScheduleError,
)
from nulltext.models.flux_transformer import check_fit

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"
CELLS = (4, 8, 8)


KINDS = pytest.mark.parametrize("guided", [True, False], ids=["dev", "schnell"])


@pytest.fixture(scope="module")
def made(tiny):
    return {guided: tiny(f"flux {'dev' if guided else 'schnell'}") for guided in (True, False)}


@pytest.fixture(scope="module")
def pipelines(made):
    """dev, and schnell."""
    return {guided: each.pipeline for guided, each in made.items()}


@pytest.fixture(scope="module")
def spots(made):
    return {guided: each.folder for guided, each in made.items()}


@pytest.fixture(scope="module")
def models(made):
    return {guided: each.model for guided, each in made.items()}


@pytest.fixture(scope="module")
def dev(models):
    return models[True]


@pytest.fixture(scope="module")
def source_image(dev, image):
    return nulltext.open_image(image, dev)


@pytest.fixture(scope="module")
def direct(dev, source_image):
    return nulltext.DirectInversion(steps=3)(dev, source_image, PROMPT)


def noise(seed, *, batch=1, size=CELLS):
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(seed))


@KINDS
@pytest.mark.parametrize("prompt", [PROMPT, " ".join(["a red ball on grass"] * 8)], ids=["short", "long for CLIP"])
def test_the_embeddings_are_the_pipelines(models, pipelines, guided, prompt):
    model, rows = models[guided], 512 if guided else 256
    text, pooled, _ = pipelines[guided].encode_prompt(prompt, max_sequence_length=rows)
    ours = model.embed([prompt])
    assert ours.text.shape[1] == rows == model.text_length
    torch.testing.assert_close(ours.text, text, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.pooled, pooled, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("guided", "size", "guidance"), [(True, (64, 96), 3.5), (True, (64, 64), 1.5), (False, (96, 64), None)]
)
def test_draws_what_the_pipeline_draws(models, pipelines, guided, size, guidance):
    pipeline, (height, width) = pipelines[guided], size
    x = noise(3, size=(4, height // 8, width // 8))
    asked: dict[str, Any] = {
        "num_inference_steps": 4,
        "guidance_scale": guidance,
        "latents": pipeline._pack_latents(x, *x.shape),
        "max_sequence_length": 512 if guided else 256,
    }
    theirs = pipeline(PROMPT, height=height, width=width, output_type="latent", **asked).images
    ours = nulltext.generate_inversion(models[guided], PROMPT, steps=4, guidance=guidance, seed=3, size=size)
    torch.testing.assert_close(ours.pivot[-1:], pipeline._unpack_latents(theirs, height, width, 8), rtol=0, atol=1e-4)
    theirs = pipeline(PROMPT, height=height, width=width, output_type="pt", **asked).images
    pixels = nulltext.generate(models[guided], PROMPT, steps=4, guidance=guidance, seed=3, size=size)
    torch.testing.assert_close(pixels / 2 + 0.5, theirs, rtol=0, atol=1e-4)


def test_what_they_are(models, dev):
    assert "FLUX.1 dev" in repr(dev)
    assert "FLUX.1 schnell" in repr(models[False])
    assert (dev.prediction, dev.scale, dev.default_size, dev.guidance) == ("flow", 8, (64, 64), 3.5)
    assert models[False].guidance == 1
    assert [interval.noisy.sigma for interval in models[False].schedule(4)] == [1, 0.75, 0.5, 0.25]


def test_images_are_fitted_to_whole_tokens(dev, image):
    assert nulltext.open_image(image, dev, size=(70, 90)).pixels.shape[-2:] == (64, 96)
    with pytest.raises(SettingError, match="multiples of 2"):
        dev.predict(noise(0, size=(4, 8, 7)), 1.0, dev.null())
    with pytest.raises(SettingError, match="without pooled"):
        dev.predict(noise(0), 1.0, Conditioning(text=dev.null().text))
    with pytest.raises(PromptTooLongError, match="Leave out"):
        dev.embed(["red " * 512])


def test_guidance_is_an_input(dev):
    """One row of the batch has one scale, another has another; there is no pass for no prompt."""
    told, x = dev.embed([PROMPT]), noise(0)
    weak, strong = (dev.predict(x, 500.0, told.with_guidance(scale)) for scale in (1.0, 5.0))
    assert (weak - strong).abs().max() > 1e-3
    both = Conditioning.cat([told, told]).with_guidance(torch.tensor([1.0, 5.0])[:, None, None, None])
    torch.testing.assert_close(dev.predict(noise(0).expand(2, -1, -1, -1), 500.0, both), torch.cat([weak, strong]))
    torch.testing.assert_close(dev.predict(x, 500.0, told), weak, rtol=0, atol=0)


def test_what_needs_guidance_by_a_null_prompt_is_refused(models, dev, source_image, direct):
    schnell = models[False]
    for name in ("NullText", "NegativePrompt", "GlobalNullText", "ParallelNullText", "NoPivot", "TextualInversion"):
        with pytest.raises(SettingError, match=rf"got {name}.*null prompt.*Take DirectInversion"):
            getattr(nulltext, name)(steps=2)(dev, source_image, PROMPT)
    with pytest.raises(SettingError, match=r"guidance scale of 3\.5; .* expected 1"):
        nulltext.generate(schnell, PROMPT, steps=1, guidance=3.5)
    with pytest.raises(SettingError, match="got IntervalGuidance"):
        nulltext.PromptToPrompt(rule=nulltext.Rule(name="interval"))(dev, direct, TARGET)
    nulls = replace(direct.replay, nulls=torch.zeros(3, 512, WIDTH))
    with pytest.raises(SettingError, match="no null prompt"):
        nulltext.replay(dev, replace(direct, replay=nulls))


def test_other_methods_run(dev, source_image, direct):
    friendly = nulltext.EditFriendly(steps=3)(dev, source_image, PROMPT)
    torch.testing.assert_close(nulltext.replay(dev, friendly), dev.encode(source_image.pixels), rtol=0, atol=1e-5)
    assert nulltext.PromptToPrompt()(dev, friendly, TARGET).pixels.isfinite().all()
    for editor in (nulltext.SDEdit(), nulltext.FromNoise(), nulltext.MasaCtrl()):
        assert editor(dev, direct, TARGET).pixels.isfinite().all()


def test_the_sites_of_both_kinds_of_layers(dev):
    """Watched and given back what it was, the network says what it says unwatched; so do probabilities of all keys."""
    told, x, watch = dev.embed([PROMPT, TARGET]), noise(2, batch=2, size=(4, 8, 12)), Watch()
    processors = [module.processor for module in attention_modules(dev.denoiser).values()]
    plain = dev.predict(x, 500.0, told)
    watched = dev.predict(x, 500.0, told, [(2, Steering(watch, 2, (8, 12)).at(0))])
    torch.testing.assert_close(watched, plain, rtol=0, atol=1e-5)
    assert [module.processor for module in attention_modules(dev.denoiser).values()] == processors
    names = ["transformer_blocks.0.attn", "single_transformer_blocks.0.attn"]
    assert self_attention_layers(dev.denoiser) == names
    for name in names:
        (site, image), (_, text) = watch.seen[name, "self"], watch.seen[name, "cross"]
        assert (site.rows, site.columns, site.one_size) == (4, 6, True)
        assert (image.shape, text.shape) == ((2, 2, 24, 24), (2, 2, 24, 512))
        torch.testing.assert_close(image.sum(-1) + text.sum(-1), torch.ones(2, 2, 24))


@KINDS
def test_prompt_to_prompt(models, image, guided):
    """Another prompt is held by its attention, and unchanged words keep theirs."""
    model = models[guided]
    inversion = nulltext.DirectInversion(steps=2)(model, nulltext.open_image(image, model), PROMPT)
    follow: Any = {"cross_attention": 1.0, "self_attention": 1.0}
    edit = nulltext.PromptToPrompt(**follow, maps=True, blend=nulltext.Blend("ball", threshold=0.1))(
        model, inversion, TARGET
    )
    assert edit.maps is not None
    assert edit.maps.maps.shape == (2, model.text_length, 4, 4)
    for word in ("ball", "on", "grass"):
        torch.testing.assert_close(edit.maps.of(word, 1), edit.maps.of(word, 0))
    held, free = (
        nulltext.PromptToPrompt(cross_attention=share, self_attention=share)(model, inversion, TARGET)
        for share in (1.0, 0.0)
    )
    swapped = nulltext.PromptSwap()(model, inversion, TARGET)
    torch.testing.assert_close(free.pixels, swapped.pixels, rtol=0, atol=1e-5)
    assert (held.pixels - free.pixels).abs().max() > 1e-4
    longer = nulltext.PromptToPrompt(**follow, kind="refine", reweight={"old": 2.0})(
        model, inversion, "a red ball on old grass"
    )
    assert longer.kinds == ("refine",)


WRONG = {
    "another scheduler": ("scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}, "of a DDIMScheduler"),
    "a shift beyond numbers": (
        "scheduler/scheduler_config.json",
        SHIFTED | {"base_shift": 1e9},
        r"\.json has base_shift=1e\+09",
    ),
    "no range of sizes": (
        "scheduler/scheduler_config.json",
        SHIFTED | {"max_image_seq_len": 256},
        "max_image_seq_len=256",
    ),
    "no shift": ("scheduler/scheduler_config.json", {"shift": 0.0}, "shift=0"),
    "another denoiser": ("transformer/config.json", {"_class_name": "SD3Transformer2DModel"}, "SD3Transformer2D"),
    "another encoder": (
        "model_index.json",
        {"text_encoder": ["transformers", "CLIPTextModelWithProjection"]},
        "for the text_encoder",
    ),
    "no scaling": ("vae/config.json", {"scaling_factor": 0}, "scaling_factor=0"),
    "places that do not fit": ("transformer/config.json", {"axes_dims_rope": [2, 2, 2]}, "axes_dims_rope"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_parts_are_refused(spots, tmp_path, name):
    file, change, expected = WRONG[name]
    spot = shutil.copytree(spots[False], tmp_path / "wrong")
    path = spot / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=expected) as caught:
        nulltext.load(spot, device="cpu")
    assert isinstance(caught.value, UnsupportedPipelineError | UnsupportedScheduleError | ModelLoadError)


def test_a_transformer_of_other_latents_or_texts_is_refused(dev):
    config, vae = dev.denoiser.config, dev.autoencoder.network.config
    with pytest.raises(UnsupportedPipelineError, match="takes 96 numbers a token and gives 16"):
        check_fit(SimpleNamespace(**config | {"in_channels": 96, "out_channels": 16}), vae, "this", t5=32, pooled=24)
    with pytest.raises(UnsupportedPipelineError, match="with its own text encoders"):
        check_fit(config, vae, "this", t5=40, pooled=POOLED)


def test_a_fixed_shift_is_the_same_at_every_size(spots, pipelines, tmp_path):
    """The pipeline gives the scheduler its levels, which shifts them."""
    spot = shutil.copytree(spots[False], tmp_path / "shifted")
    path = spot / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shift": 3.0}))
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25], mu=math.nan)
    ours = nulltext.load(spot, device="cpu").schedule(4, (64, 96))
    torch.testing.assert_close(torch.tensor([interval.t for interval in ours]), scheduler.timesteps)


def test_a_lora_is_merged_as_the_pipeline_does(spots, tmp_path, write_lora, check_merged):
    pipeline: Any = FluxPipeline.from_pretrained(spots[True])
    path = write_lora(tmp_path / "a.safetensors", pipeline, "peft")
    with_it = nulltext.load(spots[True], device="cpu", lora=(path, 0.5))
    check_merged(with_it, pipeline, path, 0.5)
    expected, pooled, _ = pipeline.encode_prompt(PROMPT, None)
    told = with_it.embed([PROMPT])
    assert told.pooled is not None
    torch.testing.assert_close(told.pooled, pooled, rtol=0, atol=1e-4)
    torch.testing.assert_close(told.text[:, : expected.shape[1]], expected[:, : told.text.shape[1]], rtol=0, atol=1e-4)


def test_a_lora_of_the_original_layout_is_read(spots, tmp_path):
    """That of other programs, whose query, key and value are one matrix."""
    inner, generator = 16, torch.Generator().manual_seed(0)
    layers = {"double_blocks_0_img_attn_qkv": 3 * inner, "double_blocks_0_txt_attn_proj": inner}
    down = {name: torch.randn(2, inner, generator=generator) * 0.2 for name in layers}
    up = {name: torch.randn(out, 2, generator=generator) * 0.2 for name, out in layers.items()}
    path = tmp_path / "kohya.safetensors"
    save_file(
        {f"lora_unet_{name}.lora_down.weight": down[name] for name in layers}
        | {f"lora_unet_{name}.lora_up.weight": up[name] for name in layers}
        | {f"lora_unet_{name}.alpha": torch.tensor(1.0) for name in layers},
        path,
    )
    plain, added = (nulltext.load(spots[True], device="cpu", lora=lora) for lora in (None, path))
    denoisers: Any = [plain.denoiser, added.denoiser]
    block, other = (each.transformer_blocks[0].attn for each in denoisers)
    whole = up["double_blocks_0_img_attn_qkv"] @ down["double_blocks_0_img_attn_qkv"] / 2
    for at, name in enumerate(("to_q", "to_k", "to_v")):
        change = getattr(other, name).weight - getattr(block, name).weight
        torch.testing.assert_close(change, whole[at * inner : (at + 1) * inner], rtol=0, atol=1e-5)
