"""Methods compared where they succeed equally often, on rows whose truth is known."""

import numpy as np
import pytest

from nulltext.bench.equal_success import (
    DEPENDS,
    FEWEST,
    NO_DIFFERENCE,
    NOT_COMPARABLE,
    Comparison,
    at_success,
    compare,
    compare_all,
    non_dominated,
)
from nulltext.bench.kept import Row

SCALES = (1.0, 2.0, 4.0, 6.0, 8.0)
PAIR = ("ours", "theirs")
POINTS = {f"{method} at w={w:g}": (method, w) for method in PAIR for w in SCALES}


def table(seed: int, *, ahead: float = 0.0, better: float = 0.0, scenes: int = 24, edits: int = 3) -> list[Row]:
    """Rows of two methods: noise of scenes that both share, of edits, and of each method at each edit.

    Args:
        seed: Of the noise.
        ahead: How much weaker the guidance is at which "ours" has the same success and the same background.
        better: How many decibels more background "ours" keeps at equal success.
        scenes: How many.
        edits: Of each.
    """
    draw, rows = np.random.default_rng(seed), list[Row]()
    for scene in range(scenes):
        hard, flat = draw.normal(size=2)
        for edit in range(edits):
            of_edit = draw.normal()
            for method in PAIR:
                own_hard, own_flat = draw.normal(size=2)
                for w in SCALES:
                    felt = w + (ahead if method == "ours" else 0.0)
                    strength = 0.6 * (felt - 4) + 0.7 * (hard + of_edit + own_hard) + 0.3 * draw.normal()
                    psnr = 30 - 2 * felt + 2 * flat + own_flat + (better if method == "ours" else 0.0)
                    rows.append(
                        {
                            "status": "measured",
                            "case": f"{scene}-{edit}",
                            "sha256": f"{scene}",
                            "method": f"{method} at w={w:g}",
                            "success": float(strength > 0),
                            "psnr": psnr + 0.3 * draw.normal(),
                        }
                    )
    return rows


def judged(rows: list[Row], **how: int) -> Comparison:
    return compare(rows, POINTS, PAIR, "psnr", **how)


def test_who_is_worse_at_equal_guidance_and_better_at_equal_success_wins():
    rows = table(0, ahead=2.0, better=3.0, scenes=60)
    means = {name: np.mean([float(row["psnr"] or 0) for row in rows if row["method"] == name]) for name in POINTS}
    assert all(means[f"ours at w={w:g}"] < means[f"theirs at w={w:g}"] for w in SCALES)
    found = judged(rows)
    assert found.verdict == "ours"
    assert (found.edits, found.scenes) == (180, 60)
    assert [each.success for each in found.levels] == sorted(each.success for each in found.levels)
    assert found.lowest < found.levels[0].success < found.levels[-1].success < found.highest
    for each in found.levels:
        assert each.low < each.mean < each.high
        assert each.mean == pytest.approx(3, abs=1.5)
    turned = compare(rows, POINTS, ("theirs", "ours"), "psnr")
    assert turned.verdict == "ours"
    assert turned.overall is not None
    assert found.overall is not None
    assert (turned.overall.mean, turned.overall.low) == pytest.approx((-found.overall.mean, -found.overall.high))


def test_equal_methods_show_no_difference_in_95_of_100_cases():
    """Also where one has the other's curve at weaker guidance; 200 cases, of which 95 % less 3 standard errors."""
    verdicts = [judged(table(seed, ahead=seed % 2), resamples=300).verdict for seed in range(200)]
    assert 0.904 * len(verdicts) <= verdicts.count(NO_DIFFERENCE) < len(verdicts)
    assert NOT_COMPARABLE not in verdicts


def test_curves_that_cross_have_no_winner():
    rows = table(0, scenes=60)
    for row in rows:
        method, _, w = str(row["method"]).partition(" at w=")
        row["psnr"] = 30 - float(w) * (3 if method == "ours" else 1) + (10 if method == "ours" else 0)
    found = judged(rows)
    assert found.overall is not None
    assert found.overall.low > 0 > found.levels[-1].high
    assert all(each.low < each.mean < each.high for each in found.levels), "success alone is uncertain"
    assert found.verdict == DEPENDS


def test_what_both_methods_have_of_a_scene_cancels():
    rows = table(0)
    hard = [{**row, "psnr": float(row["psnr"] or 0) + 9 * (int(str(row["sha256"])) % 5)} for row in rows]
    plain, shifted = judged(rows).overall, judged(hard).overall
    assert plain is not None
    assert shifted is not None
    assert (shifted.mean, shifted.low, shifted.high) == pytest.approx((plain.mean, plain.low, plain.high))


