"""The sweep behind the app's presets."""

import pytest

from nulltext.bench.kept import MEASURED, Row
from nulltext.bench.studies.presets import KINDS, LESS, PRESETS, STUDY, cases, findings, winners
from nulltext.bench.study import Setting
from nulltext.models.base import Model


@pytest.fixture(scope="module")
def entries(embedded: Model, tmp_path_factory: pytest.TempPathFactory):
    return {
        each.kind: each for each in cases(embedded, Setting(folder=tmp_path_factory.mktemp("run"), limit=1)).entries
    }


def test_a_case_of_every_preset(entries):
    assert list(entries) == list(KINDS)
    assert [next(iter(case.words)) for case in entries.values()] in (
        ["color", second, "shape", "ground", "time", "style"] for second in ("pattern", "finish")
    )


def test_local_is_where_the_words_look_that_differ(entries):
    case = entries["weather"]
    assert PRESETS[0].editor(case).blend is None
    local = next(each for each in PRESETS if each.local)
    blend = local.editor(case).blend
    assert blend is not None
    for prompt, other, words in ((case.source, case.target, blend.source), (case.target, case.source, blend.target)):
        assert words
        assert all(word in prompt.split() and word not in other.split() for word in words)


def row(kind: str, method: str, success: float, kept: float) -> Row:
    return {
        "case": f"{kind}-1", "kind": kind, "method": method, "status": MEASURED, "sha256": "1", "success": success,
        "psnr_outside": kept, "psnr_truth": kept,
    }  # fmt: skip


def test_the_winner_succeeds_most_often_of_those_that_keep_as_much():
    usual, *others = PRESETS
    figures = {
        usual.name: (0.0, 30.0), others[0].name: (1.0, 30 - LESS + 0.01), others[1].name: (1.0, 31.0),
        others[2].name: (1.0, 20.0),
    }  # fmt: skip
    rows = [row(kind, method, *of) for kind in ("colour", "style") for method, of in figures.items()]
    assert winners(rows) == {"colour": others[1], "style": others[1]}
    found = findings(Setting(folder=None), rows)  # pyright: ignore[reportArgumentType]  it is not looked at
    assert found.figures["presets"]["colour"] == {"cross": others[1].cross, "self_share": 0.4, "local": False}
    assert found.sheets[0].rows[0][:4] == ["colour", others[1].name, "100.0 %", "0.0 %"]
    assert len(found.sheets[0].headings) == len(found.sheets[0].rows[0])


def test_every_setting_is_a_method_of_the_study(embedded, tmp_path):
    found = STUDY.candidates(embedded, Setting(folder=tmp_path))
    assert [each.name for each in found] == [each.name for each in PRESETS]
    assert len({each.name for each in found}) == len(found) == 18
