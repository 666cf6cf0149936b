"""`nulltext batch` as an engineer meets it: a table of photographs in, images and a table out, run twice."""

import csv
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from nulltext import to_image
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    line.split("  #")[0].strip()
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.splitlines()
    if line.startswith("nulltext ")
]
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
    assert "3 rows read, 1 fault\n" in said.stderr
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
    ("header", "advice"),
    [
        ("Image,Prompt,Edit", "Call it image."),
        ("image, prompt,edit", "Call it prompt."),
        ("image;prompt;edit", "not by semicolons"),
        ("image,prompt,edit,stpes", "as in steps"),
        ("image,prompt,edit,my column", "--ignore 'my column'"),
    ],
)
def test_a_column_is_mended_by_what_is_said_of_it(run, here, header, advice):
    (here / "rows.csv").write_text(f"{header}\na.png,a ball,a cup,1\n")
    said = run("batch", "rows.csv", "-o", "out", *QUICK)
    assert said.exit_code == 2
    assert advice in " ".join(said.stderr.split())


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


@pytest.fixture
def of_the_page(here, image):
    """The photographs and the manifest that docs/batch.md shows."""
    table = PAGE.split("`photos.csv` has a row for each photograph:")[1].split("`out` then holds")[0]
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.strip().splitlines()]
    names, rows = lines[0], lines[2:]
    assert names == ["image", "prompt", "edit", "steps"]
    with (here / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *(row + [""] * (len(names) - len(row)) for row in rows)])
    for row in rows:
        (here / row[0]).parent.mkdir(exist_ok=True)
        image.save(here / row[0])
    image.save(here / "cat.jpg")
    return here


def test_the_walkthrough_of_the_page_does_what_it_says(of_the_page, run, tiny):
    check, first, *_ = COMMANDS
    short = ("--model", tiny, *QUICK)
    said = run(*shlex.split(check)[1:], *short)
    assert said.exit_code == 0, said.output
    assert "2 rows read, 0 faults" in said.stderr
    made = run(*shlex.split(first)[1:], *short)
    assert made.exit_code == 0, made.output
    images = sorted(path.relative_to("out/images").as_posix() for path in Path("out/images").rglob("*.png"))
    assert images == ["cat.png", "red-1.png", "red-2.png"]
    assert Path("out/report.html").is_file()
    assert pq.read_table("out/results").num_rows == 3


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_one(line, run):
    said = run(*shlex.split(line)[1:], "--help")
    assert said.exit_code == 0, said.output


def test_the_python_of_the_page_runs(of_the_page, loaded_once, tiny, capsys):
    (code,) = (block for kind, block in BLOCKS if kind == "python")
    code = code.replace("steps=25", "steps=2").replace("batch.Plan(", f"batch.Plan(model={str(tiny)!r}, ")
    exec(code, {})  # noqa: S102  our own page
    assert capsys.readouterr().out.startswith("cat done images/cat.jpg")
