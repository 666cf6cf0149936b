"""Prompt-to-Prompt on inverted images."""

import re
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

import nulltext
from nulltext import DDIM, Blend, NullText, Progress, PromptSwap, PromptToPrompt, attention_maps, reconstruct
from nulltext.attention.sites import attention_modules
from nulltext.bench.cases.scenes import scene_image
from nulltext.errors import (
    Cancelled,
    EmptyMaskError,
    EmptyPromptError,
    ImageError,
    ImageNotFoundError,
    SettingError,
    WordNotFoundError,
)
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.build import Build
from nulltext.models.parts import Parts
from nulltext.models.stable_diffusion import StableDiffusion
from nulltext.scenes.world import Scene, Thing

PROMPT = "a cat on grass"


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return NullText(steps=5, inner_steps=2)(any_model, source_image, PROMPT)


def processors(model: Model) -> list[object]:
    return [module.processor for module in attention_modules(model.denoiser).values()]


LEFT = Image.fromarray(np.repeat(np.array([[255] * 48 + [0] * 48], np.uint8), 80, axis=0))
"""A drawn mask of the image's size, its left half white."""


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
@pytest.mark.parametrize(
    ("control", "count"),
    [
        (PromptToPrompt(), 1),
        (PromptToPrompt(cross_attention=1.0, self_attention=1.0), 1),
        (PromptToPrompt(cross_attention=0.0, self_attention=0.0), 1),
        (PromptToPrompt(cross_attention=(0.2, 0.6), self_attention=(0.4, 0.8)), 1),
        (PromptToPrompt(kind="refine"), 1),
        (PromptToPrompt(kind="replace", cross_attention={"cat": 0.2, "": 0.8}), 1),
        (PromptToPrompt(reweight={"cat": 1.0}), 1),
        (PromptToPrompt(blend=Blend("cat", "cat", threshold=0.0)), 1),
        (PromptToPrompt(blend=Blend("cat", "cat", threshold=0.97, keep_out="grass")), 1),
        pytest.param(PromptToPrompt(blend=Blend(mask=LEFT, start=0.0)), 1, id="mask"),
        pytest.param(PromptToPrompt(blend=Blend("cat", "cat", threshold=0.1, mask=LEFT)), 2, id="mask and words"),
        (PromptToPrompt(maps=True), 1),
        (PromptToPrompt(), 3),
        (PromptToPrompt(kind="refine", cross_attention=(0.2, 0.6)), 3),
        (PromptToPrompt(chain=True), 2),
        (PromptToPrompt(chain=True, kind="refine", blend=Blend("cat", "cat", threshold=0.1)), 2),
    ],
    ids=str,
)
def test_the_same_prompt_is_the_reconstruction(any_model, inversion, control, count):
    edit = control(any_model, inversion, [PROMPT] * count)
    plain = reconstruct(any_model, inversion)
    # To 1e-4 of an image's range, which is 2: random weights amplify the rounding of another attention kernel.
    torch.testing.assert_close(edit.pixels, plain.expand(count, -1, -1, -1), rtol=0, atol=2e-4)
    torch.testing.assert_close(edit.source, plain, rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    "control", [PromptToPrompt(), PromptToPrompt(kind="refine", blend=Blend("ball", "ball"))], ids=str
)
def test_on_the_embedded_model_the_same_prompt_is_the_reconstruction(control, embedded):
    scene = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")
    inversion = NullText(steps=4, inner_steps=2)(embedded, *scene_image(scene, embedded))
    edit = control(embedded, inversion, inversion.prompt)
    torch.testing.assert_close(edit.pixels, reconstruct(embedded, inversion), rtol=0, atol=1e-4)


def test_without_any_control_it_is_the_plain_swap(any_model, inversion):
    edit = PromptToPrompt(cross_attention=0.0, self_attention=0.0)(any_model, inversion, "a dog on grass")
    torch.testing.assert_close(edit.pixels, PromptSwap()(any_model, inversion, "a dog on grass").pixels)


@pytest.mark.parametrize("settings", [{"self_attention": 0.0}, {"cross_attention": 0.0}])
def test_either_attention_changes_the_plain_swap(any_model, inversion, settings):
    plain = PromptSwap()(any_model, inversion, "a dog on grass")
    edit = PromptToPrompt(**settings)(any_model, inversion, "a dog on grass")
    assert (edit.pixels - plain.pixels).abs().max() > 1e-3
    assert (edit.pixels - edit.source).abs().max() > 1e-3


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_several_in_one_batch_are_what_each_is_alone(any_model, inversion):
    prompts = ["a dog on grass", "a red cat on grass", "a tiger on grass"]
    batched = PromptToPrompt()(any_model, inversion, prompts)
    assert batched.kinds == ("replace", "refine", "replace")
    for i, prompt in enumerate(prompts):
        single = PromptToPrompt()(any_model, inversion, prompt)
        torch.testing.assert_close(batched.pixels[i : i + 1], single.pixels, rtol=1e-3, atol=1e-3)


