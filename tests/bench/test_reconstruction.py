"""The figures of reconstruction: what the method is for, on the embedded model."""

import math

import pytest

from nulltext.bench.studies.reconstruction import STUDY
from nulltext.bench.study import Setting
from nulltext.models.loading import load


@pytest.mark.slow
def test_null_text_comes_back_under_guidance_and_plain_ddim_does_not(tmp_path) -> None:
    setting = Setting(folder=tmp_path, limit=4, workers=2, guidance=7.5)
    record = STUDY(load("scenes", device="cpu"), setting).record()
    scenes, photographs = record["tables"]["scenes"], record["tables"]["photographs"]
    assert scenes["null-text inversion"]["gap_to_vae"]["mean"] <= 0.5
    assert scenes["plain DDIM inversion"]["gap_to_vae"]["mean"] >= 3
    assert photographs["null-text inversion"]["gap_to_vae"]["mean"] <= 1
    assert math.isfinite(record["invert_seconds"])
    assert {table["null-text inversion"]["psnr_source"]["count"] for table in (scenes, photographs)} == {4}
