"""A third family: two text encoders, pooled text and sizes, and a null that may be zeros."""

import json
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from tests.models.tiny.stable_diffusion_xl import LENGTH, POOLED, WIDTHS
from transformers import CLIPTokenizer

import nulltext
from nulltext.attention.record import Record
from nulltext.attention.sites import Site
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.errors import MismatchError, ModelLoadError, SettingError, UnsupportedPipelineError
from nulltext.inversion.match import check_embeddings
from nulltext.models.compiling import compile_denoiser
from nulltext.models.unet import check_fit

FAMILY = "stable diffusion xl"
PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"
SIZE = (48, 80)
"""Not square."""


@pytest.fixture(scope="module")
def xl(made):
    return made.model


@pytest.fixture(scope="module")
def of_v(tmp_path_factory, xl_builder):
    """The folder of one that predicts v, and whose null is the empty text."""
    folder = tmp_path_factory.mktemp("xl-v")
    xl_builder("v_prediction", zeros=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["epsilon, zeros", "v, the empty text"])
def both(request, spot, of_v):
    """A folder of each kind, and its model."""
    folder = spot if request.param.startswith("epsilon") else of_v
    return folder, nulltext.load(folder, device="cpu")


def theirs(folder):
    pipeline: Any = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def edited(spot, to, name, **values):
    """A copy of a checkpoint whose config has other values."""
    shutil.copytree(spot, to)
    path = to / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return to


# ---- against the pipeline


