"""`nulltext batch` as an engineer meets it: a table of photographs in, images and a table out, run twice."""

import csv

import pyarrow.parquet as pq
import pytest
from PIL import Image

from nulltext import to_image
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

QUICK = ("--method", "direct:steps=2")


@pytest.fixture
def manifest(here):
    """Three photographs, one of which is missing, and a column of the engineer's own."""
    (here / "photos").mkdir()
    rows = []
    for at in range(3):
        scene = sample_scene(HELD_OUT_SEEDS[810_000 + at], things=1)
        name = f"photos/{at}.png"
        if at != 1:
            to_image(render([scene], height=64, width=64).pixels).save(here / name)
        rows.append({"image": name, "prompt": caption(scene), "edit": caption(scene), "sku": f"A-{at}"})
    with (here / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return "rows.csv"


def test_a_dry_run_says_all_that_is_wrong_and_computes_nothing(run, manifest, here):
    said = run("batch", manifest, "--check", "--ignore", "sku", *QUICK)
    assert said.exit_code == 2
    assert "row 2 (1): there is no file" in said.stdout
    assert "3 rows read, 1 faults" in said.stderr
    assert sorted(path.name for path in here.iterdir()) == ["photos", "rows.csv"]


def test_a_batch_and_the_same_again(run, run_json, manifest, here):
    command = ("batch", manifest, "-o", "out", "--ignore", "sku", *QUICK)
    first = run(*command)
    assert first.exit_code == 3, first.output
    assert "2 edits made, 0 were there already, 1 failed" in first.stderr
    for name in ("0", "2"):
        with Image.open(here / "out" / "images" / f"{name}.png") as image:
            assert image.size == (64, 64)
    table = pq.read_table(here / "out" / "results").to_pylist()
    assert {row["id"]: row["status"] for row in table} == {"0": "done", "1": "failed", "2": "done"}
    report = (here / "out" / "report.html").read_text()
    assert "2 edits, 1 failed" in report
    assert "there is no file" in report
    assert report.count("data:image/jpeg") == 4
    again = run(*command, "--json")
    assert again.exit_code == 3
    assert '"done": 0' in again.stdout
    assert '"skipped": 3' in again.stdout


def test_an_unknown_column_is_refused_by_name(run, manifest):
    said = run("batch", manifest, "-o", "out", *QUICK)
    assert said.exit_code == 2
    assert "column 'sku'" in said.stderr
    assert "--ignore sku" in said.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no folder for the results"),
        (("-o", "out", "--method", "magic"), "got --method 'magic'"),
        (("-o", "out", "--method", "direct:stpes=2"), "no setting of direct"),
        (("-o", "out", "--editor", "prompt-to-prompt:cross_attention=2"), "cross"),
        (("-o", "out", "--shard", "3/2"), "--shard"),
        (("-o", "out", "--actors", "none"), "--actors"),
        (("-o", "out", "--name", "{nobody}"), "name pattern"),
        (("-o", "out", "--size", "big"), "--size"),
        (("-o", "rows.csv"), "rows.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_refused_before_any_work(run, manifest, options, said, here):
    result = run("batch", manifest, "--ignore", "sku", *options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert not (here / "out" / "images").exists()


def test_a_manifest_that_is_not_there(run):
    result = run("batch", "nowhere.csv", "-o", "out")
    assert result.exit_code == 2
    assert "nowhere.csv" in result.stderr