def one(method: str, w: float, case: int, success: float, psnr: float | None) -> Row:
    about: Row = {"status": "measured", "case": f"{case}", "sha256": f"{case}", "method": f"{method} at w={w:g}"}
    return {**about, "success": success, "psnr": psnr}


def ranges(ours: float, theirs: float) -> list[Row]:
    """Of so many edits in 40 "ours" succeeds at the strongest guidance, and "theirs" at the weakest."""
    return [
        one(method, w, case, float(case < of[w]), 20.0)
        for method, of in {
            "ours": dict(zip(SCALES, (0, 0, 0, 0, ours), strict=True)),
            "theirs": dict(zip(SCALES, (theirs, theirs, theirs, theirs, 40), strict=True)),
        }.items()
        for w in SCALES
        for case in range(40)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [(10, 30, NOT_COMPARABLE), (30, 10, NO_DIFFERENCE), (40, 39, NO_DIFFERENCE), (0, 40, NOT_COMPARABLE)],
)
def test_what_never_succeeds_equally_often_is_not_compared(ours, theirs, verdict):
    found = judged(ranges(ours, theirs))
    assert found.verdict == verdict
    assert (found.overall is None) == (len(found.levels) == 0) == (verdict == NOT_COMPARABLE)


def test_a_range_that_hangs_on_a_scene_is_none():
    """The curves touch at one success as measured; in half of the replicates they do not."""
    rows = [one("ours", w, case, float(case < 20), 20.0) for w in SCALES for case in range(40)]
    rows += [one("theirs", w, case, float(case >= 20), 20.0) for w in SCALES for case in range(40)]
    found = judged(rows)
    assert found.lowest == found.highest == 0.5
    assert found.verdict == NOT_COMPARABLE


@pytest.mark.parametrize("scenes", [1, FEWEST - 1])
def test_few_scenes_say_nothing_of_others(scenes):
    found = judged(table(0, better=9.0, scenes=scenes, edits=20))
    assert found.overall is not None
    assert (found.overall.low, found.overall.high) == (-np.inf, np.inf)
    assert found.verdict == NO_DIFFERENCE


def test_only_edits_that_both_have_count():
    rows = table(0, scenes=12)
    lost = [
        {**row, "status": "failed"} if (row["case"], row["method"]) == ("3-1", "ours at w=4") else row for row in rows
    ]
    whole = [row for row in rows if row["case"] != "3-1"]
    assert judged(lost) == judged(whole)
    assert judged(lost).edits == 35
    unknown = [{**row, "psnr": None} if row["case"] == "3-1" else row for row in rows]
    assert judged(unknown).edits == 36, "its success counts all the same"
    assert judged(unknown) != judged(rows)
    assert judged([]).verdict == NOT_COMPARABLE
    assert judged([{**row, "psnr": None} for row in rows]).verdict == NOT_COMPARABLE


def test_every_pair_by_every_figure():
    points = {"a": ("a", 1.0), "b": ("b", 1.0), "c": ("c", None)}
    rows = [{**row, "method": name} for name in points for row in ranges(20, 20)[:40]]
    found = compare_all(rows, points, ("psnr", "success"))
    assert [(each.figure, each.first, each.second) for each in found] == [
        (figure, *pair) for figure in ("psnr", "success") for pair in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert {each.verdict for each in found} == {NO_DIFFERENCE}, "points that are the same"


def test_a_level_is_reached_where_the_curve_first_passes_it():
    success, values = np.array([[0.1, 0.5, 0.3, 0.7]]), np.array([[30.0, 26.0, 20.0, 10.0]])
    levels = np.array([[0.1, 0.3, 0.5, 0.6, 0.7]])
    np.testing.assert_allclose(at_success(success, values, levels), [[30, 28, 26, 12.5, 10]])
    assert np.isnan(at_success(success, values, np.array([[0.0, 0.71]]))).all()
    np.testing.assert_allclose(at_success(np.array([[0.2, 0.2]]), np.array([[5.0, 4.0]]), np.array([[0.2]])), [[5]])


def test_what_nothing_dominates():
    points = [(0.1, 30.0), (0.5, 25.0), (0.5, 24.0), (0.4, 25.0), (0.9, 10.0), (0.9, 10.0), (0.2, 9.0)]
    assert non_dominated(points) == [True, True, False, False, True, True, False]
    assert non_dominated([]) == []
