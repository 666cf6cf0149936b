import shutil
from typing import Any

import pytest
import torch

import nulltext
from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import EmptyPromptError, PromptTooLongError, UnknownWordError
from nulltext.models.base import embed_prompts
from nulltext.models.capabilities import word_list_of


@pytest.fixture(scope="module")
def worded(folder, tmp_path_factory):
    """A model that knows seven words."""
    copy = shutil.copytree(folder("epsilon"), tmp_path_factory.mktemp("worded") / "small")
    (copy / "words.txt").write_text("a\nred\nblue\nball\ncube\non\ngrass\n")
    return nulltext.load(copy, device="cpu")


# ---- prompts


def test_embeddings_have_the_tokenizers_length_and_the_networks_width(model):
    text = model.embed(["", "a red ball"]).text
    assert text.shape == (2, 24, 32)
    assert text.dtype == torch.float32
    assert not text.requires_grad


def test_a_prompt_of_exactly_the_length_is_taken(model):
    assert model.embed([" ".join(["cat"] * 22)]).text.shape == (1, 24, 32)


def test_a_prompt_that_is_too_long_names_the_words_that_do_not_fit(model):
    with pytest.raises(PromptTooLongError, match=r"has 24 tokens; .* reads 22.*'red dog'.*Leave out 2 tokens"):
        model.embed(["a ball", " ".join(["cat"] * 22) + " red dog"])


def test_one_word_can_be_too_long(model):
    with pytest.raises(PromptTooLongError, match=r"'x{30}'"):
        model.embed(["x" * 30])


@pytest.mark.parametrize("prompts", [[], [""], ["  \n"], ["a cat", ""]])
def test_empty_prompts(model, prompts):
    with pytest.raises(EmptyPromptError, match="at least one word"):
        embed_prompts(model, prompts)


@pytest.mark.parametrize("prompt", ["", "a red ball on grass", "A Red BALL", "a red ball, on grass.", "red-blue ball"])
def test_known_words(worded, model, prompt):
    torch.testing.assert_close(worded.embed([prompt]).text, model.embed([prompt]).text)


@pytest.mark.parametrize(
    ("prompt", "word", "near"),
    [
        ("a blu ball", "blu", "blue"),
        ("a red bell", "bell", "ball"),
        ("a red ball 7", "7", None),
        ("żółw", "żółw", None),
    ],
)
def test_an_unknown_word_names_the_nearest_and_the_list(worded, prompt, word, near):
    with pytest.raises(UnknownWordError) as caught:
        worded.embed(["a red ball", prompt])
    message = str(caught.value)
    assert f"'{word}'" in message
    assert near is None or f"Nearest known: {near}" in message
    words: Any = word_list_of(worded)
    assert str(words.path) in message


def test_other_models_know_all_words(model):
    assert word_list_of(model) is None
    assert model.embed(["żółw 7"]).text.isfinite().all()


# ---- the denoiser


def test_is_differentiable_in_the_text_alone(model):
    text = model.embed(["a cat"]).text.clone().requires_grad_()
    out = model.predict(torch.randn(1, 4, 8, 8), 500.0, Conditioning(text=text))
    out.square().mean().backward()
    assert out.dtype == torch.float32
    assert text.grad.dtype == torch.float32
    assert text.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in model.denoiser.parameters())


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.01), ("bfloat16", 0.1)])
@pytest.mark.parametrize("size", [1.0, 1e-7])
def test_gradients_in_half_precision_follow_those_in_float32(folder, model, dtype, tolerance, size):
    half = nulltext.load(folder("epsilon"), device="cpu", dtype=dtype)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    gradients = []
    for each in (model, half):
        text = each.embed(["a cat"]).text.clone().requires_grad_()
        (each.predict(x, 500.0, Conditioning(text=text)).square().mean() * size).backward()
        gradients.append(text.grad.double() / size)
    cosine = torch.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0)
    assert cosine > 1 - tolerance
    assert gradients[1].norm().item() == pytest.approx(gradients[0].norm().item(), rel=tolerance * 2)


def test_latents_need_not_be_square(model):
    text = model.embed(["a cat"])
    for height, width in ((8, 8), (6, 10), (5, 7), (1, 3)):
        assert model.predict(torch.randn(1, 4, height, width), 500.0, text).shape == (1, 4, height, width)


# ---- the autoencoder


def test_uses_the_checkpoints_own_scaling(model):
    pixels = torch.rand(1, 3, 48, 80) * 2 - 1
    with torch.no_grad():
        mode = model.autoencoder.network.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(model.encode(pixels), mode * 0.7)


def test_images_are_clamped(model):
    pixels = model.decode(torch.randn(2, 4, 5, 7) * 100)
    assert pixels.shape == (2, 3, 40, 56)
    assert pixels.abs().max() <= 1


def test_gradients_reach_latents_through_decoding_where_they_are_asked_for(model):
    latents = torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    decoded = model.decode(latents)
    decoded.square().sum().backward()
    assert (latents.grad != 0).all()
    assert torch.equal(decoded, model.decode(latents.detach()))
    assert not model.decode(latents.detach()).requires_grad  # no graph, no memory kept
    assert all(weight.grad is None for weight in model.autoencoder.network.parameters())
