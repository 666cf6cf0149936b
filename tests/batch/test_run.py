"""A batch on one machine: what is wrong with a row stops no other, and what is done is not done again."""

import io
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from nulltext.batch import run
from nulltext.batch.records import COLUMNS
from nulltext.batch.results import Results
from nulltext.batch.run import Machines
from nulltext.batch.storage import Storage
from nulltext.batch.worker import Worker, WorkerBrokenError
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import OutputError, SettingError
from nulltext.images import open_image

PROMPT, EDIT = "a red ball", "a blue ball"


def row(image: object, **more: Any) -> dict[str, Any]:
    """A row of a manifest."""
    return {"image": str(image), "prompt": PROMPT, "edit": EDIT, **more}


def _table(out: Path) -> dict[tuple[str, int], dict]:
    return {(record["id"], record["edit"]): record for record in Results(Storage(str(out))).records()}


def _bad(photos: list[Path], tmp_path: Path) -> list[dict]:
    """Rows of which nothing can be made, each for another reason."""
    cut, text, mask = tmp_path / "cut.png", tmp_path / "text.png", tmp_path / "mask.png"
    noise = np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    text.write_text("no image")
    Image.new("L", (7, 99), 255).save(mask)
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    fine = photos[0]
    return [
        row("missing.png"),
        row(cut),
        row(text),
        row(bomb),
        row(fine, prompt=""),
        row(fine, edit=" "),
        row(fine, prompt="word " * 99),
        row(fine, mask=str(mask)),
        row(fine, mask="nowhere.png"),
        row(fine, size="huge"),
        row(fine, size="99999x99999"),
        row(fine, id="../outside"),
        row(fine, steps="0"),
        *(row(fine) | {column: "a \ud800 ball"} for column in ("prompt", "edit", "id", "mask", "image", "steps")),
        row(fine, steps="99999"),
        row(fine, method="magic"),
        row(fine, blend="elephant:cat"),
        row(tmp_path),
    ]


def test_bad_rows_are_told_and_stop_no_other(plan, model, photos, tmp_path):
    paths = photos(6)
    rows = [row(path) for path in paths]
    for at, bad in enumerate(_bad(paths, tmp_path)):
        rows.insert(at, bad | {"id": bad.get("id", f"bad-{at}")})
    records = list(run(rows, tmp_path / "out", plan=plan, model=model))
    table = _table(tmp_path / "out")
    assert len(records) == len(table) == len(rows)
    failed = [record for record in table.values() if record["status"] == "failed"]
    assert len(failed) == len(rows) - 6
    for record in failed:
        assert record["reason"], record
        assert not record["trace"], record  # each was foreseen
        assert record["output"] is None
    for path in paths:
        record = table[path.stem, 1]
        assert record["status"] == "done"
        with Image.open(tmp_path / "out" / record["output"]) as image:
            assert image.size == (40, 48)
    assert not (tmp_path / "outside.png").exists()


def test_edits_are_those_of_single_runs(plan, model, photos, tmp_path):
    paths = photos(5)
    rows = [
        row(path, edit=["a blue ball", "a red cat"], size="64x96" if at % 2 else "") for at, path in enumerate(paths)
    ]
    list(run(rows, tmp_path / "out", plan=plan, model=model))
    for at, path in enumerate(paths):
        image = open_image(path, model, size=(64, 96) if at % 2 else None)
        inversion = plan.inverter(model, image, PROMPT)
        for n, prompt in enumerate(("a blue ball", "a red cat"), start=1):
            wanted = np.asarray(plan.editor(model, inversion, prompt).image, int)
            with Image.open(tmp_path / "out" / "images" / f"{path.stem}-{n}.png") as got:
                assert np.abs(np.asarray(got, int) - wanted).max() <= 1


