"""Local blend against the published method, on maps made by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.control import Attention
from nulltext.attention.record import Record
from nulltext.attention.sites import Site
from nulltext.editing.base import in_force
from nulltext.editing.blend import Blend
from nulltext.editing.blending import Blender
from nulltext.editing.masks import drawn_mask
from nulltext.errors import EmptyMaskError, WordNotFoundError
from nulltext.images import Frame
from nulltext.models.base import Model

PROMPTS = ("a cat on grass", "a dog on grass", "a red dog on grass")
SIDE, LATENT, LENGTH, STEPS = 16, 64, 24, 50
FRAME = Frame(size=(512, 512), fitted=(512, 512), part=(0, 0, 512, 512), content=(0, 0, 512, 512))


def spot(row: int, column: int, width: float) -> Tensor:
    line = torch.arange(SIDE)
    return torch.exp(-((line[:, None] - row) ** 2 + (line[None] - column) ** 2) / width**2)


def record_of(maps: Tensor) -> Record:
    """A record that has seen these maps, [P, L, rows, columns]."""
    record = Record((LATENT, LATENT))
    probs = maps.flatten(2).transpose(1, 2)[:, None]
    query, key = torch.zeros(1, len(maps), 1, SIDE * SIDE, 4), torch.zeros(1, len(maps), 1, maps.shape[1], 4)
    attention = Attention(query=query, key=key, value=key, scale=1.0).with_probs(probs)
    record(attention, Site("a", "cross", SIDE, SIDE), 0)
    return record


def maps_of(model: Model, spots: Sequence[dict[str, Tensor]]) -> Tensor:
    maps = torch.rand(len(spots), LENGTH, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.01
    for row, words in enumerate(spots):
        for word, where in words.items():
            maps[row, model.tokenize(PROMPTS[row]).find(word)[0]] = where
    return maps


def drawn(mask: Any, _: str) -> Tensor:
    return drawn_mask(mask, FRAME, (LATENT, LATENT))


def blender(model: Model, blend: Blend, maps: Tensor, *, bases: Sequence[int] = (0, 0)) -> Blender:
    prompts = [model.tokenize(prompt) for prompt in PROMPTS[: len(maps)]]
    return Blender(
        [in_force(blend, model)] * (len(maps) - 1),
        prompts,
        bases=bases[: len(maps) - 1],
        steps=STEPS,
        find_mask=drawn,
        latent_size=(LATENT, LATENT),
        record=record_of(maps),
    )


def published(maps: Tensor, changing: Sequence[int], kept: Sequence[int] | None, x: Tensor) -> Tensor:
    """Latents blended as the published method does it: threshold 0.3, maps pooled 3 x 3, source and target united."""

    def mask_of(tokens: Sequence[int], *, pool: bool) -> Tensor:
        chosen = torch.stack([maps[p, token] for p, token in enumerate(tokens)])[:, None]
        if pool:
            chosen = F.max_pool2d(chosen, (3, 3), (1, 1), padding=(1, 1))
        mask = F.interpolate(chosen, size=x.shape[2:])
        mask = mask / mask.max(2, keepdim=True)[0].max(3, keepdim=True)[0]
        mask = mask.gt(0.3)
        return mask[:1] | mask

    mask = mask_of(changing, pool=True)
    if kept is not None:
        mask = mask & ~mask_of(kept, pool=False)
    return x[:1] + mask.float() * (x - x[:1])


@pytest.fixture
def maps(model: Model) -> Tensor:
    grass = spot(15, 8, 6)
    return maps_of(
        model,
        [
            {"cat": spot(5, 5, 3), "grass": grass},
            {"dog": spot(6, 9, 2), "grass": grass},
            {"dog": spot(9, 5, 2), "grass": spot(12, 8, 6)},
        ],
    )


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("keep_out", [(), "grass"])
def test_it_is_the_published_blend(model: Model, maps: Tensor, x: Tensor, keep_out):
    tokens = [model.tokenize(prompt) for prompt in PROMPTS]
    changing = [tokens[0].find("cat")[0], tokens[1].find("dog")[0], tokens[2].find("dog")[0]]
    kept = [prompt.find("grass")[0] for prompt in tokens] if keep_out else None
    blended = blender(model, Blend("cat", "dog", keep_out=keep_out), maps)(STEPS - 1, x)
    torch.testing.assert_close(blended, published(maps, changing, kept, x))
    assert 0.02 < (blended != x).float().mean() < 0.98


def test_before_its_first_step_everything_may_change(model: Model, maps: Tensor, x: Tensor):
    late = blender(model, Blend("cat", "dog", start=0.2), maps)
    assert torch.equal(late(9, x), x)
    assert (late.masks == 1).all()
    assert not torch.equal(late(10, x), x)
    assert 0 < late.masks.mean() < 1


def test_however_late_it_starts_it_is_there_in_the_last_step(model: Model, maps: Tensor, x: Tensor):
    late = blender(model, Blend("cat", "dog", start=0.999), maps)
    assert torch.equal(late(STEPS - 2, x), x)
    assert not torch.equal(late(STEPS - 1, x), x)


def test_a_drawn_mask_is_intersected(model: Model, maps: Tensor, x: Tensor):
    left = Image.new("L", (512, 512))
    left.paste(255, (0, 0, 160, 512))
    words = blender(model, Blend("cat", "dog"), maps)
    both = blender(model, Blend("cat", "dog", mask=left), maps)
    masked = blender(model, Blend(mask=left), maps)
    for one in (words, both, masked):
        one(STEPS - 1, x)
    assert torch.equal(both.masks, words.masks * masked.masks)
    assert masked.masks[..., :20].all()
    assert not masked.masks[..., 20:].any()
    # Outside the mask it is the source to the last bit.
    assert torch.equal(masked(STEPS - 1, x)[1:, :, :, 20:], x[:1, :, :, 20:].expand(2, -1, -1, -1))


def test_an_edit_of_an_edit_blends_with_that_one(model: Model, maps: Tensor, x: Tensor):
    chain = blender(model, Blend("cat", "dog"), maps, bases=(0, 1))
    blended = chain(STEPS - 1, x)
    mask = chain.masks.bool()
    assert (mask[1] | ~mask[0]).all()  # what the first may change, so may the second
    torch.testing.assert_close(blended[2], torch.where(mask[1], x[2], blended[1]))


@pytest.mark.parametrize("bases", [(0, 0), (0, 1)])
def test_the_decoded_image_is_the_source_beyond_half_a_cell(model: Model, maps: Tensor, x: Tensor, bases):
    left = Image.new("L", (512, 512))
    left.paste(255, (0, 0, 160, 512))  # 20 of the 64 columns of cells, 8 pixels each
    masked = blender(model, Blend(mask=left), maps, bases=bases)
    masked(STEPS - 1, x)
    pixels = torch.rand(3, 3, 512, 512, generator=torch.Generator().manual_seed(1)) * 2 - 1
    finished = masked.finish(pixels)
    assert torch.equal(finished[0], pixels[0])
    torch.testing.assert_close(finished[1:, :, :, :160], pixels[1:, :, :, :160])
    assert torch.equal(finished[1:, :, :, 164:], pixels[:1, :, :, 164:].expand(2, -1, -1, -1))
    fading = (finished - pixels)[1, ..., 160:164] / (pixels[0] - pixels[1])[..., 160:164]
    torch.testing.assert_close(1 - fading.mean((0, 1)), torch.tensor([7, 5, 3, 1]) / 8, rtol=1e-3, atol=1e-3)


def test_only_the_latents_are_blended_if_asked_for(model: Model, maps: Tensor, x: Tensor):
    authors = blender(model, Blend("cat", "dog", pixels=False), maps)
    assert not torch.equal(authors(STEPS - 1, x), x)
    pixels = torch.rand(3, 3, 512, 512)
    assert torch.equal(authors.finish(pixels), pixels)


def test_a_mask_without_anything_in_it(model: Model, maps: Tensor, x: Tensor):
    corner = Image.new("L", (512, 512))
    corner.paste(255, (480, 480, 512, 512))
    with pytest.raises(EmptyMaskError, match=r"'a dog on grass' is empty.*reaches 0\.0\d of its maximum.*0\.3"):
        blender(model, Blend("cat", "dog", mask=corner), maps)(STEPS - 1, x)


def test_a_black_mask_is_refused_before_anything_is_drawn(model: Model, maps: Tensor):
    with pytest.raises(EmptyMaskError, match="nothing white in it at 64 x 64"):
        blender(model, Blend(mask=Image.new("L", (512, 512))), maps)


def test_words_kept_out_that_cover_everything(model: Model, maps: Tensor, x: Tensor):
    everywhere = maps.clone()
    for row, prompt in enumerate(PROMPTS):
        everywhere[row, model.tokenize(prompt).find("grass")] = 1.0
    with pytest.raises(EmptyMaskError, match="the places of grass, which are kept out, cover all of it"):
        blender(model, Blend(keep_out="grass"), everywhere)(STEPS - 1, x)


def test_a_word_that_nothing_looks_at_is_nowhere(model: Model, maps: Tensor, x: Tensor):
    ignored = maps.clone()
    for row, word in ((0, "cat"), (1, "dog"), (2, "dog")):
        ignored[row, model.tokenize(PROMPTS[row]).find(word)] = 0.0
    with pytest.raises(EmptyMaskError, match=r"the map of cat, dog reaches 0\.00"):
        blender(model, Blend("cat", "dog"), ignored)(STEPS - 1, x)


def test_a_target_word_of_no_prompt_is_named(model: Model, maps: Tensor):
    with pytest.raises(WordNotFoundError, match="'hta' is not in the prompt"):
        blender(model, Blend("cat", ("dog", "hta")), maps)


def test_each_prompt_needs_one_of_the_words(model: Model, maps: Tensor):
    blender(model, Blend("cat", ("dog", "red")), maps)
    with pytest.raises(WordNotFoundError, match="'red' is not in the prompt 'a dog on grass'"):
        blender(model, Blend("cat", "red"), maps)
