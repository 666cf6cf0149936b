"""The studies behind the paper's claims, on an image or two in a few steps."""

import json
import math
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from pyarrow import parquet

from nulltext.cli.app import app
from nulltext.cli.command import SOME_FAILED
from nulltext.cli.spelling import spelled

QUICK = ("--limit", 1, "--steps", 2)


@pytest.mark.parametrize(
    ("study", "methods"),
    [
        (("seeds", "--inner-steps", 1), ["generated", "DDIM inversion", "null-text"]),
        (
            ("guidance", "--guidance", 7.5),
            [f"inverted at w={there}, drawn at w={back}" for there in ("1", "7.5") for back in ("1", "7.5")],
        ),
        (
            ("compare", "--inner-steps", 1, "--iterations", 1),
            [
                "SDEdit 0.5",
                "SDEdit 0.8",
                "VQGAN+CLIP",
                "Text2LIVE",
                "DDIM inversion",
                "null-text + P2P",
                "null-text + P2P, blend",
            ],
        ),
    ],
    ids=["seeds", "guidance", "compare"],
)
def test_a_study_has_every_figure(run, run_json, here: Path, study, methods):
    record = run_json("bench", *study, *QUICK)
    assert (record["images"], record["edits"]) == (1, 1)
    table = record["tables"]["overall"]
    assert list(table) == methods
    for figures in table.values():
        for name, summary in figures.items():
            assert summary.keys() == {"mean", "std", "low", "high", "count", "missing"}
            assert (summary["count"], summary["missing"]) == (1, 0), name
    folder = here / "nulltext-bench" / study[0]
    rows = parquet.read_table(folder / "rows.parquet").to_pylist()
    assert [row["method"] for row in rows] == methods
    shown = run("bench", *study, *QUICK)  # goes on where it was: nothing is left to do
    assert shown.exit_code == 0, shown.output
    assert parquet.read_table(folder / "rows.parquet").to_pylist() == rows
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for method in methods:
        assert method in text
        assert method.split()[0] in page
    assert " ".join(("nulltext bench", study[0], "--limit 1")) in text


def test_the_ablation_by_budget(run_json, here: Path):
    record = run_json("bench", "ablation", *QUICK, "--budget", 1, "--budget", 2)
    table = record["tables"]["overall"]
    names = ("null-text", "null-text, random prompt", "global null-text", "null-text, random pivot")
    names += ("null-text, no pivot", "textual inversion", "textual inversion, pivot")
    assert list(table) == ["DDIM inversion", *(f"{name}, {n} iterations" for n in (2, 4) for name in names)]
    for name in names:
        assert table[f"{name}, 4 iterations"]["invert_backwards"]["mean"] == 4, name  # a budget is a budget
    assert math.isfinite(table["DDIM inversion"]["psnr_source"]["mean"])
    assert (here / "nulltext-bench" / "ablation" / "ablation.svg").read_text().count("<svg") == 1


def test_pie_bench(run_json):
    small = Path(__file__).parents[1] / "bench" / "pie"
    record = run_json("bench", "pie", "--data", small, "--limit", 2, "--steps", 2, "--inner-steps", 1, "--lenient")
    table = record["tables"]["overall"]
    assert list(table) == ["DDIM inversion + P2P", "direct inversion + P2P", "null-text + P2P"]
    assert table["null-text + P2P"]["psnr"]["count"] + table["null-text + P2P"]["psnr"]["missing"] == 2
    assert table["null-text + P2P"]["structure_distance"]["mean"] is None  # no DINO on this machine: no number
    assert "structure_distance" in record["missing"]
    assert "masks of 2" in record["remarks"][0]
    for part in ("Clip(", "of the scenes model", "Lpips(squeeze"):
        assert part in record["asked"]
    for part in ("T 2", "N 1", "w 7.5", "limit 2", "lenient True"):
        assert part in record["options"]


def pie_set(folder: Path, **prompts: str) -> Path:
    """A copy of the small set with other prompts for its first entry."""
    shutil.copytree(Path(__file__).parents[1] / "bench" / "pie", folder)
    mapping = json.loads((folder / "mapping_file.json").read_text())
    next(iter(mapping.values())).update(prompts)
    (folder / "mapping_file.json").write_text(json.dumps(mapping))
    return folder


