"""Nothing of the user's is overwritten, no image takes another's place, and what is done is done for good."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from nulltext import Blend
from nulltext.batch import run
from nulltext.batch.arrow import arrow, parquet
from nulltext.batch.folder import taken
from nulltext.batch.manifest import read_manifest
from nulltext.batch.plan import Plan
from nulltext.batch.results import Results
from nulltext.batch.storage import Storage
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import ManifestError, OutputError, SettingError

PROMPT, EDIT, OTHER = "a red ball", "a blue ball", "a green ball"


def row(image, **more):
    return {"image": str(image), "prompt": PROMPT, "edit": EDIT, **more}


def status(records):
    return [(record["id"], record["status"]) for record in records]


@pytest.mark.parametrize("place", ["images/a.png", "results/mine.parquet", "inversions/a.safetensors", "report.html"])
def test_a_folder_with_files_of_ones_own_is_refused(place, plan, model, photos, tmp_path):
    (photo,), mine = photos(1), tmp_path / "out" / place
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"which no batch made.*another"):
        list(run([row(photo)], tmp_path / "out", plan=plan, model=model))
    assert mine.read_bytes() == b"mine"


def test_results_beside_a_manifest_leave_its_photographs_alone(plan, model, photos, tmp_path):
    (photo,) = photos(1)
    (done,) = run([row(photo)], tmp_path, plan=plan, model=model)  # photos/ lies there, and is not written to
    own = tmp_path / "images" / f"{photo.stem}.png"
    before = own.read_bytes()
    (again,) = run([row(own)], tmp_path, plan=plan, model=model)
    assert (done["status"], again["status"]) == ("done", "failed")
    assert "lies where results are written" in again["reason"]
    assert own.read_bytes() == before


def test_a_folder_inside_its_own_results_does_not_grow(plan, model, photos, tmp_path):
    folder = photos(2)[0].parent
    for made in (2, 0):
        rows = read_manifest(str(folder), prompt=PROMPT, edits=[EDIT], out=str(folder / "out"))
        assert len(list(run(rows, folder / "out", plan=plan, model=model))) == made


ALIKE = [
    [{"id": "a", "edit": [EDIT, OTHER]}, {"id": "a-1"}],
    [{"id": "x/y"}, {"id": "x//y"}],
    [{"id": "x/y"}, {"id": "x\\y"}],
    [{"id": "Cat"}, {"id": "cat"}],
    [{"id": "caf\u00e9"}, {"id": "cafe\u0301"}],
]


@pytest.mark.parametrize("rows", ALIKE, ids=str)
@pytest.mark.parametrize("shard", [None, 2])
def test_no_image_takes_anothers_place(rows, shard, plan, model, photos, tmp_path):
    (photo,) = photos(1)
    shards = [(1, 1)] if shard is None else [(at, shard) for at in range(1, shard + 1)]
    given = [row(photo, **each) for each in rows]
    records = [record for each in shards for record in run(given, tmp_path / "out", plan=plan, model=model, shard=each)]
    failed = [record for record in records if record["status"] == "failed"]
    assert [record["row"] for record in failed] == [2]
    assert "is that of row 1" in failed[0]["reason"]


def test_a_pattern_without_an_id_is_good_for_one_row(plan, model, photos, tmp_path):
    records = list(run(map(row, photos(2)), tmp_path / "out", plan=replace(plan, name="fixed"), model=model))
    assert sorted(record["status"] for record in records) == ["done", "failed"]


def test_of_an_edit_the_last_one_counts(plan, model, photos, tmp_path):
    """Made anew by shards, whose records are in other files, the first is no longer what the folder holds."""
    (photo,), out = photos(1), tmp_path / "out"
    image = out / "images" / f"{photo.stem}.png"
    list(run([row(photo)], out, plan=plan, model=model))
    first = image.read_bytes()
    for at in (1, 2):
        list(run([row(photo, edit=OTHER)], out, plan=plan, model=model, shard=(at, 2)))
    assert image.read_bytes() != first
    assert len(list(run([row(photo)], out, plan=plan, model=model))) == 1
    assert image.read_bytes() == first


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"x")])
def test_an_image_that_is_lost_is_made_again(lose, plan, model, photos, tmp_path):
    out, rows = tmp_path / "out", list(map(row, photos(2)))
    lost, _ = sorted(record["output"] for record in run(rows, out, plan=plan, model=model))
    lose(out / lost)
    (again,) = run(rows, out, plan=plan, model=model)
    assert again["output"] == lost
    Image.open(out / lost).load()


@pytest.mark.parametrize("kept", ["path", "image"])
def test_a_mask_of_the_plan_is_part_of_the_key(kept, plan, photos, tmp_path):
    path = tmp_path / "mask.png"
    (one,) = read_manifest(str(photos(1)[0].parent), prompt=PROMPT, edits=[EDIT])

    def key(colour):
        Image.new("L", (64, 64), colour).save(path)
        mask = path if kept == "path" else Image.open(path)
        whole = replace(plan, editor=PromptToPrompt(blend=Blend(mask=mask)))
        return whole.keys(one, "model")

    first = key(255)
    assert key(0) != first
    if kept == "image":
        assert key(255) == first


DAMAGE = {
    "empty": lambda data: data[:0],
    "cut short": lambda data: data[: len(data) // 2],
    "flipped": lambda data: bytes(byte ^ 255 for byte in data),
    "other columns": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_named(damage, plan, model, photos, tmp_path):
    out = tmp_path / "out"
    list(run(map(row, photos(1)), out, plan=plan, model=model))
    (file,) = (out / "results").glob("*.parquet")
    change = DAMAGE[damage]
    if change is None:
        parquet.write_table(arrow.table({"a": [1]}), file)
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(OutputError, match=rf"cannot read results/{file.name} .*move it away"):
        list(run(map(row, photos(1)), out, plan=plan, model=model))
    shutil.move(file, tmp_path / "away.parquet")
    assert status(run(map(row, photos(1)), out, plan=plan, model=model)) == [("photo-000", "done")]


@pytest.mark.parametrize(
    ("one", "other"), [((1, 1), (1, 1)), ((1, 1), (1, 2)), ((1, 2), (1, 1)), ((2, 2), (2, 3)), ((1, 2), (1, 2))]
)
def test_runs_that_could_do_the_same_rows_exclude_each_other(one, other, tmp_path):
    storage = Storage(str(tmp_path))
    with taken(storage, *one), pytest.raises(OutputError, match="another run is at work"), taken(storage, *other):
        pass
    with taken(storage, *other):
        pass


def test_shards_of_one_splitting_do_not(tmp_path):
    storage = Storage(str(tmp_path))
    with taken(storage, 1, 2), taken(storage, 2, 2):
        assert not list(Results(storage).records())


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="which is a file"), taken(Storage(str(tmp_path / "out")), 1, 1):
        pass


@pytest.mark.parametrize(
    "pattern", ["{id:9999999999}", "{number:999999}", "{id!r}", "{id.x}", "{0}", "{", "{nothing}", " "]
)
def test_patterns_that_make_no_sense_are_refused(pattern):
    with pytest.raises(SettingError, match="name pattern"):
        Plan(name=pattern)


MANIFESTS = {
    "two columns": ("a.csv", b"image,prompt,edit,edit\na.png,P,Q,R\n", "two columns 'edit'"),
    "utf-16": ("a.csv", "image,prompt,edit\na.png,P,Q\n".encode("utf-16"), "no UTF-8.*Save it as UTF-8"),
    "latin": ("a.csv", "image,prompt,edit\na.png,caf\u00e9,Q\n".encode("latin-1"), "no UTF-8"),
    "open quote": ("a.csv", b'image,prompt,edit\na.png,"P,Q\n', "is no CSV: unexpected end"),
    "no rows": ("a.csv", b"image,prompt,edit\n", "has no rows"),
    "nothing": ("a.jsonl", b"", "has no rows"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifests_that_make_no_sense_are_refused(case, tmp_path):
    name, data, said = MANIFESTS[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ManifestError, match=said):
        list(read_manifest(str(tmp_path / name)))


LINES = {
    "twice": ('{"image": "a.png", "image": "b.png", "prompt": "P", "edit": "Q"}', "it has 'image' twice"),
    "an id of another kind": (
        '{"image": "a.png", "id": {"a": 1}, "prompt": "P", "edit": "Q"}',
        "its id is dict; expected text",
    ),
    "bytes": ('{"image": {"bytes": "AAAA"}, "prompt": "P", "edit": "Q"}', "its image is dict; expected a path"),
    "null": ('{"image": "a\\u0000.png", "prompt": "P", "edit": "Q"}', "has a null character"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_line_that_makes_no_sense_is_a_fault_of_its_row(case, tmp_path):
    line, said = LINES[case]
    (tmp_path / "a.jsonl").write_text(line)
    (one,) = read_manifest(str(tmp_path / "a.jsonl"))
    assert said in one.fault
    with pytest.raises(ManifestError, match="row 1: "):
        Plan().job(one)


def test_whole_numbers_may_be_written_as_a_table_writes_them(plan, photos):
    (one,) = read_manifest(str(photos(1)[0].parent), prompt=PROMPT, edits=[EDIT])
    assert plan.job(replace(one, settings={"steps": "3.0"})).inverter.steps == 3
    with pytest.raises(SettingError):
        plan.job(replace(one, settings={"steps": "3.5"}))
