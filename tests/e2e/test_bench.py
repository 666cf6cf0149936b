"""The figures of the README, measured on an image or two in a few steps."""

import dataclasses

import pytest

from nulltext import Progress
from nulltext.bench.embedded_model import ModelFigures
from nulltext.bench.studies import reconstruction, settings
from nulltext.bench.study import Setting

QUICK = ("--steps", 2, "--inner-steps", 1)


def test_bench_reconstruction_has_every_figure_also_as_a_table(run_json, run):
    record = run_json("bench", "reconstruction", "--limit", 1, *QUICK)
    assert list(record["tables"]) == ["overall", "scenes", "photographs"]
    for kind in ("scenes", "photographs"):
        for figures in record["tables"][kind].values():
            assert figures["psnr_source"]["count"] == 1
            gap = figures["bound"]["mean"] - figures["psnr_source"]["mean"]
            assert figures["gap_to_vae"]["mean"] == pytest.approx(gap)
    assert record["invert_seconds"] > 0
    result = run("bench", "reconstruction", "--limit", 1, *QUICK)  # goes on where it was: nothing is left to do
    assert result.exit_code == 0, result.output
    for word in ("w=7.5, T=2, N=1", "scenes", "null-text inversion", "plain DDIM", "photographs", "early stop"):
        assert word in result.stdout


def test_bench_reconstruction_says_which_image_it_is_at(embedded, tmp_path):
    events: list[Progress] = []
    reconstruction.STUDY(
        embedded, Setting(folder=tmp_path, limit=1, steps=1, inner_steps=1, guidance=7.5, on_progress=events.append)
    )
    numbers = [event.image for event in events if event.image is not None]
    assert {event.images for event in events} == {None, 2}  # at last one alone, for its time
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 2}


def test_bench_model_has_every_figure_also_as_a_table(run_json, run, measured_once):
    measured_once("nulltext.bench.embedded_model", "measure_model")
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


def test_bench_edits_has_every_method_and_kind_also_as_a_table(run_json, run):
    asked = ("bench", "edits", "--limit", 1, *QUICK, "--guidance", 4)
    record = run_json(*asked)
    assert (record["images"], record["edits"]) == (1, 5)
    assert "w 4" in record["options"]
    assert record["four_edits_cost"] > 0
    for kind in ("overall", "local", "color", "shape", "surface", "ground", "time"):
        for method in ("plain", "p2p", "p2p_blend"):
            figures = record["tables"][kind][method]
            assert figures.keys() == {"success", "outside_truth", "psnr_truth", "ssim_truth"}
            assert figures["success"].keys() == {"mean", "std", "low", "high", "count", "missing"}
    result = run(*asked)
    assert result.exit_code == 0, result.output
    for word in ("1 held-out scenes", "p2p_blend", "surface", "success", "outside", "the edit, dB", "four prompts"):
        assert word in result.stdout


def test_bench_settings_tries_every_setting_at_the_models_guidance(run_json, run, embedded, monkeypatch):
    """Of fewer values, so that it is quick: of each the one that is asked for below and another."""
    for name, values in {"CROSS": (0.8,), "SELF": (0.4, 1.0), "THRESHOLDS": (0.3, 0.5)}.items():
        assert set(values) < set(getattr(settings, name))
        monkeypatch.setattr(settings, name, values)
    own = embedded.guidance
    asked = ("bench", "settings", "--limit", 1, "--steps", 1, "--inner-steps", 1)
    asked += ("--guidance", own, "--guidance", own + 1)
    record = run_json(*asked)
    assert record["images"] == 1
    editors = ("plain", "p2p", "p2p_blend")
    tried = ("cross 0.8, self 0.4", "cross 0.8, self 1", "blend over 0.3", "blend over 0.5")
    names = [f"{name} at w={own:g}" for name in (*editors, *tried)] + [f"{name} at w={own + 1:g}" for name in editors]
    assert list(record["tables"]["overall"]) == list(record["tables"]["local"]) == names
    table = run(*asked)
    assert table.exit_code == 0, table.output
    assert all(name in table.stdout for name in names)
    assert "local" in table.stdout
