"""Stable Diffusion 3: a transformer with joint attention, two CLIPs and perhaps a T5, and a rectified flow."""

import json
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import (
    StableDiffusion3Pipeline,
)
from safetensors.torch import save_file
from tests.models.tiny.stable_diffusion_3 import LENGTH, WIDTH
from tests.models.tiny.watch import Watch

import nulltext
from nulltext.attention.control import Attention
from nulltext.attention.sites import attention_modules, self_attention_layers
from nulltext.attention.steering import Steering
from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import (
    CompilationError,
    ModelError,
    ModelLoadError,
    PromptTooLongError,
    SessionError,
    SettingError,
    UnsupportedPipelineError,
    UnsupportedScheduleError,
)
from nulltext.models.joint_transformer import check_fit

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"
CELLS = (4, 8, 8)


@pytest.fixture(scope="module")
def made(tiny):
    return {t5: tiny(f"stable diffusion 3{' with T5' if t5 else ''}") for t5 in (True, False)}


@pytest.fixture(scope="module")
def pipelines(made):
    """With T5 and without: the same but for it."""
    return {t5: each.pipeline for t5, each in made.items()}


@pytest.fixture(scope="module")
def spots(made):
    return {t5: each.folder for t5, each in made.items()}


@pytest.fixture(scope="module")
def models(made):
    return {t5: each.model for t5, each in made.items()}


@pytest.fixture(scope="module")
def sd3(models):
    return models[False]


@pytest.fixture(scope="module")
def source_image(sd3, image):
    return nulltext.open_image(image, sd3)


def noise(seed, *, batch=1, size=CELLS):
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("t5", [True, False])
def test_the_embeddings_are_the_pipelines(models, pipelines, t5):
    theirs = pipelines[t5].encode_prompt(PROMPT, None, None)
    model = models[t5]
    for ours, text, pooled in ((model.embed([PROMPT]), *theirs[::2]), (model.null(), *theirs[1::2])):
        rows = ours.text.shape[1]
        assert rows == model.text_length == (LENGTH + 256 if t5 else LENGTH + 1)
        torch.testing.assert_close(ours.text, text[:, :rows], rtol=0, atol=1e-4)
        assert text[:, rows:].abs().sum() == 0
        torch.testing.assert_close(ours.pooled, pooled, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("t5", "size"), [(True, (64, 64)), (False, (64, 96))])
