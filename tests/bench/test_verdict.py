"""The sweep behind the app's verdict."""

import json

import pytest

from nulltext.bench.studies import verdict
from nulltext.bench.studies.verdict import COSINE, OTHER, OWN, PEAK, READ, RIGHT, RIVAL, WITHOUT, study, threshold
from nulltext.bench.study import Setting
from nulltext.models.base import Model
from nulltext.scenes.captions import caption
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene


def test_the_threshold_lies_in_the_middle_of_the_widest_gap() -> None:
    found = threshold({"right": [3.0, 4.0, 9.0], "wrong": [0.0, 1.0], "other": [1.5]}, "right")
    assert found.value == pytest.approx(2.25)
    assert (found.false_alarms, found.misses, found.error) == (0, {"wrong": 0, "other": 0}, 0)


def test_each_kind_of_wrong_counts_alike() -> None:
    found = threshold({"right": [2.0, 2.2, 2.4, 2.6], "many": [1.0] * 8 + [3.0] * 2, "few": [1.0]}, "right")
    assert (found.value, found.false_alarms) == (1.5, 0)
    assert found.misses == {"many": pytest.approx(0.2), "few": 0}
    assert found.error == pytest.approx(0.05)


def test_a_prompt_of_each_kind_and_the_right_one_is_the_caption() -> None:
    scene, other = (sample_scene(HELD_OUT_SEEDS[number]) for number in (1, 2))
    prompts = verdict.prompts_of(scene, other, 1)
    assert (prompts[RIGHT], prompts[OTHER]) == (caption(scene), caption(other))
    assert len(set(prompts.values())) == 4
    assert verdict.prompts_of(scene, other, 1) == prompts


def test_what_it_finds(embedded: Model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(verdict, "NOISES", (0.0, 0.6))
    found = study(embedded, Setting(folder=tmp_path, limit=1, steps=1))
    assert {name: {kind: len(values) for kind, values in each.items()} for name, each in found.prompts.items()} == {
        name: dict.fromkeys((RIGHT, *verdict.WRONG), 1) for name in (COSINE, RIVAL, WITHOUT, PEAK)
    }
    best = found.thresholds()
    assert best[RIVAL].error == 0  # of one scene
    assert len(found.faithful[OWN]) == 2
    assert READ in found.readable
    record = json.loads(json.dumps(found.record()))
    assert record["thresholds"][RIVAL]["value"] == best[RIVAL].value
    sheets = [each for each in found.shown() if not isinstance(each, str)]
    assert [row[0] for row in sheets[0].rows] == [COSINE, RIVAL, WITHOUT, PEAK]
