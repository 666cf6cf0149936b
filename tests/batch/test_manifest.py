"""Manifests: every kind is read to the same rows, and what is wrong in one is told of its row."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from nulltext.batch.manifest import columns, read_manifest
from nulltext.errors import ManifestError

ROWS = [
    {"image": "a.png", "prompt": "a cat", "edit": ["a dog", "a tiger"], "steps": "12", "id": "first"},
    {"image": "b/c.png", "prompt": "un café", "edit": ["un thé"], "steps": None, "id": None},
]


def _write(folder: Path, kind: str) -> str:
    path = folder / f"rows.{kind}"
    match kind:
        case "csv" | "tsv":
            by, lines = ("," if kind == "csv" else "\t"), [["image", "prompt", "edit", "steps", "id"]]
            lines += [
                [row["image"], row["prompt"], json.dumps(row["edit"]), row["steps"] or "", row["id"] or ""]
                for row in ROWS
            ]
            quoted = [by.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines]
            path.write_text("\ufeff" + "\r\n".join(quoted), encoding="utf-8")
        case "jsonl" | "ndjson":
            path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
        case _:
            parquet.write_table(pa.Table.from_pylist(ROWS), path)
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_every_kind_is_read_to_the_same_rows(kind, tmp_path):
    first, second = read_manifest(_write(tmp_path, kind))
    assert (first.id, first.image, first.prompt) == ("first", str(tmp_path / "a.png"), "a cat")
    assert first.edits == ("a dog", "a tiger")
    assert first.settings == {"steps": "12"}
    assert (second.id, second.prompt, second.edits, second.settings) == ("c", "un café", ("un thé",), {})
    assert columns(str(tmp_path / f"rows.{kind}"))[:3] == ["image", "prompt", "edit"]


def test_a_folder_is_a_row_for_each_photograph(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    captions = tmp_path / "captions.jsonl"
    captions.write_text('{"file_name": "deep/a.png", "text": "a cup", "edit": "a mug"}')
    rows = list(read_manifest(str(tmp_path), prompt="a thing", edits=["another"], captions=str(captions)))
    assert [(row.id, row.prompt, row.edits) for row in rows] == [
        ("a", "a thing", ("another",)),
        ("b", "a thing", ("another",)),
        ("deep/a", "a cup", ("a mug",)),
    ]


def test_no_two_rows_have_one_id(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"image": f"{at}/same.png"}) for at in range(3)))
    assert [row.id for row in read_manifest(str(path))] == ["same", "same-2", "same-3"]
    path.write_text("\n".join(json.dumps({"image": name}) for name in ("Ball.png", "ball.jpg", "é.png", "e\u0301.png")))
    assert [row.id for row in read_manifest(str(path))] == ["Ball", "ball-2", "é", "e\u0301-2"]


def test_an_id_that_is_given_twice_is_a_fault_of_the_later_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"image": "a.png", "id": called}) for called in ("x", "y", "x")))
    first, second, third = read_manifest(str(path))
    assert (first.fault, second.fault) == ("", "")
    assert "its id 'x' is that of row 1" in third.fault
    assert third.id == "x-2"


def test_photographs_are_not_where_results_are(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    for out in (tmp_path, tmp_path.parent):
        with pytest.raises(ManifestError, match="lie where results are written"):
            next(read_manifest(str(tmp_path), out=str(out)))


def test_a_file_of_another_kind_is_no_missing_one(tmp_path):
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(ManifestError, match="got the file"):
        next(read_manifest(str(tmp_path / "rows.json")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"image": "a.png", "edit": 7}', "expected a prompt"),
        ('{"image": "a.png", "edit": "[1"}', "begin as a JSON list"),
        ('{"image": "a.png", "edit": [1]}', "expected a prompt"),
    ],
)
def test_a_line_that_is_no_row_is_a_row_with_a_fault(text, said, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"image": "fine.png"}}\n{text}\n')
    fine, wrong = read_manifest(str(path))
    assert fine.fault == ""
    assert said in wrong.fault


def test_cells_too_many_are_a_fault(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("image,prompt,edit\na.png,a cat, with a comma,a dog\n")
    (row,) = read_manifest(str(path))
    assert "too many" in row.fault


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", None),
        ("rows.parquet", b"no parquet"),
        ("rows.csv", b"image,prompt\n\xff\xfe\xfa,x\n"),
        ("nothing", None),
        ("rows.xlsx", b"PK"),
    ],
)
def test_what_cannot_be_read_is_said(name, content, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError):
        list(read_manifest(str(tmp_path / name)))


def test_a_folder_without_photographs_is_said(tmp_path):
    with pytest.raises(ManifestError, match="no photographs"):
        list(read_manifest(str(tmp_path)))