def test_draws_what_the_pipeline_draws(models, pipelines, t5, size):
    """Without T5 the pipeline has 256 rows of zeros, and here they are one."""
    height, width = size
    drawn: dict[str, Any] = {"height": height, "width": width, "output_type": "latent"}
    x = noise(3, size=(4, height // 8, width // 8))
    theirs = pipelines[t5](PROMPT, num_inference_steps=5, guidance_scale=6.0, latents=x, **drawn).images
    ours = nulltext.generate_inversion(models[t5], PROMPT, steps=5, guidance=6.0, seed=3, size=size)
    torch.testing.assert_close(ours.pivot[-1:], theirs, rtol=0, atol=1e-4)
    theirs = pipelines[t5](
        PROMPT, num_inference_steps=5, guidance_scale=6.0, latents=x, **drawn | {"output_type": "pt"}
    )
    pixels = nulltext.generate(models[t5], PROMPT, steps=5, guidance=6.0, seed=3, size=size)
    torch.testing.assert_close(pixels / 2 + 0.5, theirs.images, rtol=0, atol=1e-4)


def test_one_row_counts_as_many(sd3, pipelines):
    """The output, and the gradient of the embedding, which is that of all rows together."""
    told, x = sd3.embed([PROMPT]), noise(1)
    rows = torch.cat([told.text, told.text.new_zeros(1, 255, WIDTH)], 1).requires_grad_()
    plain = pipelines[False].transformer(x, rows, told.pooled, torch.tensor([700.0])).sample
    text = told.text.clone().requires_grad_()
    ours = sd3.predict(x, 700.0, told.with_text(text))
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)
    (of_all,), (own,) = (
        torch.autograd.grad(made.square().mean(), leaf) for made, leaf in ((plain, rows), (ours, text))
    )
    torch.testing.assert_close(own[:, :LENGTH], of_all[:, :LENGTH], rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(own[:, -1], of_all[:, LENGTH:].sum(1), rtol=1e-3, atol=1e-8)


def test_what_it_is(models, sd3, spots):
    assert "without T5" in repr(sd3)
    assert "without T5" not in repr(models[True])
    assert (sd3.prediction, sd3.scale, sd3.default_size, sd3.guidance) == ("flow", 8, (64, 64), 7.0)
    assert nulltext.load(spots[False], device="cpu").identity == sd3.identity
    assert not sd3.identity.same_weights(models[True].identity)


def test_images_are_fitted_to_whole_tokens(sd3, image):
    assert nulltext.open_image(image, sd3, size=(70, 90)).pixels.shape[-2:] == (64, 96)
    with pytest.raises(SettingError, match="multiples of 2 up to 16"):
        nulltext.generate(sd3, PROMPT, steps=1, size=(64, 160))
    with pytest.raises(SettingError, match="multiples of 2"):
        sd3.predict(noise(0, size=(4, 8, 7)), 1.0, sd3.null())
    with pytest.raises(SettingError, match="without pooled"):
        sd3.predict(noise(0), 1.0, Conditioning(text=sd3.null().text))


def test_null_text_is_optimised(sd3, source_image, tmp_path):
    pivot = nulltext.DDIM(steps=3)(sd3, source_image, PROMPT)
    solved = nulltext.FixedPoint(iterations=6)
    inversion = nulltext.NullText(steps=3, inner_steps=6, fixed_point=solved)(sd3, source_image, PROMPT)
    z0 = sd3.encode(source_image.pixels)
    plain, optimised = ((nulltext.replay(sd3, made) - z0).square().mean() for made in (pivot, inversion))
    assert optimised < plain / 10
    back = nulltext.Inversion.load(inversion.save(tmp_path / "ball.safetensors"))
    torch.testing.assert_close(nulltext.replay(sd3, back), nulltext.replay(sd3, inversion), rtol=0, atol=0)
    edit = nulltext.PromptSwap()(sd3, back, TARGET)
    assert (edit.pixels - edit.source).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["EditFriendly", "NegativePrompt", "RandomPivot"])
def test_other_inversions_run(sd3, source_image, name):
    settings: dict[str, Any] = {"inner_steps": 1} if name == "RandomPivot" else {}
    inversion = getattr(nulltext, name)(steps=3, **settings)(sd3, source_image, PROMPT)
    back = nulltext.replay(sd3, inversion)
    assert back.isfinite().all()
    if name == "EditFriendly":
        torch.testing.assert_close(back, sd3.encode(source_image.pixels), rtol=0, atol=1e-5)


def test_a_word_has_tokens_of_all_encoders(models, sd3):
    tokens = models[True].tokenize(PROMPT)
    assert tokens.find("red") == [2, LENGTH + 2]
    assert tokens.find("grass") == [5, LENGTH + 5]
    assert sd3.tokenize(PROMPT).find("red") == [2]
    assert (tokens.rows, sd3.tokenize(PROMPT).rows) == (LENGTH + 7, LENGTH + 1)
    with pytest.raises(PromptTooLongError, match="Leave out"):
        sd3.embed(["red " * LENGTH])


@pytest.mark.parametrize("t5", [True, False])
def test_the_sites_of_joint_attention(models, t5):
    """Watched and given back what it was, the network says what it says unwatched; so do probabilities of all keys."""
    model = models[t5]
    told, x, watch = model.embed([PROMPT, TARGET]), noise(2, batch=2, size=(4, 8, 12)), Watch()
    processors = [module.processor for module in attention_modules(model.denoiser).values()]
    plain = model.predict(x, 500.0, told)
    watched = model.predict(x, 500.0, told, [(2, Steering(watch, 2, (8, 12)).at(0))])
    torch.testing.assert_close(watched, plain, rtol=0, atol=1e-5)
    assert [module.processor for module in attention_modules(model.denoiser).values()] == processors
    joint = ["transformer_blocks.0.attn", "transformer_blocks.1.attn"]
    assert self_attention_layers(model.denoiser) == [joint[0], "transformer_blocks.0.attn2", joint[1]]
    for name in joint:
        (site, image), (_, text) = watch.seen[name, "self"], watch.seen[name, "cross"]
        assert (site.rows, site.columns, site.one_size) == (4, 6, True)
        assert text.shape == (2, 4, 24, model.text_length)
        torch.testing.assert_close(image.sum(-1) + text.sum(-1), torch.ones(2, 4, 24))
    assert watch.seen["transformer_blocks.0.attn2", "self"][1].shape == (2, 4, 24, 24)


@pytest.mark.parametrize("t5", [True, False])
def test_prompt_to_prompt(models, image, t5):
    """Another prompt is held by its attention."""
    model = models[t5]
    inversion = nulltext.DirectInversion(steps=2)(model, nulltext.open_image(image, model), PROMPT)
    follow: Any = {"cross_attention": 1.0, "self_attention": 1.0}
    edit = nulltext.PromptToPrompt(**follow, maps=True, blend=nulltext.Blend("ball", threshold=0.1))(
        model, inversion, TARGET
    )
    assert edit.maps is not None
    assert edit.maps.maps.shape == (2, model.text_length, 4, 4)
    assert edit.maps.of("blue", 1).max() > 0
    longer = nulltext.PromptToPrompt(**follow, kind="refine", reweight={"old": 2.0})(
        model, inversion, "a red ball on old grass"
    )
    assert longer.kinds == ("refine",)
    assert nulltext.MasaCtrl()(model, inversion, TARGET).pixels.isfinite().all()
    if not t5:
        held, free = (
            nulltext.PromptToPrompt(cross_attention=share, self_attention=share)(model, inversion, TARGET)
            for share in (1.0, 0.0)
        )
        swapped = nulltext.PromptSwap()(model, inversion, TARGET)
        torch.testing.assert_close(free.pixels, swapped.pixels, rtol=0, atol=1e-5)
        assert (held.pixels - free.pixels).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("target", "kind"), [("a blue ball on grass", "replace"), ("a old red ball on grass", "refine")]
)
def test_words_answer_to_each_other_in_every_encoder(models, target, kind):
    """`red` is one token of both encoders, `blue` one of CLIP and several of this T5."""
    model = models[True]
    ours, theirs, length = model.tokenize(PROMPT), model.tokenize(target), model.text_length
    alignment = nulltext.PromptToPrompt(kind=kind).alignment(ours, theirs, length)
    source = torch.rand(1, 3, length).softmax(-1)
    after = alignment(source, torch.zeros_like(source))
    for own, other in zip(ours.words()[-2:], theirs.words()[-2:], strict=True):
        torch.testing.assert_close(after[..., other], source[..., own])
    torch.testing.assert_close(after[..., LENGTH - 1], source[..., LENGTH - 1])
    if kind == "replace":
        red, blue = ours.find("red"), theirs.find("blue")
        assert len(blue) > len(red)
        for rows in (range(LENGTH), range(LENGTH, length)):
            both = (
                sum(map_[..., [at for at in own if at in rows]].sum(-1)) for map_, own in ((after, blue), (source, red))
            )
            torch.testing.assert_close(*both)


