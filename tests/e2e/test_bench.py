"""The figures of the README, measured on a picture or two in a few steps."""

import dataclasses

import pytest

from nulltext import Progress
from nulltext.bench import settings
from nulltext.bench.model import ModelFigures
from nulltext.bench.reconstruction import measure_reconstruction

QUICK = ("--steps", 2, "--inner-steps", 1)


def test_bench_reconstruction_has_every_figure_also_as_a_table(run_json, run, measured_once):
    measured_once("nulltext.bench.reconstruction", "measure_reconstruction")
    figures = run_json("bench", "reconstruction", "--limit", 1, *QUICK)
    assert figures["pictures"] == figures["photos"] == 1
    assert figures["nulltext_gap_db"] == pytest.approx(figures["vae_bound_db"] - figures["nulltext_db"])
    assert figures["ddim_gap_db"] == pytest.approx(figures["vae_bound_db"] - figures["ddim_guided_db"])
    assert figures["invert_seconds"] > 0
    assert isinstance(figures["photo_gap_db"], float)
    result = run("bench", "reconstruction", "--limit", 1, *QUICK)
    assert result.exit_code == 0, result.output
    for word in ("w=7.5, T=2, N=1", "1 scenes", "null-text inversion", "plain DDIM", "1 photographs", "early stop"):
        assert word in result.stdout


def test_bench_reconstruction_says_which_picture_it_is_at(embedded):
    events: list[Progress] = []
    measure_reconstruction(embedded, limit=1, steps=1, inner_steps=1, on_progress=events.append)
    numbers = [event.picture for event in events if event.picture is not None]
    assert {event.pictures for event in events} == {None, 2}  # first one alone, for its time
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 2}


def test_bench_model_has_every_figure_also_as_a_table(run_json, run, measured_once):
    measured_once("nulltext.bench.model", "measure_model")
    figures = run_json("bench", "model", "--limit", 2, "--steps", 1)
    assert figures.keys() == {field.name for field in dataclasses.fields(ModelFigures)}
    assert figures.keys() >= {
        "vae_psnr_scenes", "vae_psnr_objects", "vae_psnr_photos", "vae_roundtrip_accuracy", "clip_near_miss_accuracy",
        "generated_shape_accuracy", "generated_color_accuracy", "generated_ground_accuracy", "unet_forward_ms",
    }  # fmt: skip
    assert figures["pictures"] == figures["generated"] == 2
    result = run("bench", "model", "--limit", 2, "--steps", 1)
    assert result.exit_code == 0, result.output
    for word in ("2 held-out scenes", "autoencoder", "judges", "64 near misses", "right ground", "ms"):
        assert word in result.stdout


def test_bench_edits_has_every_method_and_kind_also_as_a_table(run_json, run, measured_once):
    measured_once("nulltext.bench.edits", "measure_edits")
    asked = ("bench", "edits", "--limit", 1, *QUICK, "--guidance", 4)
    figures = run_json(*asked)
    assert figures["pictures"] == 1
    assert figures["guidance"] == 4
    assert figures.keys() >= {"methods", "four_edits_cost"}
    for method in ("plain", "p2p", "p2p_blend"):
        for kind in ("overall", "local", "color", "shape", "surface", "ground", "time"):
            each = figures["methods"][method][kind]
            assert each.keys() == {"success", "outside_db", "truth_db", "truth_ssim"}
            assert each["success"].keys() == {"mean", "low", "high", "count"}
    result = run(*asked)
    assert result.exit_code == 0, result.output
    for word in ("1 held-out scenes", "p2p_blend", "surface", "success", "outside, dB", "four captions"):
        assert word in result.stdout


def test_bench_settings_tries_every_setting_at_the_models_guidance(run_json, run, embedded, measured_once, monkeypatch):
    """Of fewer values, so that it is quick: of each the one that is asked for below and another."""
    for name, values in {"CROSS": (0.8,), "SELF": (0.4, 1.0), "THRESHOLDS": (0.3, 0.5)}.items():
        assert set(values) < set(getattr(settings, name))
        monkeypatch.setattr(settings, name, values)
    measured_once("nulltext.bench.settings", "sweep_settings")
    own = embedded.guidance
    asked = ("bench", "settings", "--limit", 1, "--steps", 1, "--inner-steps", 1)
    asked += ("--guidance", own, "--guidance", own + 1)
    swept = run_json(*asked)["sweeps"]
    assert [figures["guidance"] for figures in swept] == [own, own + 1]
    assert swept[0]["pictures"] == 1
    assert swept[1]["methods"].keys() == {"plain", "p2p", "p2p_blend"}
    names = swept[0]["methods"].keys()
    tried = {"cross 0.8, self 0.4", "cross 0.8, self 1", "blend over 0.3", "blend over 0.5"}
    assert names == swept[1]["methods"].keys() | tried
    assert len(names) == len(swept[1]["methods"]) + len(tried)
    table = run(*asked)
    assert table.exit_code == 0, table.output
    assert all(name in table.stdout for name in names)
