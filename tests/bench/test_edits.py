"""Edits with known answers."""

import itertools
import math
import multiprocessing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from nulltext import DDIM, Progress, PromptSwap
from nulltext.bench.candidate import Outcome
from nulltext.bench.cases.scenes import KINDS, ground_truth, scene_cases, scene_image
from nulltext.bench.cost import Cost
from nulltext.bench.editing import edit_all
from nulltext.bench.measures import measures_of
from nulltext.bench.studies.edits import STUDY, candidates
from nulltext.bench.study import Setting, scenes
from nulltext.bench.table import TRUTH
from nulltext.bench.workers import each
from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import SettingError
from nulltext.images import open_image
from nulltext.judges import words_of
from nulltext.metrics import Missing, structural_similarity
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
        ((head, word),) = edit.words.items()
        assert head in KINDS[edit.kind]
        assert word == words_of(edit.after)[head]
        assert word in edit.prompt or head in ("pattern", "finish", "time")
    color = edits[0]
    assert 0.3 < color.outside.float().mean() < 1


def test_the_truth_is_the_same_image_where_nothing_changes(scene, edits):
    from nulltext.scenes.renderer import render

    before = render([scene], height=128, width=128).pixels
    for edit in edits:
        outside = (edit.truth - before).abs().amax(1)[0][edit.outside]
        assert outside.numel() == 0 or outside.max() <= 0.04


def test_a_blend_is_what_a_user_would_name(edits):
    old = edits[0].before.things[0].shape
    by_kind = {edit.kind: edit.blend for edit in edits}
    assert by_kind["time"] is None
    assert by_kind["ground"] is None
    assert by_kind["color"] == ((old,), (old,))
    assert by_kind["shape"] == ((old,), (edits[1].after.things[0].shape,))


def test_the_figures_of_one_image(embedded: Model, tmp_path):
    report = STUDY(embedded, Setting(folder=tmp_path, limit=1, steps=3, inner_steps=1))
    record = report.record()
    assert record["images"] == 1
    assert record["four_edits_cost"] > 0
    tables = record["tables"]
    assert list(tables) == ["overall", "local", *KINDS]
    for kind, count in {"overall": 5, "local": 3, **dict.fromkeys(KINDS, 1)}.items():
        assert list(tables[kind]) == ["plain", "p2p", "p2p_blend"]
        assert {figures["success"]["count"] for figures in tables[kind].values()} == {count}
    for figures in tables["overall"].values():
        assert 0 <= figures["success"]["mean"] <= 1
        assert 5 < figures["psnr_truth"]["mean"] < 40
    again = STUDY(embedded, Setting(folder=tmp_path, limit=1, steps=3, inner_steps=1)).record()
    assert again == record  # goes on where it was: also what is timed is not made again


def test_the_true_image_itself_would_be_a_success(embedded: Model):
    """What the judges say of the answers: the upper end of every figure."""
    measures = measures_of((*TRUTH, "success"))
    inversion = DDIM(steps=1)(embedded, *scene_image(sample_scene(HELD_OUT_SEEDS[5], things=1), embedded))
    measured: list[dict[str, Any]] = [
        {name: measure(truth_of(embedded, case, inversion)) for name, measure in measures.items()}
        for case in scene_cases(1, first=5, size=embedded.default_size)
    ]
    assert sum(each["success"] for each in measured) >= 4
    assert all(each["psnr_truth"] == math.inf and each["ssim_truth"] == 1 for each in measured)


def truth_of(model: Model, case: Any, inversion) -> Outcome:
    """An outcome that is as good as can be."""
    truth = open_image(case.truth, model)
    changed = truth.frame.fit_mask(case.changed)[0, 0] > 0.5
    cost = Cost(forwards=1, backwards=0, seconds=0.1, peak_bytes=0)
    return Outcome(
        case=case,
        image=open_image(case.image, model),
        inversion=inversion,
        inverted=cost,
        output=truth.pixels,
        edited=True,
        truth=truth.pixels,
        changed=changed,
    )