def test_the_kind_may_be_forced(any_model, inversion):
    assert PromptToPrompt(kind="refine")(any_model, inversion, "a dog on grass").kinds == ("refine",)
    with pytest.raises(SettingError, match=r"4 words.*5 words.*'refine'"):
        PromptToPrompt(kind="replace")(any_model, inversion, "a red cat on grass")


def test_a_heavier_word_changes_the_image(any_model, inversion):
    light, heavy = (
        PromptToPrompt(reweight={"dog": factor})(any_model, inversion, "a dog on grass").pixels
        for factor in (1.0, 10.0)
    )
    assert (light - heavy).abs().max() > 1e-3


@pytest.mark.parametrize("cross", [0.0, {"dog": 0.0}])
@pytest.mark.parametrize("weights", [{"dog": 2.0}, {"grass": 1.0, "dog": 2.0}])
def test_a_weight_that_could_do_nothing_is_an_error(any_model, inversion, cross, weights):
    with pytest.raises(SettingError, match=r"none for 'dog' in 'a dog on grass'.*Raise cross_attention"):
        PromptToPrompt(cross_attention=cross, reweight=weights)(any_model, inversion, "a dog on grass")


@pytest.mark.parametrize("weight", [-2.0, 0.0])
def test_maps_are_those_before_words_are_weighted(any_model, inversion, weight):
    editor = PromptToPrompt(blend=Blend("cat", "dog"), reweight={"dog": weight}, maps=True)
    maps = editor(any_model, inversion, "a dog on grass").maps
    torch.testing.assert_close(maps.maps.sum(1), torch.ones(2, 8, 8))
    assert maps.of("dog", 1).min() > 0
    assert maps.over("dog", 1).max() == 1


def test_a_chain_edits_the_edit_before(any_model, inversion):
    prompts = ["a dog on grass", "a red dog on grass"]
    chained = PromptToPrompt(chain=True)(any_model, inversion, prompts)
    apart = PromptToPrompt()(any_model, inversion, prompts)
    torch.testing.assert_close(chained.pixels[0], apart.pixels[0], rtol=1e-3, atol=1e-3)
    assert (chained.pixels[1] - apart.pixels[1]).abs().max() > 1e-4
    # The first link repeated: nothing is left to change in the second.
    again = PromptToPrompt(chain=True, cross_attention=1.0, self_attention=1.0)(
        any_model, inversion, ["a dog on grass", "a dog on grass"]
    )
    torch.testing.assert_close(again.pixels[1], again.pixels[0], rtol=1e-3, atol=1e-3)