WRONG = {
    "another scheduler": ("scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}, "of a DDIMScheduler"),
    "a flow walked otherwise": ("scheduler/scheduler_config.json", {"use_karras_sigmas": True}, "use_karras_sigmas"),
    "a shift below zero": ("scheduler/scheduler_config.json", {"shift": -3.0}, r"scheduler_config\.json has shift=-3"),
    "hardly a time": ("scheduler/scheduler_config.json", {"num_train_timesteps": 5}, "num_train_timesteps=5"),
    "text for a number": ("scheduler/scheduler_config.json", {"shift": "3"}, "shift="),
    "another denoiser": ("transformer/config.json", {"_class_name": "FluxTransformer2DModel"}, "FluxTransformer2D"),
    "another encoder": ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]}, "text_encoder_2"),
    "no scaling": ("vae/config.json", {"scaling_factor": 0}, "scaling_factor=0"),
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


def test_parts_that_lack_or_do_not_fit(spots, tmp_path, tokenizer_builder):
    spot = shutil.copytree(spots[True], tmp_path / "wrong")
    shutil.rmtree(spot / "tokenizer_3")
    with pytest.raises(ModelLoadError, match="lacks tokenizer_3"):
        nulltext.load(spot, device="cpu")
    shutil.rmtree(spot / "text_encoder_3")
    assert "without T5" in repr(nulltext.load(spot, device="cpu"))
    tokenizer_builder(LENGTH - 1).save_pretrained(spot / "tokenizer_2")
    with pytest.raises(UnsupportedPipelineError, match="cut a prompt alike"):
        nulltext.load(spot, device="cpu")
    shutil.rmtree(spot / "tokenizer_2")
    (spot / "tokenizer_2").mkdir()
    with pytest.raises(ModelLoadError, match=r"lacks tokenizer_2/vocab\.json"):
        nulltext.load(spot, device="cpu")
    shutil.rmtree(spot / "text_encoder_2")
    shutil.rmtree(spot / "tokenizer_2")
    shutil.copytree(spots[False] / "text_encoder", spot / "text_encoder_2")
    shutil.copytree(spots[False] / "tokenizer", spot / "tokenizer_2")
    with pytest.raises(UnsupportedPipelineError, match="with its own text encoders"):
        nulltext.load(spot, device="cpu")