def test_what_is_done_is_not_done_again(plan, model, photos, tmp_path, manifest):
    paths, out = photos(4), tmp_path / "out"
    rows = [row(path) for path in paths]
    assert len(list(run(manifest(rows), out, plan=plan, model=model))) == 4
    before = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert list(run(manifest(rows), out, plan=plan, model=model)) == []
    rows[2]["edit"] = "a green ball"
    (changed,) = run(manifest(rows), out, plan=plan, model=model)
    assert changed["edit_prompt"] == "a green ball"
    after = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert {path.stem for path in after if after[path] != before[path]} == {paths[2].stem}
    assert len(_table(out)) == 4
    assert _table(out)[paths[2].stem, 1]["edit_prompt"] == "a green ball"
    assert len(list((out / "results").iterdir())) == 1


def test_of_a_row_only_the_edit_that_changed_is_made_again(plan, model, photos, tmp_path):
    (path,), out = photos(1), tmp_path / "out"
    edits = ["a blue ball", "a red cat", "a dog"]
    assert len(list(run([row(path, edit=edits)], out, plan=plan, model=model))) == 3
    before = {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in (out / "images").iterdir()}
    edits[1] = "a blue cat"
    tallies: list[Any] = []
    (again,) = run([row(path, edit=edits)], out, plan=plan, model=model, on_tally=tallies.append)
    assert (again["edit"], again["edit_prompt"], again["output"]) == (2, "a blue cat", f"images/{path.stem}-2.png")
    assert (tallies[-1].total, tallies[-1].done, tallies[-1].skipped) == (1, 1, 2)
    after = {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in (out / "images").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {f"{path.stem}-2.png"}
    assert [_table(out)[path.stem, at]["edit_prompt"] for at in (1, 2, 3)] == edits
    list(run([row(path, edit=edits)], tmp_path / "whole", plan=plan, model=model))
    for name, (_, data) in after.items():
        one, other = (
            np.asarray(Image.open(where), int) for where in (io.BytesIO(data), tmp_path / "whole" / "images" / name)
        )
        assert np.abs(one - other).max() <= 1


def test_edits_that_build_on_each_other_are_made_again_from_the_one_that_changed(plan, model, photos, tmp_path):
    (path,), out, chain = photos(1), tmp_path / "out", replace(plan, editor=PromptToPrompt(chain=True))
    edits = ["a blue ball", "a blue cat", "a dog"]
    list(run([row(path, edit=edits)], out, plan=chain, model=model))
    edits[1] = "a red cat"
    again = list(run([row(path, edit=edits)], out, plan=chain, model=model))
    assert [record["edit"] for record in again] == [2, 3]
    assert all(record["status"] == "done" for record in again)


def test_failed_rows_are_tried_again_only_if_asked(plan, model, photos, tmp_path):
    (path,), out = photos(1), tmp_path / "out"
    rows = [row(path), row(tmp_path / "late.png")]
    list(run(rows, out, plan=plan, model=model))
    assert _table(out)["late", 1]["status"] == "failed"
    assert list(run(rows, out, plan=plan, model=model)) == []
    (again,) = run(rows, out, plan=plan, model=model, retry_failed=True)
    assert again["status"] == "failed"
    Image.new("RGB", (40, 48)).save(tmp_path / "late.png")  # which is another row to its key
    (now,) = run(rows, out, plan=plan, model=model)
    assert now["status"] == "done"
    assert _table(out)["late", 1]["status"] == "done"


def test_one_edit_that_fails_stops_no_other_of_its_row(plan, model, photos, tmp_path):
    (path,) = photos(1)
    records = list(run([row(path, edit=[EDIT, "word " * 99])], tmp_path / "out", plan=plan, model=model))
    assert [record["status"] for record in records] == ["done", "failed"]
    assert records[1]["error"] == "PromptTooLongError"


def test_the_table_says_all_there_is_to_know(plan, model, photos, tmp_path):
    (path,) = photos(1)
    list(run([row(path, steps="3", seed=None)], tmp_path / "out", plan=replace(plan, inversions=True), model=model))
    (record,) = _table(tmp_path / "out").values()
    assert set(record) == set(COLUMNS)
    assert (record["prompt"], record["edit_prompt"], record["row"], record["edit"]) == (PROMPT, EDIT, 1, 1)
    assert '"steps": 3' in record["settings"]
    assert record["psnr"] > 0
    assert record["autoencoder_psnr"] > 0
    assert record["seconds"] > 0
    assert record["evaluations"] >= 9
    assert (tmp_path / "out" / record["inversion"]).is_file()
    assert record["model"].startswith(model.identity.id)


def test_shards_share_a_folder_and_miss_no_row(plan, model, photos, tmp_path):
    rows = [row(path) for path in photos(7)]
    out = tmp_path / "out"
    counts = [len(list(run(rows, out, plan=plan, model=model, shard=(at, 3)))) for at in (1, 2, 3)]
    assert sum(counts) == 7
    assert len(_table(out)) == 7
    assert list(run(rows, out, plan=plan, model=model)) == []


def test_two_runs_in_one_folder_are_refused(plan, model, photos, tmp_path):
    rows = [row(path) for path in photos(3)]
    first = run(rows, tmp_path / "out", plan=plan, model=model)
    next(first)
    with pytest.raises(OutputError, match="another run"):
        next(run(rows, tmp_path / "out", plan=plan, model=model))
    assert len(list(first)) == 2


def test_a_run_that_is_left_early_keeps_what_is_done(plan, model, photos, tmp_path):
    rows = [row(path) for path in photos(6)]
    first = run(rows, tmp_path / "out", plan=replace(plan, at_once=1), model=model)
    seen = [next(first), next(first)]
    first.close()
    left = list(run(rows, tmp_path / "out", plan=plan, model=model))
    assert {record["id"] for record in [*seen, *left]} == {Path(each["image"]).stem for each in rows}
    assert len(left) <= 4


def test_a_lost_device_ends_the_run_and_not_each_row(plan, model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Worker, "open", lambda *_: RuntimeError("nobody foresaw this"))
    rows = [row(path, id=f"{at}") for at, path in enumerate(photos(2) * 10)]
    with pytest.raises(WorkerBrokenError):
        list(run(rows, tmp_path / "out", plan=plan, model=model))


@pytest.mark.parametrize("change", [{"shard": (0, 2)}, {"shard": (3, 2)}])
def test_settings_that_make_no_sense_are_refused(change, plan, model, tmp_path):
    with pytest.raises(SettingError):
        next(run([], tmp_path / "out", plan=plan, model=model, **change))


def test_an_engine_that_there_is_not_is_refused():
    with pytest.raises(SettingError, match="local or ray"):
        Machines(engine=cast("Any", "cloud"))


def _work(rows: list[dict], out: str, plan) -> None:
    list(run(rows, out, plan=plan, machines=Machines(devices=("cpu",))))


@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_killed_anywhere_it_loses_what_was_under_way(after, plan, photos, tmp_path):
    """A process of its own, killed when so many images are there; the next run does the rest and no image is torn."""
    rows, out = [row(path) for path in photos(12)], tmp_path / "out"
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(rows, str(out), replace(plan, at_once=1)))
    worker.start()
    deadline = time.monotonic() + 120
    while len(list(out.glob("images/*.png"))) < after and worker.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.kill()
    worker.join()
    for path in out.glob("images/*.png"):
        with Image.open(path) as image:
            image.load()
    list(run(rows, out, plan=plan))
    table = _table(out)
    assert len(table) == 12
    assert all(record["status"] == "done" for record in table.values())


@pytest.mark.slow
def test_devices_have_processes_and_one_that_dies_is_replaced(plan, photos, tmp_path):
    rows, out = [row(path, id=f"r{at}") for at, path in enumerate(photos(3) * 4)], tmp_path / "out"
    machines, killed = Machines(devices=("cpu", "cpu")), False
    for _ in run(rows, out, plan=replace(plan, at_once=1), machines=machines):
        if not killed:
            children = multiprocessing.active_children()
            children[0].kill()
            killed = True
    table = _table(out)
    assert len(table) == 12
    assert all(record["status"] == "done" for record in table.values())