def test_a_mask_comes_back_over_the_image(any_model, inversion, image):
    left = Image.new("L", image.size)
    left.paste(255, (0, 0, image.width // 2, image.height))
    control = PromptToPrompt(blend=Blend(mask=left, start=0.0), cross_attention=0.0, self_attention=0.0)
    edit = control(any_model, inversion, "a dog on grass")
    assert edit.masks is not None
    assert edit.masks.shape == (1, 1, 64, 64)
    assert edit.mask_images[0].size == image.size
    kept = np.asarray(edit.mask_images[0])
    assert kept[:, image.width // 6 : image.width // 3].min() == 255
    assert kept[:, 2 * image.width // 3 :].max() == 0
    assert PromptSwap()(any_model, inversion, "a dog on grass").mask_images == []


def test_an_empty_mask_is_an_error_with_the_maximum(any_model, inversion, image):
    black = Image.new("L", image.size)
    events: list[Progress] = []
    with pytest.raises(EmptyMaskError, match="nothing white in it at 8 x 8"):
        PromptToPrompt(blend=Blend("cat", mask=black))(any_model, inversion, "a dog on grass", events.append)
    assert events == [], "drew before it complained"
    with pytest.raises(EmptyMaskError, match=r"the map of cat, dog reaches 0\.\d\d of its maximum"):
        PromptToPrompt(blend=Blend("cat", "dog", keep_out=("cat", "dog")))(any_model, inversion, "a dog on grass")


def test_a_mask_must_fit_the_image(any_model, inversion, tmp_path):
    with pytest.raises(ImageError, match="expected the photograph's 96 x 80"):
        PromptToPrompt(blend=Blend(mask=Image.new("L", (50, 50))))(any_model, inversion, "a dog on grass")
    with pytest.raises(ImageNotFoundError):
        PromptToPrompt(blend=Blend(mask=tmp_path / "none.png"))(any_model, inversion, "a dog on grass")


@pytest.mark.parametrize(
    "control",
    [
        PromptToPrompt(reweight={"tiger": 2.0}),
        PromptToPrompt(cross_attention={"tiger": 0.5}),
        PromptToPrompt(blend=Blend("tiger")),
        PromptToPrompt(blend=Blend("cat", "tiger")),
        PromptToPrompt(blend=Blend("cat", "dog", keep_out="tiger")),
    ],
    ids=str,
)
def test_a_word_that_is_not_there_is_named(any_model, inversion, control):
    before = processors(any_model)
    with pytest.raises(WordNotFoundError, match="'tiger' is not in the prompt"):
        control(any_model, inversion, "a dog on grass")
    assert all(a is b for a, b in zip(processors(any_model), before, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"cross_attention": 1.2},
        {"cross_attention": (0.6, 0.4)},
        {"cross_attention": {"cat": -0.1}},
        {"self_attention": -0.1},
        {"reweight": {"cat": 11.0}},
        {"reweight": {"cat": -5.0}},
        {"most_tokens": 0},
    ],
)
def test_settings_out_of_range(settings):
    with pytest.raises(SettingError, match="got"):
        PromptToPrompt(**settings)


@pytest.mark.parametrize(("name", "value"), [("self_attention", [0.2, 0.8]), ("kind", "Replace")])
def test_settings_of_another_type(name, value):
    settings = PromptToPrompt()
    object.__setattr__(settings, name, value)  # the constructor of these tests checks its types before
    with pytest.raises(SettingError, match=f"{name}: got {re.escape(repr(value))}"):
        settings.__post_init__()


@pytest.mark.parametrize("settings", [{}, {"source": "cat", "threshold": 1.0}, {"source": "cat", "start": 1.0}])
def test_blends_out_of_range(settings):
    with pytest.raises(SettingError, match="got"):
        Blend(**settings)


@pytest.mark.parametrize("error", [Cancelled, KeyboardInterrupt])
def test_stopping_in_the_middle_leaves_the_model_as_it_was(any_model, inversion, error):
    before = processors(any_model)

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise error

    with pytest.raises(error):
        PromptToPrompt()(any_model, inversion, "a dog on grass", stop)
    assert all(a is b for a, b in zip(processors(any_model), before, strict=True))


def test_no_prompt(any_model, inversion):
    with pytest.raises(EmptyPromptError):
        PromptToPrompt()(any_model, inversion, [])


def test_images_that_are_not_square(any_model, image):
    wide = nulltext.open_image(image, any_model, size=(40, 72))
    inversion = DDIM(steps=3)(any_model, wide, PROMPT)
    edit = PromptToPrompt(blend=Blend("cat", "dog", threshold=0.1), maps=True)(any_model, inversion, "a dog on grass")
    assert edit.pixels.shape == (1, 3, 40, 72)
    assert edit.maps is not None
    assert edit.maps.maps.shape == (2, 24, 5, 9)


@pytest.mark.parametrize("size", [(256, 256), (160, 288)])
def test_a_denoiser_laid_out_like_sdxls(pipeline_builder, image, size):
    pipeline = pipeline_builder(
        sample_size=32,
        block_out_channels=(32, 32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(2, 4, 8),
        use_linear_projection=True,
    )
    model = StableDiffusion.from_parts(
        Parts.of(pipeline), Build(identity=ModelIdentity("tiny", "x"), device=torch.device("cpu"), dtype=torch.float32)
    )
    inversion = NullText(steps=2, inner_steps=1)(model, nulltext.open_image(image, model, size=size), PROMPT)
    same = PromptToPrompt(maps=True)(model, inversion, PROMPT)
    torch.testing.assert_close(same.pixels, reconstruct(model, inversion), rtol=0, atol=2e-4)
    edit = PromptToPrompt(blend=Blend("cat", "dog", threshold=0.1), maps=True)(model, inversion, "a dog on grass")
    assert edit.pixels.shape == (1, 3, *size)
    assert edit.masks is not None
    assert edit.masks.shape == (1, 1, *size)
    assert edit.maps is not None
    # Its finest cross-attention is at half the latents' side.
    assert edit.maps.maps.shape == (2, 24, size[0] // 16, size[1] // 16)


def test_maps_are_shares_and_can_be_looked_at(any_model, inversion):
    maps = attention_maps(any_model, inversion)
    torch.testing.assert_close(maps.maps.sum(1), torch.ones(1, 8, 8))
    assert maps.words() == ["a", "cat", "on", "grass"]
    over = maps.over("cat")
    assert over.shape == (64, 64)
    assert over.max() == 1
    assert over.min() >= 0
    torch.testing.assert_close(maps.pixels, reconstruct(any_model, inversion), rtol=0, atol=2e-4)
    with pytest.raises(WordNotFoundError):
        maps.of("dog")
    both = PromptToPrompt(maps=True)(any_model, inversion, "a red dog on grass").maps
    assert both is not None
    torch.testing.assert_close(both.maps[:1], maps.maps, rtol=1e-3, atol=1e-4)
    sheet = both.sheet(cell_size=64)
    assert sheet.width > 5 * 64
    assert len(set(np.asarray(sheet).reshape(-1, 3).sum(1).tolist())) > 50


@pytest.mark.parametrize("chain", [False, True])
def test_another_prompts_weight_leaves_the_reconstruction(any_model, inversion, chain):
    control = PromptToPrompt(reweight={"dog": 4.0}, chain=chain)
    edit = control(any_model, inversion, [PROMPT, "a dog on grass"])
    plain = reconstruct(any_model, inversion)
    torch.testing.assert_close(edit.pixels[:1], plain, rtol=0, atol=2e-4)
    assert (edit.pixels[1:] - plain).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("control", "controlled_steps"),
    [
        (PromptToPrompt(self_attention=0.4, most_tokens=16), {("cross", 64): 4, ("cross", 16): 4, ("self", 16): 2}),
        (PromptToPrompt(), {("cross", 64): 4, ("cross", 16): 4, ("self", 64): 2, ("self", 16): 2}),
        (PromptToPrompt(cross_attention=0.0, self_attention=0.0, maps=True), {("cross", 64): 5}),
    ],
    ids=str,
)
def test_sites_that_no_control_wants_keep_the_fused_kernel(
    any_model, inversion, monkeypatch, control, controlled_steps
):
    kernel = torch.nn.functional.scaled_dot_product_attention
    fused: Counter[tuple[int, str, int]] = Counter()

    def counting(query, key, *rest, **named):
        fused[len(query), "self" if key.shape[2] == query.shape[2] else "cross", query.shape[2]] += 1
        return kernel(query, key, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counting)
    PromptSwap()(any_model, inversion, "a dog on grass")
    expected = fused.copy()
    fused.clear()
    control(any_model, inversion, "a dog on grass")
    # Of a batch of 4, two images with and without prompt, the conditional half loses the kernel in the steps that a
    # control wants. What the text encoder and the autoencoder do stays as it is.
    for (kind, tokens), steps in controlled_steps.items():
        lost = expected[4, kind, tokens] * steps // len(inversion.schedule)
        assert lost > 0
        expected[4, kind, tokens] -= lost
        expected[2, kind, tokens] += lost
    assert +fused == +expected


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_a_source_that_is_held_is_exact(any_model, source_image):
    """Also where the inversion drifts: the source ends on the pivot, and edits follow it there."""
    drifting = DDIM(steps=5)(any_model, source_image, PROMPT)
    corrected = PromptToPrompt(guidance=5.0, correct_source=True)(any_model, drifting, ["a dog on grass", PROMPT])
    let_go = PromptToPrompt(guidance=5.0)(any_model, drifting, ["a dog on grass", PROMPT])
    exact = any_model.decode(drifting.pivot[-1:])
    torch.testing.assert_close(corrected.source, exact, rtol=0, atol=1e-5)
    assert not torch.allclose(let_go.source, exact, rtol=0, atol=1e-2)
    assert not torch.allclose(corrected.pixels, let_go.pixels, rtol=0, atol=1e-4)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_what_is_kept_of_a_held_source_is_exact(any_model, source_image):
    """A blend keeps the pivot itself."""
    drifting = DDIM(steps=5)(any_model, source_image, PROMPT)
    blend = Blend(mask=LEFT, start=0.0)
    edit = PromptToPrompt(guidance=5.0, correct_source=True, blend=blend)(any_model, drifting, "a dog on grass")
    exact = any_model.decode(drifting.pivot[-1:])
    assert (edit.masks[..., 40:] == 0).all()
    torch.testing.assert_close(edit.pixels[..., 48:], exact[..., 48:], rtol=0, atol=1e-4)  # beyond where it fades
