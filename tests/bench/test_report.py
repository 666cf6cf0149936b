import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from nulltext.bench.kept import write_sample
from nulltext.bench.report import Report
from nulltext.bench.table import Metric

COLUMNS = (Metric(name="psnr", label="PSNR", unit="dB"), Metric(name="lpips", label="LPIPS", digits=3, better="lower"))
ABOUT = {
    "status": "measured",
    "reason": "",
    "key": "0",
    "instruments": "Clip(0) of a folder",
    "model": "scenes",
    "revision": "r",
    "dtype": "torch.float32",
    "device": "cpu",
    "nulltext": "1",
    "torch": "2",
}
ROWS = [
    {
        **ABOUT,
        "diffusers": "3",
        "transformers": "4",
        "case": case,
        "kind": "",
        "method": method,
        "source": "a <b> cat",
        "target": "a dog",
        "sha256": case,
        "psnr": psnr,
        "lpips": None,
        "missing": '{"lpips": "no weights."}',
    }
    for case, method, psnr in (("one", "ours", 20.0), ("two", "ours", 24.0), ("one", "<theirs>", 10.0))
]


@pytest.fixture
def report() -> Report:
    return Report(
        title="Ours & theirs",
        command="nulltext bench ours",
        columns=COLUMNS,
        rows=ROWS,
        plots={"curve": "<svg><g/></svg>"},
        remarks=("One mask is whole.",),
        options="T 50, N 10",
    )


def test_markdown(report):
    text = report.markdown()
    assert "| ours | 22.00 ± 2.00 [20.00, 24.00] | missing |" in text
    assert "PSNR, dB ↑ | LPIPS ↓" in text
    assert "- lpips is missing: no weights." in text
    assert "- One mask is whole." in text
    assert "| n | 1 to 2 | 0 |" in text
    assert "- run with: T 50, N 10" in text
    assert "- asked: Clip(0) of a folder" in text
    assert "2 images, 2 edits; scenes (r) in torch.float32 on cpu; nulltext 1, torch 2" in text


def test_the_same_numbers_as_json(report):
    record = report.record()
    ours = record["tables"]["overall"]["ours"]["psnr"]
    assert (ours["mean"], ours["std"], ours["count"]) == (22.0, 2.0, 2)
    assert (record["images"], record["edits"]) == (2, 2)
    assert (record["command"], record["options"]) == ("nulltext bench ours", "T 50, N 10")
    assert (record["asked"], record["failed"]) == ("Clip(0) of a folder", {})
    assert record["missing"] == {"lpips": ["no weights."]}


def test_html_stands_alone_and_escapes_what_is_the_users(report, tmp_path):
    (tmp_path / "images").mkdir()
    for name, stamp in (("source", "one r"), ("ours", "0"), ("<theirs>", "0")):
        write_sample(tmp_path / "images" / f"one.{name}.png", Image.new("RGB", (8, 8)), stamp)
    page = report.html(tmp_path)
    assert "a &lt;b&gt; cat" in page
    assert "&lt;theirs&gt;" in page
    assert "<theirs>" not in page
    assert page.count("data:image/jpeg;base64,") == 3
    write_sample(tmp_path / "images" / "one.ours.png", Image.new("RGB", (8, 8)), "of another row")
    assert "data:image" not in report.html(tmp_path)
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            links.extend(value for key, value in attrs if key in {"src", "href"} and value and value[0] != "#")

    Links().feed(page)
    assert all(link.startswith("data:") for link in links)
    assert re.search(r'data-value="22\.0"', page)


def test_what_it_writes(report, tmp_path):
    report.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.svg", "report.html", "report.md"]
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")
    report.write(tmp_path)
    assert (tmp_path / "report.md").read_text() == report.markdown()


def test_plots_are_the_same_every_time(report, tmp_path):
    assert report.html(tmp_path) == report.html(tmp_path)


def test_what_failed_is_told_and_not_counted(report, tmp_path):
    bad = {**ROWS[1], "status": "failed", "reason": "captions.csv, line 3: no <file>.", "psnr": None, "missing": "{}"}
    report = replace(report, rows=[ROWS[0], bad, ROWS[2]])
    assert report.failures() == {"two": "captions.csv, line 3: no <file>."}
    text, page = report.markdown(), report.html(tmp_path)
    assert "| ours | 20.00 ± 0.00 | missing |" in text
    assert "1 images, 1 edits" in text
    assert "- 1 of 2 edits could not be measured by every method (1 rows failed)" in text
    assert "- two: captions.csv, line 3: no <file>." in text
    assert "1 of 2 edits could not be measured" in page
    assert "two: captions.csv, line 3: no &lt;file&gt;." in page
    assert report.record()["failed"] == report.failures()
