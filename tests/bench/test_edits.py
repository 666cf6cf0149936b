"""Edits with known answers."""

import itertools
import math
import multiprocessing
from dataclasses import replace

import pytest
import torch

from nulltext import DDIM, CaptionSwap, Progress
from nulltext.bench.each import each
from nulltext.bench.edits import KINDS, METHODS, blend_of, draw_all, ground_truth, mean, measure_edits, share
from nulltext.bench.pictures import scene_photo
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import SettingError
from nulltext.judges import words_of
from nulltext.metrics import structural_similarity
from nulltext.models.base import Model
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene


@pytest.fixture(scope="module")
def scene():
    return sample_scene(HELD_OUT_SEEDS[5], things=1)


@pytest.fixture(scope="module")
def edits(scene):
    return ground_truth(scene, 5, height=128, width=128)


def test_every_kind_changes_one_word_and_only_where_the_truth_does(scene, edits):
    assert [edit.kind for edit in edits] == list(KINDS)
    for edit in edits:
        assert edit.before == scene
        assert len(edit.words) == 1
        assert edit.words[0] in KINDS[edit.kind]
        assert words_of(edit.after)[edit.words[0]] in edit.caption or edit.words[0] in ("pattern", "finish", "time")
    color = edits[0]
    assert 0.3 < color.outside.float().mean() < 1


def test_the_truth_is_the_same_picture_where_nothing_changes(scene, edits):
    from nulltext.scenes.renderer import render

    before = render([scene], height=128, width=128).pixels
    for edit in edits:
        outside = (edit.truth - before).abs().amax(1)[0][edit.outside]
        assert outside.numel() == 0 or outside.max() <= 0.04


def test_a_blend_is_what_a_user_would_name(edits):
    old = edits[0].before.things[0].shape
    by_kind = {edit.kind: blend_of(edit) for edit in edits}
    assert by_kind["time"] is None
    assert by_kind["ground"] is None
    assert (by_kind["color"].source, by_kind["color"].target) == (old, old)
    assert (by_kind["shape"].source, by_kind["shape"].target) == (old, edits[1].after.things[0].shape)


@pytest.fixture
def scenes(embedded: Model) -> Model:
    return embedded


def test_the_figures_of_one_picture(scenes: Model):
    figures = measure_edits(scenes, limit=1, steps=3, inner_steps=1)
    assert figures.pictures == 1
    assert figures.four_edits_cost > 0
    assert list(figures.methods) == ["plain", "p2p", "p2p_blend"]
    for kinds in figures.methods.values():
        assert list(kinds) == ["overall", "local", *KINDS]
        assert kinds["overall"].success.count == 5
        assert kinds["local"].success.count == 3
        assert 0 <= kinds["overall"].success.mean <= 1
        assert 5 < kinds["overall"].truth_db.mean < 40


def test_the_true_picture_itself_would_be_a_success(scenes: Model, edits):
    """What the judges say of the answers: the upper end of every figure."""
    from nulltext.bench.edits import _compare
    from nulltext.judges import Judges

    judges = Judges.load()
    measured = [_compare(edit, edit.truth, judges) for edit in edits]
    assert sum(each.success for each in measured) >= 4
    assert all(each.truth_db == math.inf and each.truth_ssim == 1 for each in measured)


def test_edits_drawn_together_are_what_each_is_alone(scenes: Model, scene, edits):
    inversion = DDIM(steps=3)(scenes, *scene_photo(scene, scenes))
    editors = (CaptionSwap(), PromptToPrompt(), PromptToPrompt(blend=blend_of(edits[1])), PromptToPrompt())
    asked = [(edits[1].caption, editor) for editor in editors]
    asked[3] = (edits[4].caption, editors[3])
    calls: list[int] = []
    together = draw_all(scenes, inversion, [*asked, asked[1]], lambda event: calls.append(event.step))
    assert len(calls) == 2 * 3, "one batch by Prompt-to-Prompt and one plain, of three steps each"
    assert torch.equal(together[1], together[4])
    for (caption, editor), pixels in zip(asked, together, strict=False):
        alone = editor(scenes, inversion, caption).pixels
        torch.testing.assert_close(pixels, alone, rtol=0, atol=2e-3)
    differences = [(together[i] - together[j]).abs().max() for i, j in itertools.combinations(range(4), 2)]
    assert min(differences) > 0.01


def test_several_workers_find_the_same_figures(scenes: Model):
    told: list[Progress] = []
    asked = {"methods": {"p2p_blend": METHODS["p2p_blend"]}, "limit": 2, "steps": 2, "inner_steps": 1}
    alone = measure_edits(scenes, **asked)
    shared = measure_edits(scenes, **asked, workers=2, on_progress=told.append)
    assert [(event.phase, event.step, event.total) for event in told] == [("measure", n, 2) for n in range(3)]
    for name, kinds in alone.methods.items():
        assert kinds
        for kind, figures in kinds.items():
            assert shared.methods[name][kind].truth_db.mean == pytest.approx(figures.truth_db.mean, abs=0.01)
            assert shared.methods[name][kind].success == figures.success
    assert not multiprocessing.active_children()


def test_workers_share_out_a_cpu_only(scenes: Model):
    with pytest.raises(SettingError, match="only a CPU is shared out"):
        each(replace(scenes, device=torch.device("cuda")), [1, 2], print, workers=2)


def test_intervals():
    wilson = share([True] * 8 + [False] * 2)
    assert (wilson.mean, wilson.count) == (0.8, 10)
    assert wilson.low == pytest.approx(0.4902, abs=1e-3)
    assert wilson.high == pytest.approx(0.9433, abs=1e-3)
    normal = mean([1.0, 2.0, 3.0])
    assert normal.mean == 2
    assert normal.high == pytest.approx(2 + 1.96 / math.sqrt(3), abs=1e-3)
    assert math.isnan(mean([]).mean)


def test_structural_similarity(scene, scenes: Model):
    pixels = scene_photo(scene, scenes)[0].pixels
    noisy = (pixels + 0.3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    assert structural_similarity(pixels, pixels) == 1
    assert 0 < structural_similarity(pixels, noisy) < 0.8
