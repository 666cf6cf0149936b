"""What is removed while somebody reads it, or while a job goes on from it."""

import io
import zipfile
from pathlib import Path

import pytest
from tests.web.visitor import SOON, edit, made, start, wait

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.history import History, Node
from nulltext.web.limits import Limits
from nulltext.web.people import People

ME = "someone"
KINDS = ("image", "inversion", "edit")


@pytest.fixture
def history(tmp_path):
    return History(People(tmp_path, Limits()))


@pytest.fixture(scope="module")
def first(client, sample, sample_prompt):
    """The ids of an image, an inversion of it and an edit of that, by their kinds."""
    (inversion,) = made(client, start(client, sample, sample_prompt, steps=1))
    (edited,) = made(client, edit(client, inversion["id"], sample_prompt))
    return {"image": inversion["parent"], "inversion": inversion["id"], "edit": edited["id"]}


@pytest.fixture
def folder(workshop, first):
    """Where their files are."""
    (found,) = workshop.people.root.glob(f"people/*/{first['image']}.json")
    return found.parent


@pytest.fixture
def tree(client, first, folder):
    """Copies of them, which may be lost."""
    ids = {kind: History.new() for kind in KINDS}
    for kind in KINDS:
        for path in folder.glob(f"{first[kind]}.*"):
            data = path.read_bytes()
            if path.suffix == ".json":
                for each in KINDS:
                    data = data.replace(first[each].encode(), ids[each].encode())
            (folder / f"{ids[kind]}{path.suffix}").write_bytes(data)
    return {kind: client.get(f"/v1/history/{ids[kind]}").json() for kind in KINDS}


def goes_on(client, tree, kind, prompt):
    """The answer to a job that goes on from one of the tree."""
    if kind == "image":
        return client.post("/v1/inversions", json={"image": tree[kind]["id"], "prompt": prompt, "steps": 2})
    return edit(client, tree[kind]["id"], prompt)


def stems(folder):
    return {path.name.partition(".")[0] for path in folder.iterdir()}


def orphans(client, folder):
    """What of a person's has no parent any more, or no record."""
    nodes = {node["id"]: node["parent"] for node in client.get("/v1/history").json()}
    return [number for number, parent in nodes.items() if parent not in {None, *nodes}] + sorted(
        stems(folder) - {*nodes}
    )


@pytest.mark.parametrize("where", ["files", "archive"])
@pytest.mark.parametrize("when", ["before it is opened", "once it is open"])
def test_a_file_that_is_removed_while_it_is_read(client, tree, monkeypatch, where, when):
    found, opened, gone = People.path, People.open, list[Path]()

    def losing(self, person, number):
        path = found(self, person, number)
        if when == "before it is opened" and path.suffix == ".png":
            path.unlink()
        return path

    def holding(self, person, number):
        file = opened(self, person, number)
        gone.append(Path(file.name))
        gone[-1].unlink()
        return file

    number = tree["edit"]["id"]
    path = f"/v1/files/{number}.png" if where == "files" else f"/v1/history/{number}/archive"
    whole = client.get(path).content
    monkeypatch.setattr(People, "path", losing)
    if when == "once it is open":
        monkeypatch.setattr(People, "open", holding)
    answer = client.get(path)
    if when == "before it is opened":
        assert answer.status_code == 404
        assert "of yours" in answer.json()["detail"]
        return
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"]) == len(whole)
    assert gone
    assert not any(path.exists() for path in gone)
    if where == "archive":
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == ["1-inversion.png", "1-inversion.safetensors", "2-edit.png"]


def test_looking_for_a_file_does_not_bring_it_back(tmp_path, monkeypatch):
    people = People(tmp_path, Limits())
    number = people.keep(ME, b"data", "png")
    path = people.path(ME, number)
    is_file = Path.is_file

    def losing(self, **how):
        there = is_file(self, **how)
        path.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "is_file", losing)
    with pytest.raises(KeptFileNotFoundError, match="of yours"):
        people.path(ME, number)
    assert not path.exists()


