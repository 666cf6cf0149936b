"""A decoder of image embeddings with its prior: photographs by their own embedding, edits by turning it."""

import json
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
)
from tests.models.tiny.kandinsky_2_2 import DDIM, WIDTH
from torch.nn import functional

import nulltext
from nulltext.editing.agreement import agreement
from nulltext.editing.methods.text_diff import turned
from nulltext.errors import MismatchError, ModelLoadError, SessionError, UnsupportedPipelineError
from nulltext.images import to_image, to_pixels
from nulltext.inversion.reconstruct import source_and_targets
from nulltext.models.kandinsky_2_2 import check_fit

pytestmark = pytest.mark.filterwarnings("ignore:the model was made for images")  # the tiny one of 64 x 64
FAMILY = "kandinsky 2.2"
PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"


@pytest.fixture(scope="module")
def pipeline(made, spot):
    """The one that was saved, by DDIM."""
    scheduler: Any = DDIMScheduler
    made.pipeline.decoder_pipe.scheduler = scheduler(**DDIM)
    return made.pipeline


@pytest.fixture(scope="module")
def kandinsky(made):
    return made.model


def noise(seed, *size):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


# ---- against the pipeline


def test_a_prompt_is_what_the_prior_makes_of_it(kandinsky, pipeline):
    for prompt in (PROMPT, "A Cat"):
        theirs = pipeline.prior_pipe(prompt, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(kandinsky.embed([TARGET, prompt]).text[1], theirs.image_embeds, rtol=0, atol=1e-4)
        torch.testing.assert_close(kandinsky.null().text[0], theirs.negative_image_embeds, rtol=0, atol=1e-5)
    assert (kandinsky.embed([PROMPT]).text - kandinsky.embed(["A Cat"]).text).abs().max() > 1e-3


def test_a_photograph_is_what_clip_sees(kandinsky, pipeline, source, direct):
    """By the pipeline's own processor, which crops what is not square."""
    pixels = pipeline.prior_image_processor(to_image(source.pixels), return_tensors="pt").pixel_values
    with torch.no_grad():
        theirs = pipeline.prior_image_encoder(pixels).image_embeds
    torch.testing.assert_close(kandinsky.images.see(source.pixels), theirs, rtol=0, atol=1e-5)
    told = source_and_targets(kandinsky, direct, [PROMPT, TARGET])
    torch.testing.assert_close(told.text[:2, 0], theirs.expand(2, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(told.text[2:], kandinsky.embed([TARGET]).text, rtol=0, atol=1e-5)


def test_draws_what_the_pipeline_draws(kandinsky, pipeline):
    """At a size that the pipeline takes, which are multiples of 64 whatever its denoiser."""
    height, width = size = (64, 128)
    drawn = nulltext.generate_inversion(kandinsky, PROMPT, steps=2, guidance=6.0, seed=3, size=size)
    theirs = {
        kind: pipeline.decoder_pipe(
            kandinsky.embed([PROMPT]).text[:, 0],
            kandinsky.null().text[:, 0],
            height=height,
            width=width,
            num_inference_steps=2,
            guidance_scale=6.0,
            latents=noise(3, 1, 4, 8, 16),
            output_type=kind,
        ).images
        for kind in ("latent", "pt")
    }
    torch.testing.assert_close(drawn.pivot[-1:], theirs["latent"], rtol=0, atol=1e-4)
    pixels = nulltext.generate(kandinsky, PROMPT, steps=2, guidance=6.0, seed=3, size=size)
    torch.testing.assert_close(pixels, theirs["pt"].clamp(-1, 1), rtol=0, atol=1e-4)
    torch.testing.assert_close(nulltext.replay(kandinsky, drawn), drawn.pivot[-1:], rtol=0, atol=1e-4)


def test_images_through_the_autoencoder(kandinsky, pipeline, source):
    latents = kandinsky.encode(source.pixels)
    with torch.no_grad():
        theirs = pipeline.movq.encode(source.pixels).latents
        decoded = pipeline.movq.decode(theirs, force_not_quantize=True).sample
    torch.testing.assert_close(latents, theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(kandinsky.decode(latents), decoded.clamp(-1, 1), rtol=0, atol=1e-4)


def test_what_it_is(kandinsky, image):
    assert (kandinsky.prediction, kandinsky.scale, kandinsky.latent_channels) == ("epsilon", 8, 4)
    assert (kandinsky.default_size, kandinsky.guidance, kandinsky.text_length) == ((64, 64), 4.0, 1)
    assert nulltext.open_image(image, kandinsky, size=(39, 90)).pixels.shape[-2:] == (32, 96)


# ---- inversion and editing


def test_null_embeddings_are_optimised(kandinsky, source):
    """Nulls are few numbers here, one embedding a step: what three steps have no room for, ten have."""
    plain = nulltext.DDIM(steps=10)(kandinsky, source, PROMPT)
    optimised = nulltext.NullText(steps=10, inner_steps=10, solver="lbfgs")(kandinsky, source, PROMPT)
    assert optimised.replay.nulls is not None
    assert optimised.replay.nulls.shape == (10, 1, WIDTH)
    z0 = kandinsky.encode(source.pixels)
    off = [(nulltext.replay(kandinsky, one, guidance=4.0) - z0).square().mean() for one in (plain, optimised)]
    assert off[1] < off[0] / 10


@pytest.mark.parametrize("word", ["negative-prompt", "global-null-text", "textual-inversion", "edit-friendly"])
def test_other_inversions_say_what_sampling_gives(kandinsky, source, word):
    made: Any = nulltext.INVERTERS[word].load()
    few = {"inner_steps": 1} if hasattr(made, "inner_steps") else {}
    inversion = made(steps=1, guidance=4.0, **few)(kandinsky, source, PROMPT)
    sampled = nulltext.reconstruct(kandinsky, inversion)
    assert nulltext.psnr(sampled, source.pixels) == pytest.approx(inversion.scores.psnr, abs=1e-3)


def test_an_edit_turns_the_embedding(kandinsky, direct):
    edit = nulltext.TextDiff(strength=0.4, guidance=3.0)(kandinsky, direct, [TARGET, PROMPT, "a dog"])
    exact = kandinsky.decode(direct.pivot[-1:])
    torch.testing.assert_close(edit.source, exact, rtol=0, atol=1e-5)
    assert (edit.pixels[0] - edit.pixels[2]).abs().max() > 1e-3
    start = kandinsky.images.see(to_pixels(direct.image))
    new, old = kandinsky.images.read([TARGET, PROMPT]).split(1)
    direction = functional.normalize(new, dim=-1) - functional.normalize(old, dim=-1)
    told = kandinsky.images.told(turned(start, direction, 0.4))
    by_hand = nulltext.replay(kandinsky, direct, targets=[told], guidance=3.0)
    torch.testing.assert_close(edit.pixels[:1], kandinsky.decode(by_hand[1:]), rtol=0, atol=1e-4)


def test_nothing_turned_is_the_source(kandinsky, source):
    """Where the source is led by nothing but its embedding: its own prompt, and a share of 0."""
    inversion = nulltext.DDIM(steps=2, guidance=2.0)(kandinsky, source, PROMPT)
    for strength, prompt in ((0.5, PROMPT), (0.0, TARGET)):
        edit = nulltext.TextDiff(strength=strength)(kandinsky, inversion, prompt)
        torch.testing.assert_close(edit.pixels, edit.source, rtol=0, atol=1e-4)


def test_turning_is_spherical():
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    for share in (0.0, 0.25, 1.0):
        angle = torch.tensor(share * torch.pi / 2)
        expected = 3 * torch.stack([angle.cos(), angle.sin()])[None]
        torch.testing.assert_close(turned(start, end, share), expected, rtol=0, atol=1e-5)
    for none in (torch.zeros(1, 2), start, -start):
        torch.testing.assert_close(turned(start, none, 0.5), start)


@pytest.mark.parametrize(
    "editor", [nulltext.PromptSwap(), nulltext.SDEdit(strength=0.5), nulltext.FromNoise()], ids=str
)
def test_editors_that_draw_a_prompt(kandinsky, direct, editor):
    edit = editor(kandinsky, direct, TARGET)
    assert (edit.pixels - edit.source).abs().max() > 1e-3


def test_edits_share_batches(kandinsky, source, direct):
    other = nulltext.DirectInversion(steps=2)(kandinsky, source, TARGET)
    jobs = [(nulltext.TextDiff(), direct, TARGET), (nulltext.TextDiff(strength=0.2), other, PROMPT)]
    for i, edit in nulltext.edit_many(kandinsky, jobs):
        editor, inversion, prompt = jobs[i]
        torch.testing.assert_close(edit.pixels, editor(kandinsky, inversion, prompt).pixels, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_embeddings_stay_in_float32(spot, kandinsky, dtype):
    half = nulltext.load(spot, device="cpu", dtype=dtype, low_memory=True)
    torch.testing.assert_close(half.null().text, kandinsky.null().text, rtol=0, atol=1e-5)


# ---- what has no meaning here


def test_words_have_no_place_in_its_images(kandinsky, direct):
    with pytest.raises(SessionError, match=r"is told of an image embedding and sees no words; .* such as text-diff"):
        nulltext.PromptToPrompt()(kandinsky, direct, TARGET)


def test_masactrl_looks_at_the_source(kandinsky, direct):
    """Its layers look at the image and at the embedding's tokens in one softmax; MasaCtrl takes the image's."""
    edit, swapped = (
        editor(kandinsky, direct, TARGET).pixels for editor in (nulltext.MasaCtrl(), nulltext.PromptSwap())
    )
    assert edit.isfinite().all()
    assert not torch.allclose(edit, swapped, atol=1e-3)


def test_a_model_that_is_told_of_words(model, source_image):
    inversion = nulltext.DirectInversion(steps=1)(model, source_image, PROMPT)
    with pytest.raises(MismatchError, match=r"told of a prompt's words; expected .* image embedding"):
        nulltext.TextDiff()(model, inversion, TARGET)


REFUSED = {
    "the decoder alone": (
        "model_index.json", {"_class_name": "KandinskyV22Pipeline"}, "without its prior; expected both in one folder",
    ),
    "another's prior": (
        "model_index.json", {"prior_text_encoder": ["transformers", "T5EncoderModel"]}, "T5EncoderModel",
    ),
    "another scheduler for the prior": (
        "prior_scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}, "expected an UnCLIPScheduler",
    ),
    "an autoencoder of another kind": ("movq/config.json", {"_class_name": "AutoencoderKL"}, "expected VQModel"),
    "no size": ("unet/config.json", {"sample_size": None}, "sample_size=None; expected the side of the latents"),
    "sizes that are none": (
        "prior_image_processor/preprocessor_config.json", {"crop_size": "x", "size": "y"}, "no image processor",
    ),
    "a tokenizer of another length": (
        "prior_tokenizer/tokenizer_config.json", {"model_max_length": 20}, "reads 24 tokens, its text encoder gives 20",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_a_sentence(spot, tmp_path, what):
    name, values, expected = REFUSED[what]
    path = shutil.copytree(spot, tmp_path / "a") / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises((UnsupportedPipelineError, ModelLoadError), match=expected):
        nulltext.load(tmp_path / "a", device="cpu")


def test_a_tokenizer_without_its_words(spot, tmp_path):
    folder = shutil.copytree(spot, tmp_path / "a", ignore=shutil.ignore_patterns("vocab.json", "tokenizer.json"))
    with pytest.raises(ModelLoadError, match=r"it lacks prior_tokenizer/vocab\.json"):
        nulltext.load(folder, device="cpu")


@pytest.mark.parametrize(
    ("part", "changed", "expected"),
    [
        ("unet", {"in_channels": 9}, "takes 9 channels"),
        ("unet", {"addition_embed_type": "text_image"}, "told of .*text_image"),
        ("movq", {"norm_type": "group"}, "norm_type='group'; expected 'spatial'"),
        ("vision", {"projection_dim": 8}, "'prior_image_encoder': 8"),
    ],
)
def test_parts_that_are_anothers(kandinsky, part, changed, expected):
    clip = kandinsky.images.clip
    networks = {
        "unet": kandinsky.denoiser,
        "movq": kandinsky.autoencoder.network,
        "prior": kandinsky.images.prior.network,
        "vision": clip.vision,
        "text_encoder": clip.text.network,
    }
    configs = {
        name: dict(network.config.to_dict() if name in ("vision", "text_encoder") else network.config)
        for name, network in networks.items()
    }
    configs[part] |= changed
    parts: Any = SimpleNamespace(
        **{name: SimpleNamespace(config=SimpleNamespace(**config)) for name, config in configs.items()}
    )
    with pytest.raises(UnsupportedPipelineError, match=expected):
        check_fit(parts, "kandinsky")


def test_its_own_clip_says_whether_a_prompt_describes_an_image(kandinsky, source):
    found = agreement(kandinsky, source.pixels, PROMPT)
    assert found is not None
    assert {(each.term, each.instead) for each in found.terms} == {("red", ""), ("ball", ""), ("grass", "")}
    image, texts = kandinsky.images.see(source.pixels), kandinsky.images.read([PROMPT, "a ball on grass"])
    right, without = functional.cosine_similarity(image, texts).tolist()
    assert found.cosine == pytest.approx(right, abs=1e-5)
    assert next(each.margin for each in found.terms if each.term == "red") == pytest.approx(right - without, abs=1e-5)
    assert agreement(kandinsky, source.pixels, "word " * 500) is None