def test_pie_bench_needs_a_model_for_real_prompts_and_says_so_before_anything_is_read(run, here: Path):
    shutil.rmtree(pie_set(here / "real", original_prompt="a [rusty] bicycle") / "annotation_images")
    result = run("bench", "pie", "--data", "real", "--clip", "nowhere")
    assert result.exit_code == 2
    assert "give --model CompVis/stable-diffusion-v1-4" in " ".join(result.output.split())
    assert "a rusty bicycle" in result.output
    assert not (here / "nulltext-bench").exists()


def test_an_entry_of_pie_bench_with_a_prompt_too_long_is_told_before_anything_is_inverted(run, here: Path):
    pie_set(here / "set", original_prompt="a photo of a red ball on grass " * 20, blended_word="")
    result = run("bench", "pie", "--data", "set", "--limit", 1)
    assert result.exit_code == 2
    (reason,) = {row["reason"] for row in parquet.read_table("nulltext-bench/pie/rows.parquet").to_pylist()}
    assert "mapping_file.json, entry '000000000000': the prompt has" in reason
    assert "do not fit" in reason


def test_images_of_ones_own(run_json, here: Path, image):
    (here / "mine").mkdir()
    image.save(here / "mine" / "cat.png")
    prompts = "file,source,target\ncat.png,a photo of a red ball on grass,a photo of a blue ball on grass\n"
    (here / "mine" / "captions.csv").write_text(prompts)
    record = run_json("bench", "seeds", "--data", "mine", "--steps", 2, "--inner-steps", 1)
    assert record["images"] == 1
    assert record["tables"]["overall"]["null-text"]["psnr_truth"]["missing"] == 1


OVER_DATA = ["seeds", "guidance", "compare", "ablation", "methods", "edits", "settings", "frontier", "reconstruction"]
BAD_ROWS = (
    ("cat.png,a photo of a red zebra on grass,a photo of a blue ball on grass", "zebra"),
    ("cat.png,a photo of a red ball on grass," + "a red ball " * 40, "do not fit"),
    ("gone.png,a photo of a red ball on grass,a photo of a blue ball on grass", "there is no file 'gone.png'"),
    ("text.png,a photo of a red ball on grass,a photo of a blue ball on grass", "text.png is not an image"),
)


def bad_folder(here: Path, image, *good: str) -> Path:
    (here / "mine").mkdir()
    image.save(here / "mine" / "cat.png")
    (here / "mine" / "text.png").write_text("no image")
    rows = [row for row, _ in BAD_ROWS] + list(good)
    named = [f"{row},row{number}" for number, row in enumerate(rows)]
    (here / "mine" / "captions.csv").write_text("\n".join(["file,source,target,name", *named]))
    return here / "mine" / "captions.csv"


@pytest.mark.parametrize("study", OVER_DATA)
def test_where_nothing_can_be_measured_the_reasons_are_there(run, here: Path, image, study):
    file = bad_folder(here, image)
    result = run("bench", study, "--data", "mine")
    assert result.exit_code == 2
    assert "none of the 4 entries could be measured" in " ".join(result.output.split())
    rows = parquet.read_table(here / "nulltext-bench" / study / "rows.parquet").to_pylist()
    for number, (_, expected) in enumerate(BAD_ROWS):
        reasons = {row["reason"] for row in rows if f"{file.name}, line {number + 2}" in row["where"]}
        assert len(reasons) == 1
        assert f"{file.name}, line {number + 2}" in (reason := reasons.pop())
        assert expected in reason


def test_bad_rows_are_rows_and_the_good_ones_are_measured(run, here: Path, image):
    bad_folder(here, image, "cat.png,a photo of a red ball on grass,a photo of a blue ball on grass")
    result = run("bench", "guidance", "--data", "mine", "--steps", 1)
    assert result.exit_code == SOME_FAILED
    assert "4 of 5 edits could not be measured" in result.stderr
    for number in range(2, 6):
        assert f"captions.csv, line {number}" in result.stderr
    assert "1 images, 1 edits" in (here / "nulltext-bench" / "guidance" / "report.md").read_text()