def test_a_transformer_of_other_latents_is_refused(sd3):
    network = SimpleNamespace(**sd3.denoiser.config | {"in_channels": 9})
    with pytest.raises(UnsupportedPipelineError, match="takes 9 channels and gives 4, but latents have 4"):
        check_fit(network, sd3.autoencoder.network.config, "this", clips=40, t5=[], pooled=40)


def test_a_control_returns_the_keys_beside_as_well():
    alone = torch.zeros(1, 1, 1, 4, 2)
    with pytest.raises(SessionError, match="without the keys beside"):
        Attention(query=alone, key=alone, value=alone, scale=1.0).swapped()


def test_it_is_not_compiled(spots):
    with pytest.raises(CompilationError, match="expected a UNet"):
        nulltext.load(spots[False], device="cpu", compiled=True)


def test_a_lora_is_merged_as_the_pipeline_does(spots, models, tmp_path, write_lora, check_merged):
    pipeline: Any = StableDiffusion3Pipeline.from_pretrained(spots[False], text_encoder_3=None, tokenizer_3=None)
    path = write_lora(tmp_path / "a.safetensors", pipeline, "peft")
    with_it = nulltext.load(spots[False], device="cpu", lora=(path, 0.5))
    check_merged(with_it, pipeline, path, 0.5)
    expected, _, pooled, _ = pipeline.encode_prompt(PROMPT, None, None)
    told = with_it.embed([PROMPT])
    torch.testing.assert_close(told.text[:, :LENGTH], expected[:, :LENGTH], rtol=0, atol=1e-4)
    torch.testing.assert_close(told.pooled, pooled, rtol=0, atol=1e-4)
    plain = models[False].embed([PROMPT]).pooled
    assert told.pooled is not None
    assert plain is not None
    assert not torch.allclose(told.pooled, plain, atol=1e-3)
    kohya = tmp_path / "kohya.safetensors"
    save_file({"lora_unet_joint_blocks_0_x.lora_down.weight": torch.ones(2, 4)}, kohya)
    with pytest.raises(ModelLoadError, match="of Stable Diffusion 3 are read in diffusers' format alone"):
        nulltext.load(spots[False], device="cpu", lora=kohya)
