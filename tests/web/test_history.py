"""What people have made: changed from several places at once, and read from files that somebody has altered."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.web.visitor import edit, made, start

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.history import History, Node
from nulltext.web.limits import Limits
from nulltext.web.people import People

ME = "someone"


@pytest.fixture(scope="module")
def versions(client: TestClient, sample: bytes, sample_prompt: str) -> tuple[str, str]:
    """An inversion and an edit of it."""
    (inversion,) = made(client, start(client, sample, sample_prompt, steps=1))
    (edited,) = made(client, edit(client, inversion["id"], sample_prompt))
    return inversion["id"], edited["id"]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(People(tmp_path, Limits()))


def _one(history: History, kind: Any = "image", parent: str | None = None) -> Node:
    return history.add(ME, Node(id=history.new(), kind=kind, parent=parent), {"png": b"image"})


def _record(history: History, node: Node) -> Path:
    return history.path(ME, node, "json")


def test_two_changes_at_once_are_both_kept(history: History) -> None:
    for round_ in range(20):
        node = _one(history)
        changes: list[dict[str, Any]] = [{"name": f"name {round_}"}, {"favourite": True}]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda change, number=node.id: history.change(ME, number, **change), changes))
        kept = history.get(ME, node.id)
        assert (kept.name, kept.favourite) == (f"name {round_}", True)


def test_what_was_removed_is_not_brought_back_by_a_new_name(history: History) -> None:
    for _ in range(20):
        node = _one(history)

        def rename(name: str, number: str = node.id) -> None:
            with contextlib.suppress(KeptFileNotFoundError):
                history.change(ME, number, name=name)

        with ThreadPoolExecutor(3) as pool:
            jobs = [
                pool.submit(rename, "before"),
                pool.submit(history.remove, ME, node.id),
                pool.submit(rename, "after"),
            ]
            for job in jobs:
                job.result()
        assert history.all(ME) == []


def _altered(record: dict[str, Any]) -> Iterator[str]:
    yield from ("", "[]", "null", "[" * 100_000, json.dumps(record)[:-5])
    yield from (
        json.dumps(record | wrong) for wrong in ({"created": "x"}, {"facts": None}, {"name": "\ud800"}, {"size": 3})
    )


def test_an_altered_record_is_passed_over(history: History) -> None:
    node, other = _one(history), _one(history)
    record = json.loads(_record(history, node).read_text())
    for text in _altered(record):
        _record(history, node).write_text(text)
        assert [each.id for each in history.all(ME)] == [other.id], text[:80]
        with pytest.raises(KeptFileNotFoundError, match="Make it again"):
            history.get(ME, node.id)


def _without(key: str) -> Any:
    return lambda of: {name: value for name, value in of.items() if name != key}


@pytest.mark.parametrize(
    ("kind", "part", "change", "said"),
    [
        ("edit", "request", lambda of: of | {"later": 1}, "'later', which is unknown"),
        ("edit", "request", _without("prompt"), "no 'prompt'"),
        ("edit", "request", lambda of: of | {"cross": "much"}, "'much' for 'cross'"),
        ("edit", "request", lambda of: of | {"blend_words": 5}, "5 for 'blend_words'"),
        ("edit", "request", lambda of: of | {"weights": [1]}, "'weights'"),
        ("edit", "request", lambda of: of | {"editor": ["x"]}, "'editor'"),
        ("inversion", "request", lambda _: {}, "no 'prompt'"),
        ("inversion", "request", lambda of: of | {"later": {"a": []}}, "'later', which is unknown"),
        ("inversion", "request", lambda of: of | {"model": ["scenes"]}, "'model'"),
        ("inversion", "request", lambda of: of | {"size": "128x128"}, "'size'"),
        ("inversion", "facts", lambda _: {}, "None for the size"),
        ("inversion", "facts", lambda of: of | {"place": {"fitted": [1, "x"]}}, "for the size"),
    ],
)
def test_a_record_of_another_version_is_a_sentence(
    client: TestClient, versions: tuple[str, str], workshop: Any, sample_prompt: str,
    kind: str, part: str, change: Any, said: str,
) -> None:  # fmt: skip
    number = versions[("inversion", "edit").index(kind)]
    (path,) = workshop.people.root.glob(f"people/*/{number}.json")
    whole = path.read_text()
    record = json.loads(whole)
    path.write_text(json.dumps(record | {part: change(record[part])}))
    try:
        refused = edit(client, number, sample_prompt)
        assert refused.status_code == 400, refused.text
        assert said in refused.json()["detail"]
        assert "of another version" in refused.json()["detail"]
        assert {each["id"] for each in client.get("/v1/history").json()} >= set(versions)
        for where in (f"/v1/history/{number}", f"/v1/history/{number}/archive", f"/v1/files/{number}.png"):
            assert client.get(where).status_code == 200
        assert client.patch(f"/v1/history/{number}", json={"name": "kept"}).status_code == 200
    finally:
        path.write_text(whole)


def test_a_record_that_says_less_of_its_image_is_still_of_use(
    client: TestClient, versions: tuple[str, str], workshop: Any, sample_prompt: str
) -> None:
    (path,) = workshop.people.root.glob(f"people/*/{versions[0]}.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"facts": {"place": record["facts"]["place"]}}))
    (node,) = made(client, edit(client, versions[0], sample_prompt))
    assert "image.png" in node["facts"]["python"]


def test_an_edit_that_goes_back_to_itself_has_no_chain(history: History) -> None:
    node = _one(history, "edit")
    record = json.loads(_record(history, node).read_text())
    _record(history, node).write_text(json.dumps(record | {"parent": node.id}))
    with pytest.raises(KeptFileNotFoundError, match="goes back to itself"):
        history.chain(ME, node.id)
    assert history.remove(ME, node.id) == [node.id]