@pytest.mark.parametrize("lost", ["original", "mask"])
def test_a_file_that_a_job_begins_with_is_gone(client, folder, tree, sample_prompt, lost):
    node = tree["image" if lost == "original" else "edit"]
    if lost == "mask":
        record = folder / f"{node['id']}.json"
        record.write_text(record.read_text().replace('"png", "thumb"', '"png", "thumb", "mask"'))
    else:
        (folder / f"{node['id']}.original").unlink()
    assert goes_on(client, tree, node["kind"], sample_prompt).status_code == 404


@pytest.mark.parametrize("place", ["running", pytest.param("waiting", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_who_deletes_something_stops_what_goes_on_from_it(
    client, workshop, folder, tree, sample_prompt, blocked, kind, place
):
    begun, go = blocked
    if place == "waiting":
        workshop.jobs.submit("zoe", lambda _: go.wait(SOON))
    job = goes_on(client, tree, kind, sample_prompt).json()["job"]
    assert place == "waiting" or begun.wait(SOON)
    assert tree[kind]["id"] in client.delete(f"/v1/history/{tree[kind]['id']}").json()
    assert client.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    go.set()
    assert workshop.jobs.submit("ben", lambda _: 1).wait(SOON)  # the worker has left it
    assert not orphans(client, folder)
    assert client.delete(f"/v1/history/{tree[kind]['id']}").status_code == 404


@pytest.mark.parametrize("kind", ["image", pytest.param("inversion", marks=pytest.mark.slow), "edit"])
def test_a_result_whose_parent_went_at_the_last_moment_is_refused(
    client, folder, tree, sample_prompt, monkeypatch, kind
):
    """It is deleted by what keeps the result: no job can be stopped any more."""
    add, parent = History.add, tree[kind]["id"]

    def losing(self, person, node, *rest):
        if node.parent == parent:
            self.remove(person, parent)
        return add(self, person, node, *rest)

    monkeypatch.setattr(History, "add", losing)
    job = wait(client, goes_on(client, tree, kind, sample_prompt).json()["job"])
    assert job["state"] == "failed"
    assert "was deleted meanwhile" in job["message"]
    assert not stems(folder) & {tree[each]["id"] for each in KINDS[KINDS.index(kind) :]}
    assert not orphans(client, folder)


def test_several_strengths_are_refused_together(client, folder, tree, sample_prompt, monkeypatch):
    add, parent, added, before = History.add, tree["inversion"]["id"], list[str](), stems(folder)

    def losing(self, person, node, *rest):
        added.append(node.id)
        if len(added) == 3:
            self.remove(person, parent)
        return add(self, person, node, *rest)

    monkeypatch.setattr(History, "add", losing)
    answer = edit(client, parent, sample_prompt.replace("white", "blue"), vary="layout")
    job = wait(client, answer.json()["job"])
    assert (job["state"], len(added)) == ("failed", 3)
    assert stems(folder) == before - {parent, tree["edit"]["id"]}


def test_what_a_job_goes_on_from_does_not_go_for_something_new(client, workshop, tree, sample_prompt, blocked):
    """As the oldest image does, where somebody has as many as they may."""
    begun, go = blocked
    job = goes_on(client, tree, "edit", sample_prompt).json()["job"]
    assert begun.wait(SOON)
    used = {path.name.partition(".")[0] for path in workshop.jobs.used()}
    assert {tree["inversion"]["id"], tree["edit"]["id"]} <= used
    client.delete(f"/v1/jobs/{job}")
    go.set()


def test_nothing_is_kept_without_its_parent(history, tmp_path):
    node = Node(id=history.new(), kind="edit", parent=history.new())
    with pytest.raises(KeptFileNotFoundError, match="was deleted meanwhile"):
        history.add(ME, node, {"png": b"image"})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
