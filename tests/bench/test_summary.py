import math

import numpy as np
import pytest

from nulltext.bench.summary import bootstrap, by_kind, summarize

ROWS = [
    {"status": "measured", "case": "a", "kind": "color", "method": "ours", "sha256": "1", "psnr": 20.0},
    {"status": "measured", "case": "b", "kind": "shape", "method": "ours", "sha256": "1", "psnr": 22.0},
    {"status": "measured", "case": "c", "kind": "color", "method": "ours", "sha256": "2", "psnr": 27.0},
    {"status": "measured", "case": "c", "kind": "color", "method": "theirs", "sha256": "2", "psnr": None},
]


def test_means_by_method():
    table = summarize(ROWS, ["psnr"])
    ours = table["ours"]["psnr"]
    assert ours.mean == pytest.approx(23.0)
    assert ours.std == pytest.approx(np.std([20, 22, 27]))
    assert (ours.count, ours.missing) == (3, 0)
    assert (ours.low, ours.high) == (21.0, 27.0)  # two images: their means, of 21 and 27, are the ends
    theirs = table["theirs"]["psnr"]
    assert (theirs.count, theirs.missing) == (0, 1)
    assert math.isnan(theirs.mean)


def test_by_kind():
    tables = by_kind(ROWS, ["psnr"])
    assert list(tables) == ["overall", "color", "shape"]
    assert tables["color"]["ours"]["psnr"].mean == pytest.approx(23.5)
    assert list(by_kind(ROWS[:1], ["psnr"])) == ["overall"]


def test_the_interval_is_the_normal_one_where_that_holds():
    values = np.random.default_rng(1).normal(5, 2, size=400)
    low, high = bootstrap([[value] for value in values])
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_values_that_belong_together_are_drawn_together():
    values = np.random.default_rng(1).normal(size=50)
    single, batched = bootstrap([[value] for value in values]), bootstrap([[value] * 10 for value in values])
    assert batched == pytest.approx(single)
    apart = bootstrap([[value] for value in np.repeat(values, 10)])
    assert apart[1] - apart[0] < 0.5 * (single[1] - single[0])


def test_one_image_says_nothing_of_others():
    assert bootstrap([[1.0, 2.0]]) == (-math.inf, math.inf)