def test_tells_the_network_what_the_pipeline_tells_it(both):
    folder, model = both
    pipeline, prompts = theirs(folder), [PROMPT, "A Cat"]
    with torch.no_grad():
        text, null, pooled, null_pooled = pipeline.encode_prompt(prompts, device="cpu")
    time_ids = pipeline._get_add_time_ids(SIZE, (0, 0), SIZE, torch.float32, POOLED)
    cond, own = model.embed(prompts, SIZE), model.null(SIZE)
    assert cond.text.shape == (2, LENGTH, sum(WIDTHS))
    for got, expected in (
        (cond.text, text),
        (cond.pooled, pooled),
        (own.text, null[:1]),
        (own.pooled, null_pooled[:1]),
        (cond.extras["time_ids"], time_ids.expand(2, -1)),
        (own.extras["time_ids"], time_ids),
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    assert (own.text.abs().max() == 0) == (model.prediction == "epsilon")
    assert model.embed(prompts).extras["time_ids"][1].tolist() == [64, 64, 0, 0, 64, 64]


def test_samples_the_latents_that_the_pipeline_samples(both):
    folder, model = both
    noise = torch.randn(1, 4, 6, 10, generator=torch.Generator().manual_seed(3))
    height, width = SIZE
    latents = theirs(folder)(
        PROMPT,
        num_inference_steps=4,
        guidance_scale=6.0,
        height=height,
        width=width,
        latents=noise,
        output_type="latent",
    ).images
    drawn = nulltext.generate_inversion(model, PROMPT, steps=4, guidance=6.0, seed=3, size=SIZE)
    torch.testing.assert_close(drawn.pivot[-1:], latents, rtol=0, atol=1e-4)
    torch.testing.assert_close(nulltext.replay(model, drawn), latents, rtol=0, atol=1e-4)


def test_rows_of_a_batch_do_not_see_each_other(xl):
    x = torch.randn(3, 4, 6, 10, generator=torch.Generator().manual_seed(0))
    rows = [xl.embed([PROMPT], SIZE), xl.embed([TARGET]), xl.null(SIZE)]
    together = xl.predict(x, 500.0, Conditioning.cat(rows))
    for i, row in enumerate(rows):
        torch.testing.assert_close(together[i : i + 1], xl.predict(x[i : i + 1], 500.0, row), rtol=0, atol=1e-5)


def test_the_network_is_told_the_size_and_the_pooled_text(xl):
    x, cond = torch.randn(1, 4, 6, 10, generator=torch.Generator().manual_seed(0)), xl.embed([PROMPT], SIZE)
    plain = xl.predict(x, 500.0, cond)
    others = [xl.embed([PROMPT]), xl.embed([TARGET], SIZE).with_text(cond.text)]
    for other in others:
        assert (xl.predict(x, 500.0, other) - plain).abs().max() > 1e-4


# ---- inversion and editing


def test_ddim_inversion_leads_back(both, image):
    _, model = both
    source = nulltext.open_image(image, model, size=SIZE)
    inversion = nulltext.DDIM(steps=5, fixed_point=FixedPoint(iterations=8))(model, source, PROMPT)
    torch.testing.assert_close(nulltext.replay(model, inversion), inversion.pivot[-1:], rtol=0, atol=1e-3)


def test_direct_inversion_is_exact_at_any_guidance(xl, source):
    inversion = nulltext.DirectInversion(steps=3)(xl, source, PROMPT)
    assert inversion.scores.psnr == inversion.scores.vae_psnr
    edit = nulltext.PromptToPrompt(guidance=5.0)(xl, inversion, TARGET)
    torch.testing.assert_close(edit.source, xl.decode(inversion.pivot[-1:]), rtol=0, atol=1e-5)
    assert (edit.pixels - edit.source).abs().max() > 1e-3


@pytest.fixture(scope="module")
def optimised(xl, source):
    return nulltext.NullText(steps=4, inner_steps=10, solver="lbfgs")(xl, source, PROMPT)


def test_null_text_inversion_leads_back(xl, source, optimised):
    def error(inversion):
        return (nulltext.replay(xl, inversion, guidance=xl.guidance) - inversion.pivot[-1:]).square().mean()

    assert error(optimised) < error(nulltext.DDIM(steps=4)(xl, source, PROMPT)) / 10
    assert optimised.replay.nulls.shape == (4, LENGTH, sum(WIDTHS))


def test_a_file_is_edited_by_a_model_loaded_anew(xl, spot, optimised, tmp_path):
    back = nulltext.Inversion.load(optimised.save(tmp_path / "ball.safetensors"))
    editor = nulltext.PromptToPrompt(blend=nulltext.Blend("ball", "ball", threshold=0.1))
    edit = editor(nulltext.load(spot, device="cpu"), back, [TARGET, PROMPT])
    plain = nulltext.reconstruct(xl, optimised)
    # As the same prompt; decoding at a scale of 0.13 amplifies the rounding of another attention kernel.
    for same in (edit.source, edit.pixels[1:]):
        torch.testing.assert_close(same, plain, rtol=0, atol=5e-4)
    assert (edit.pixels[:1] - plain).abs().max() > 1e-3


@pytest.mark.parametrize("word", nulltext.INVERTERS)
def test_every_method_of_inversion_says_what_sampling_gives(xl, source, word):
    made: Any = nulltext.INVERTERS[word].load()
    few = {"inner_steps": 1} if hasattr(made, "inner_steps") else {}
    inversion = made(steps=1, guidance=4.0, **few)(xl, source, PROMPT)
    sampled = nulltext.reconstruct(xl, inversion)
    assert nulltext.psnr(sampled, source.pixels) == pytest.approx(inversion.scores.psnr, abs=1e-3)


def test_the_prompts_pooled_text_goes_with_its_embedding(xl, model, source, tmp_path):
    """Else guidance would find a difference between the prompt and itself."""
    inversion = nulltext.NegativePrompt(steps=2, guidance=4.0)(xl, source, PROMPT)
    plain = nulltext.DDIM(steps=2)(xl, source, PROMPT)
    back = nulltext.Inversion.load(inversion.save(tmp_path / "a.safetensors"))
    torch.testing.assert_close(nulltext.replay(xl, back), nulltext.replay(xl, plain), rtol=0, atol=1e-4)
    with pytest.raises(SettingError, match="without null embeddings"):
        nulltext.Replay(pooled=back.replay.pooled)
    other = nulltext.Replay(nulls=model.null().text.expand(2, -1, -1), pooled=back.replay.pooled)
    with pytest.raises(MismatchError, match=r"pooled text of this inversion is \[40\]; .* has none"):
        check_embeddings(other, model)


@pytest.mark.parametrize("editor", [nulltext.PromptSwap(), nulltext.MasaCtrl(), nulltext.SDEdit()], ids=str)
def test_other_editors(xl, optimised, editor):
    edit = editor(xl, optimised, TARGET)
    assert (edit.pixels - edit.source).abs().max() > 1e-3


def test_a_blends_maps_are_at_a_level_that_has_cross_attention():
    """The network has none at the latents' own size: of 128 x 128 there are 64 x 64 and 32 x 32."""
    for side in (64, 96, 128):
        record = Record((side, side))
        assert any(record.wants(Site("", "cross", side // part, side // part), 0) for part in (2, 4))


# ---- precision, memory, identity


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_follows(spot, xl, dtype):
    half: Any = nulltext.load(spot, device="cpu", dtype=dtype)
    assert {half.autoencoder.network.dtype, half.text.second.network.dtype} == {torch.float32}
    x = torch.randn(1, 4, 6, 10, generator=torch.Generator().manual_seed(0))
    outputs, gradients = [], []
    for model in (xl, half):
        cond = model.embed([PROMPT], SIZE)
        text = cond.text.clone().requires_grad_()
        output = model.predict(x, 500.0, cond.with_text(text))
        output.square().mean().backward()
        outputs.append(output.detach())
        gradients.append(text.grad.flatten())
    torch.testing.assert_close(*outputs, rtol=0, atol=0.05)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9


def test_low_memory_changes_nothing(spot, xl):
    frugal = nulltext.load(spot, device="cpu", low_memory=True)
    x, gradients = torch.randn(1, 4, 6, 10, generator=torch.Generator().manual_seed(0)), []
    for model in (xl, frugal):
        cond = model.embed([PROMPT], SIZE)
        text = cond.text.clone().requires_grad_()
        model.predict(x, 500.0, cond.with_text(text)).square().mean().backward()
        gradients.append(text.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-8)


def test_compiled_it_is_told_the_same(spot, xl, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, **_: forward)
    model = nulltext.load(spot, device="cpu")
    compile_denoiser(model)
    x, cond = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), model.embed([PROMPT])
    torch.testing.assert_close(model.predict(x, 500.0, cond), xl.predict(x, 500.0, cond), rtol=0, atol=1e-4)


def test_the_null_is_the_one_that_the_folder_says_and_part_of_its_identity(xl, spot, tmp_path):
    folder = edited(spot, tmp_path / "a", "model_index.json", force_zeros_for_empty_prompt=False)
    other = nulltext.load(folder, device="cpu")
    torch.testing.assert_close(other.null(SIZE).text, xl.embed([""], SIZE).text)
    assert not other.identity.same_weights(xl.identity)
    path = folder / "text_encoder_2" / "config.json"
    path.write_text(path.read_text() + "\n")
    assert not nulltext.load(folder, device="cpu").identity.same_weights(other.identity)


def test_a_hub_id_whose_config_has_the_nulls_of_the_published_one(spot, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--xl"
    nulls = dict.fromkeys(("upcast_attention", "mid_block_only_cross_attention", "num_attention_heads"))
    edited(spot, repository / "snapshots" / commit, "unet/config.json", **nulls)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert nulltext.load("someone/xl", device="cpu").identity.revision == commit


# ---- what cannot be used


REFUSED = {
    "a refiner": (
        "model_index.json",
        {
            "_class_name": "StableDiffusionXLImg2ImgPipeline",
            "requires_aesthetics_score": True,
            "text_encoder": [None, None],
            "tokenizer": [None, None],
        },
        r"a Stable Diffusion XL refiner, which only goes on where the base checkpoint stopped; expected the base",
    ),
    "a refiner in a plain pipeline": ("model_index.json", {"text_encoder": [None, None]}, "XL refiner"),
    "another's pooled text": (
        "text_encoder_2/config.json",
        {"projection_dim": POOLED + 8},
        r"text_projection.weight is \[40, 48\], expected \[48, 48\]",
    ),
    "a first encoder of another kind": (
        "model_index.json",
        {"text_encoder": ["transformers", "T5EncoderModel"]},
        r"T5EncoderModel.* for the text_encoder; expected CLIPTextModel",
    ),
    "a tokenizer of another length": (
        "tokenizer_2/tokenizer_config.json",
        {"model_max_length": 20},
        r"read 24 and 20 tokens; expected as many of each",
    ),
    "latents scaled by channel": (
        "vae/config.json",
        {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4},
        r"has latents_mean or latents_std, .*; expected scaling_factor alone",
    ),
    "a null that is neither": (
        "model_index.json",
        {"force_zeros_for_empty_prompt": "no"},
        r"force_zeros_for_empty_prompt='no'; expected true",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_a_sentence(spot, tmp_path, what):
    name, values, expected = REFUSED[what]
    with pytest.raises((UnsupportedPipelineError, ModelLoadError), match=expected):
        nulltext.load(edited(spot, tmp_path / "a", name, **values), device="cpu")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"addition_embed_type": None}, 'addition_embed_type=null; expected "text_time"'),
        ({"projection_class_embeddings_input_dim": 100}, "takes 100 numbers of pooled text and sizes, and is told 88"),
        ({"cross_attention_dim": 32}, "expects text embeddings of width 32, the text encoder gives 80"),
        ({"in_channels": 8}, "takes 8 channels"),
    ],
)
def test_a_denoiser_that_is_anothers(xl, changed, expected):
    unet, vae = SimpleNamespace(**{**xl.denoiser.config, **changed}), xl.autoencoder.network.config
    with pytest.raises(UnsupportedPipelineError, match=expected):
        check_fit(unet, vae, sum(WIDTHS), "xl", POOLED)


def test_a_denoiser_of_this_family_in_a_plain_pipeline(xl):
    with pytest.raises(UnsupportedPipelineError, match='addition_embed_type="text_time"; expected null'):
        check_fit(xl.denoiser.config, xl.autoencoder.network.config, sum(WIDTHS), "plain")


def test_a_part_that_is_missing(spot, tmp_path):
    folder = shutil.copytree(spot, tmp_path / "a", ignore=shutil.ignore_patterns("tokenizer_2"))
    with pytest.raises(ModelLoadError, match=r"it lacks tokenizer_2, tokenizer_2/vocab\.json"):
        nulltext.load(folder, device="cpu")


def test_tokenizers_that_cut_a_prompt_differently(spot, tmp_path):
    folder = shutil.copytree(spot, tmp_path / "a")
    tokenizer: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
    tokenizer.add_tokens("redball")
    tokenizer.save_pretrained(folder / "tokenizer_2")
    model = nulltext.load(folder, device="cpu")
    assert model.embed(["a red ball"]).text.shape == (1, LENGTH, sum(WIDTHS))
    with pytest.raises(UnsupportedPipelineError, match="cut the prompt 'a redball' in different places"):
        model.embed(["a redball"])


def test_a_negative_prompt_is_the_pipelines_pooled_text_and_all(both):
    folder, model = both
    expected = theirs(folder)(
        PROMPT,
        negative_prompt=TARGET,
        num_inference_steps=2,
        guidance_scale=5.0,
        height=SIZE[0],
        width=SIZE[1],
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).images
    ours = nulltext.generate(model, PROMPT, steps=2, guidance=5.0, size=SIZE, negative_prompt=TARGET)
    torch.testing.assert_close(ours / 2 + 0.5, expected, rtol=1e-4, atol=1e-4)