COMMANDS: dict[str, list[str]] = {
    "seeds": ["--data", "my images/a 'b' $c", "--limit", "3", "--guidance", "2.5", "--clip", "a clip"],
    "guidance": ["--workers", "2", "--output", "-x; y", "--model", "a model", "--device", "cpu"],
    "methods": ["--dtype", "bfloat16", "--config", "c*nfig", "--json"],
    "compare": ["--iterations", "7", "--inner-steps", "3", "--debug"],
    "ablation": ["--budget", "2", "--budget", "3", "--at-once", "4"],
    "frontier": ["--method", "direct+prompt-swap", "--method", "ddim+prompt-to-prompt:blend=words", "--guidance", "2"],
    "pie": ["--data", "PIE Bench", "--lenient", "--dino", "d i n o", "--steps", "9"],
}


@pytest.mark.parametrize(("study", "given"), [*COMMANDS.items(), ("pie", ["--data", "x"]), ("ablation", [])])
def test_the_command_in_a_report_is_the_command_that_was_run(study, given):
    whole: Any = typer.main.get_command(app)
    bench = whole.commands["bench"]

    def context(arguments: list[str]) -> typer.Context:
        parents = bench.context_class(bench, info_name="bench", parent=bench.context_class(bench, info_name="nulltext"))
        return bench.commands[study].make_context(study, arguments, parent=parents)

    first = context(list(given))
    words = shlex.split(spelled(first))
    assert words[:3] == ["nulltext", "bench", study]
    assert context(words[3:]).params == first.params
    for parameter in first.command.params:  # also what was left to its default stands there
        if parameter.default is not None and not isinstance(parameter.default, bool) and parameter.name != "help":
            assert max(parameter.opts, key=len) in words


@pytest.mark.parametrize("study", OVER_DATA)
def test_a_folder_without_prompts(run, here: Path, study):
    (here / "empty").mkdir()
    result = run("bench", study, "--data", "empty")
    assert result.exit_code == 2
    assert "empty" in result.output
    assert "Traceback" not in result.output


def test_a_method_that_there_is_none_of_is_told_before_anything_is_read(run, here: Path):
    result = run("bench", "frontier", "--method", "direct+prompt-swop", "--data", "nowhere", "--model", "nowhere")
    assert result.exit_code == 2
    assert "got the editor 'prompt-swop'; expected prompt-to-prompt," in " ".join(result.output.split())
    assert list(here.iterdir()) == []


def test_methods_of_inversion(run_json, here: Path):
    record = run_json("bench", "methods", "--limit", 1, "--steps", 1, "--inner-steps", 1, "--guidance", 3)
    assert (record["images"], record["edits"]) == (1, 5)
    table = record["tables"]["overall"]
    assert {"null-text", "direct inversion", "prompt's embedding"} <= table.keys()
    assert table["null-text, N=1"]["evaluations"] == table["null-text"]["evaluations"]
    assert table["prompt's embedding"]["evaluations"]["mean"] < table["null-text"]["evaluations"]["mean"]
    assert all(math.isfinite(figures["psnr_truth"]["mean"]) for figures in table.values())
    assert "w=1" in record["remarks"][0]
    assert "<svg" in (here / "nulltext-bench" / "methods" / "report.html").read_text()


def test_speed(run, run_json, here: Path, measured_once):
    measured_once("nulltext.bench.speed.speed", "measure_speed")
    quick = ("--rounds", 1, "--batch", 2, "--steps", 2, "--inner-steps", 1, "--no-grow")
    record = run_json("bench", "speed", *quick)
    for name in ("parity_ratio", "batch2_ratio", "fast_ratio", "fast_batch2_ratio", "floor_share"):
        assert record[name] > 0, name
    assert abs(record["parity_psnr_delta_db"]) < 0.05
    shown = run("bench", "speed", *quick)
    assert shown.exit_code == 0, shown.output
    assert "times faster" in shown.output
    assert "of that rate is reached" in shown.output
