"""The figures of reconstruction: what the method is for, on the embedded model."""

import math

import pytest

from nulltext.bench.reconstruction import measure_reconstruction
from nulltext.models.loading import load


@pytest.mark.slow
def test_null_text_comes_back_under_guidance_and_plain_ddim_does_not() -> None:
    figures = measure_reconstruction(load("scenes", device="cpu"), limit=4, workers=2)
    assert figures.nulltext_gap_db <= 0.5
    assert figures.ddim_gap_db >= 3
    assert figures.photo_gap_db <= 1
    assert math.isfinite(figures.invert_seconds)
    assert figures.pictures == figures.photos == 4
