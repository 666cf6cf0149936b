"""The studies behind the paper's claims, on a picture or two in a few steps."""

import math
from pathlib import Path

import pytest
from pyarrow import parquet

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
    assert (record["pictures"], record["edits"]) == (1, 1)
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
    names = ("null-text", "null-text, random caption", "global null-text", "null-text, random pivot")
    names += ("null-text, no pivot", "textual inversion", "textual inversion, pivot")
    assert list(table) == ["DDIM inversion", *(f"{name}, {n} iterations" for n in (2, 4) for name in names)]
    for name in names:
        assert table[f"{name}, 4 iterations"]["invert_backwards"]["mean"] == 4, name  # a budget is a budget
    assert math.isfinite(table["DDIM inversion"]["psnr"]["mean"])
    assert (here / "nulltext-bench" / "ablation" / "ablation.svg").read_text().count("<svg") == 1


def test_pie_bench(run_json):
    small = Path(__file__).parents[1] / "bench" / "pie"
    record = run_json("bench", "pie", "--data", small, "--limit", 2, "--steps", 2, "--inner-steps", 1, "--lenient")
    table = record["tables"]["overall"]
    assert list(table) == ["DDIM inversion + P2P", "null-text + P2P"]
    assert table["null-text + P2P"]["psnr"]["count"] + table["null-text + P2P"]["psnr"]["missing"] == 2
    assert table["null-text + P2P"]["structure_distance"]["mean"] is None  # no DINO on this machine: no number
    assert "structure_distance" in record["missing"]
    assert "masks of 2" in record["remarks"][0]


def test_pictures_of_ones_own(run_json, here: Path, picture):
    (here / "mine").mkdir()
    picture.save(here / "mine" / "cat.png")
    captions = "file,source,target\ncat.png,a photo of a red ball on grass,a photo of a blue ball on grass\n"
    (here / "mine" / "captions.csv").write_text(captions)
    record = run_json("bench", "seeds", "--data", "mine", "--steps", 2, "--inner-steps", 1)
    assert record["pictures"] == 1
    assert record["tables"]["overall"]["null-text"]["psnr_truth"]["missing"] == 1


@pytest.mark.parametrize("study", ["seeds", "guidance", "compare", "ablation"])
def test_a_folder_without_captions(run, here: Path, study):
    (here / "empty").mkdir()
    result = run("bench", study, "--data", "empty")
    assert result.exit_code == 2
    assert "empty" in result.output
    assert "Traceback" not in result.output


def test_methods_of_inversion(run_json, here: Path):
    record = run_json("bench", "methods", *QUICK, "--inner-steps", 1, "--guidance", 3)
    assert (record["pictures"], record["edits"]) == (1, 5)
    table = record["tables"]["overall"]
    assert {"null-text", "direct inversion", "caption's embedding"} <= table.keys()
    assert table["null-text, N=1"]["evaluations"] == table["null-text"]["evaluations"]
    assert table["caption's embedding"]["evaluations"]["mean"] < table["null-text"]["evaluations"]["mean"]
    assert all(math.isfinite(figures["psnr_truth"]["mean"]) for figures in table.values())
    assert "w=1" in record["remarks"][0]
    assert "<svg" in (here / "nulltext-bench" / "methods" / "report.html").read_text()


def test_speed(run, run_json, here: Path):
    quick = ("--rounds", 1, "--batch", 2, "--steps", 2, "--inner-steps", 1, "--no-grow")
    record = run_json("bench", "speed", *quick)
    for name in ("parity_ratio", "batch2_ratio", "fast_ratio", "fast_batch2_ratio", "floor_share"):
        assert record[name] > 0, name
    assert abs(record["parity_psnr_delta_db"]) < 0.05
    shown = run("bench", "speed", *quick)
    assert shown.exit_code == 0, shown.output
    assert "times faster" in shown.output
    assert "of that rate is reached" in shown.output