def test_edits_drawn_together_are_what_each_is_alone(embedded: Model, scene, edits):
    inversion = DDIM(steps=3)(embedded, *scene_image(scene, embedded))
    editors = (PromptSwap(), PromptToPrompt(), PromptToPrompt(blend=Blend(*edits[1].blend)), PromptToPrompt())
    asked = [(editor, inversion, edits[1].prompt) for editor in editors]
    asked[3] = (editors[3], inversion, edits[4].prompt)
    calls: list[int] = []
    batched = edit_all(embedded, [*asked, asked[1]], on_progress=lambda event: calls.append(event.step))
    assert len(calls) == 2 * 3, "one batch by Prompt-to-Prompt and one plain, of three steps each"
    assert torch.equal(batched[1].pixels, batched[4].pixels)
    for (editor, _, prompt), made in zip(asked, batched, strict=False):
        single = editor(embedded, inversion, prompt)
        torch.testing.assert_close(made.pixels, single.pixels, rtol=0, atol=2e-3)
        assert (made.mask is None) == (single.masks is None), "a mask is an edit's own, also in a batch with others"
    differences = [(batched[i].pixels - batched[j].pixels).abs().max() for i, j in itertools.combinations(range(4), 2)]
    assert min(differences) > 0.01


@pytest.mark.parametrize(("kept", "expected"), [("all", 1.0), ("half", 0.5), ("none", 0.0)])
def test_the_mask_beside_the_true_change(embedded: Model, kept, expected):
    (case,) = scene_cases(1, first=5, size=embedded.default_size)[:1]
    inversion = DDIM(steps=1)(embedded, *scene_image(sample_scene(HELD_OUT_SEEDS[5], things=1), embedded))
    outcome = truth_of(embedded, case, inversion)
    changed = outcome.changed
    assert changed is not None
    half = changed & (changed.flatten().cumsum(0).view_as(changed) <= changed.sum() // 2)
    measure = measures_of(["mask_iou"])["mask_iou"]
    own = {"all": changed, "half": half, "none": ~changed}[kept]
    assert measure(replace(outcome, mask=own)) == pytest.approx(expected, abs=1 / int(changed.sum()))
    assert isinstance(measure(outcome), Missing)
    assert isinstance(measure(replace(outcome, mask=own, changed=None)), Missing)


def blend_alone(model: Model, setting: Setting):
    return candidates(model, setting)[2:]


def test_several_workers_find_the_same_figures(embedded: Model, tmp_path):
    events: list[Progress] = []
    study = replace(STUDY, candidates=blend_alone, cases=partial(scenes, count=2), facts={})
    asked: Any = {"steps": 2, "inner_steps": 1}
    single = study(embedded, Setting(folder=tmp_path / "alone", **asked)).tables()
    shared = study(
        embedded, Setting(folder=tmp_path / "shared", **asked, workers=2, on_progress=events.append)
    ).tables()
    assert [(event.phase, event.step, event.total) for event in events] == [("measure", n, 2) for n in range(3)]
    assert single.keys() == shared.keys() == {"overall", "local", *KINDS}
    for kind, table in single.items():
        ours, theirs = table["p2p_blend"], shared[kind]["p2p_blend"]
        assert theirs["psnr_truth"].mean == pytest.approx(ours["psnr_truth"].mean, abs=0.01)
        assert theirs["success"] == ours["success"]
    assert not multiprocessing.active_children()


def test_workers_share_out_a_cpu_only(embedded: Any):
    with pytest.raises(SettingError, match="only a CPU is shared out"):
        each(replace(embedded, device=torch.device("cuda")), [1, 2], print, workers=2)


def test_structural_similarity(scene, embedded: Model):
    pixels = scene_image(scene, embedded)[0].pixels
    noisy = (pixels + 0.3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    assert structural_similarity(pixels, pixels) == 1
    assert 0 < structural_similarity(pixels, noisy) < 0.8
