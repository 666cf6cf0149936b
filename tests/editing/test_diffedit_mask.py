"""DiffEdit's mask: its formula, and that it finds what changes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nulltext import DDIM, Blend, DiffEditMask, DirectInversion, PromptSwap, PromptToPrompt, edit_many
from nulltext.bench.cases.scenes import ground_truth, scene_image
from nulltext.diffusion.levels import split
from nulltext.editing.table import EDITORS
from nulltext.errors import DivergedError, EmptyMaskError, SettingError
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene
from nulltext.spelling.options import argv, assemble

PROMPT, TARGET = "a cat on grass", "a red dog on grass"
LOOSE = DiffEditMask(samples=3, threshold=0.3)
"""For a network of random weights, whose differences are everywhere about the same."""


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return DDIM(steps=4)(any_model, source_image, PROMPT)


def published(model, inversion, settings):
    """The mask by the paper's words, one noising and one prompt after the other."""
    generator, differences, interval = torch.Generator().manual_seed(settings.seed), [], inversion.schedule[2]
    noises = torch.randn(settings.samples, *inversion.pivot.shape[1:], generator=generator)
    for noise in noises:
        x = interval.noisy.alpha * inversion.pivot[-1:] + interval.noisy.sigma * noise
        with torch.no_grad():
            outputs = [model.predict(x, interval.t, model.embed([prompt])) for prompt in (PROMPT, TARGET)]
        source, target = (split(x, output, interval.noisy, model.prediction)[1] for output in outputs)
        differences.append((target - source).abs().mean(1))
    mean = torch.cat(differences).mean(0)
    most = mean.mean() * settings.ratio
    return (mean.clamp(0, float(most)) / most > settings.threshold)[None, None].float()


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_it_is_the_published_mask(any_model, inversion):
    mask = LOOSE(any_model, inversion, TARGET)
    assert torch.equal(mask, published(any_model, inversion, LOOSE))
    assert 0 < mask.mean() < 1
    assert mask.shape == (1, 1, 8, 8)
    assert torch.equal(mask, LOOSE(any_model, inversion, TARGET))
    assert not torch.equal(mask, dataclasses.replace(LOOSE, seed=1)(any_model, inversion, TARGET))


def test_all_noisings_are_one_batch_which_is_halved_where_memory_is_short(any_model, inversion):
    rows, whole = [], LOOSE(any_model, inversion, TARGET)

    def short(_, given, keywords):
        rows.append(len((*given, *keywords.values())[0]))
        if rows[-1] > 2:
            raise torch.OutOfMemoryError

    handle = any_model.denoiser.register_forward_pre_hook(short, with_kwargs=True)
    try:
        assert torch.equal(LOOSE(any_model, inversion, TARGET), whole)
    finally:
        handle.remove()
    assert rows == [6, 4, 2, 2, 2]


def test_prompts_that_say_the_same_have_no_mask(any_model, inversion):
    for prompt in (PROMPT, "A cat  on grass"):
        with pytest.raises(EmptyMaskError, match=r"sees no difference from the source prompt 'a cat on grass'.*Change"):
            LOOSE(any_model, inversion, prompt)
    with pytest.raises(EmptyMaskError, match=r"the highest difference .* of 3 times the mean.*threshold of 0\.99"):
        DiffEditMask(samples=1, threshold=0.99)(any_model, inversion, TARGET)


def test_noise_that_is_no_number_makes_no_mask(any_model, inversion):
    endless = dataclasses.replace(inversion, pivot=torch.full_like(inversion.pivot, 1e38))
    with pytest.raises(DivergedError, match="predicted noise"):
        LOOSE(any_model, endless, TARGET)


def test_each_prompt_of_a_blend_has_its_own_and_beside_others_the_same(any_model, inversion):
    editor = PromptToPrompt(blend=Blend(mask=LOOSE))
    targets = [TARGET, "a blue ball"]
    edit: Any = editor(any_model, inversion, targets)
    for mask, target in zip(edit.masks, targets, strict=True):
        cells = F.interpolate(mask[None], size=(8, 8))
        assert torch.equal(cells, LOOSE(any_model, inversion, target))
    assert not torch.equal(edit.masks[0], edit.masks[1])
    jobs = [(editor, inversion, TARGET), (PromptSwap(), inversion, TARGET), (editor, inversion, targets[1])]
    batched: dict[int, Any] = dict(edit_many(any_model, jobs))
    assert torch.equal(torch.cat([batched[0].masks, batched[2].masks]), edit.masks)
    plain = PromptToPrompt()(any_model, inversion, targets)
    assert not torch.equal(plain.pixels, edit.pixels)


def test_it_finds_what_changes_better_than_chance(embedded):
    found, chance = [], []
    for seed in (10_000, 10_001):
        scene = sample_scene(HELD_OUT_SEEDS[seed], things=1)
        source_image, prompt = scene_image(scene, embedded, size=(128, 128))
        inversion = DirectInversion(steps=2, fixed_point=None)(embedded, source_image, prompt)
        edit = ground_truth(scene, seed, height=128, width=128)[0]
        mask = DiffEditMask()(embedded, inversion, edit.prompt)[0, 0]
        changed = F.interpolate((~edit.outside)[None, None].float(), size=mask.shape, mode="area")[0, 0]
        found.append(float((mask * changed).sum() / mask.sum()))
        chance.append(float(changed.mean()))
    assert all(mine > 3 * theirs for mine, theirs in zip(found, chance, strict=True)), (found, chance)


def test_a_word_on_the_command_line(any_model, inversion):
    editor = EDITORS["prompt-to-prompt"].load()
    named = assemble(editor, {"blend_mask": "diffedit"})
    assert named.blend == Blend(mask=DiffEditMask())
    assert argv(named) == ["--mask", "diffedit"]
    file = assemble(editor, {"blend_mask": "./diffedit"})
    assert file.blend.mask == Path("diffedit")
    assert argv(file) == ["--mask", "./diffedit"]
    with pytest.raises(SettingError, match="diffedit with its own settings alone"):
        argv(PromptToPrompt(blend=Blend(mask=LOOSE)))


def test_settings_out_of_range(any_model, inversion):
    settings: Any
    for settings in ({"samples": 0}, {"strength": 0.0}, {"ratio": 0.0}, {"threshold": 1.0}, {"seed": -1}):
        with pytest.raises(SettingError, match=next(iter(settings))):
            DiffEditMask(**settings)
    with pytest.raises(SettingError, match=r"strength=0\.2, which leaves none of the 4 steps.*0\.25"):
        DiffEditMask(strength=0.2)(any_model, inversion, TARGET)
