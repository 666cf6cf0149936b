"""What people have made: changed from several places at once, and read from files that somebody has altered."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.history import History, Node
from nulltext.web.limits import Limits
from nulltext.web.people import People

ME = "someone"


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


def test_an_edit_that_goes_back_to_itself_has_no_chain(history: History) -> None:
    node = _one(history, "edit")
    record = json.loads(_record(history, node).read_text())
    _record(history, node).write_text(json.dumps(record | {"parent": node.id}))
    with pytest.raises(KeptFileNotFoundError, match="goes back to itself"):
        history.chain(ME, node.id)
    assert history.remove(ME, node.id) == [node.id]
