"""A body names only files that its sender was given, however it is written."""

import asyncio
import json
import os
import stat
import time

import pytest
from gradio.exceptions import InvalidPathError

from nulltext.errors import SettingError
from nulltext.web.bodies import MOST_PARTS, PAGE, PAGE_BYTES, names_only_files_of, parse

META = {"_type": "gradio.FileData"}
JOIN = "/gradio_api/queue/join"
ESCAPED = '{"data": [{"%s": %s, "meta": {"_type": "gradio.FileData"}}], "fn_index": 0, "session_hash": "mine"}'


def body(*data, **more):
    return {"data": list(data), "fn_index": 0, "session_hash": "mine", **more}


def written(name, path):
    """A body with a name as it is written, escapes and all."""
    return ESCAPED % (name, json.dumps(path))


WAYS = {
    "alone": lambda path: body({"path": path, "meta": META}),
    "without meta": lambda path: body({"path": path}),
    "nested": lambda path: body({"a": [[{"b": {"path": path, "meta": META}}]]}),
    "a list of files": lambda path: body([{"path": path, "meta": META}] * 2),
    "a layer of paint": lambda path: body({"background": None, "layers": [{"path": path, "meta": META}], "id": None}),
    "a background": lambda path: body({"background": {"path": path, "meta": META}, "layers": [], "id": None}),
    "the event's data": lambda path: body(None, event_data={"path": path, "meta": META}),
    "a url": lambda path: body({"url": f"http://testserver/gradio_api/file={path}", "meta": META}),
    "a file url": lambda path: body({"url": f"file://{path}", "meta": META}),
    "another name": lambda path: body({" Path": path, "meta": META}),
    "a list as path": lambda path: body({"path": [path], "meta": META}),
    "the root's name": lambda path: body({"path": f"//{path}", "meta": META}),
    "up and down": lambda path: body({"path": path.replace("/secret", "/x/../secret"), "meta": META}),
    "an address": lambda _: body({"path": "http://127.0.0.1:9/a.png", "meta": META}),
    "an escaped name": lambda path: written("p\\u0061th", path),
    "an escaped value": lambda path: written("path", path).replace(path, "".join(f"\\u{ord(c):04x}" for c in path)),
    "twice": lambda path: '{"data": [], ' + written("path", path)[1:],
    "twice, the good one first": lambda path: '{"data": [{"path": null, "path": ' + json.dumps(path) + "}]}",
    "UTF-16": lambda path: json.dumps(body({"path": path, "meta": META})).encode("utf-16"),
}  # fmt: skip
"""How a body may name a file."""


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(b"a secret")
    return str(path)


def send(client, where, content_text, **headers):
    content = content_text if isinstance(content_text, str | bytes) else json.dumps(content_text)
    return client.post(where, content=content, headers={"content-type": "application/json", **headers})


def uploads(workshop):
    return {path for path in (workshop.people.root / "uploads").rglob("*") if path.is_file()}


@pytest.mark.parametrize("where", sorted(path for path, kind in PAGE.items() if kind == "application/json"))
@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_was_not_given(client, workshop, secret, where, way):
    before = uploads(workshop)
    answer = send(client, where, WAYS[way](secret))
    assert answer.status_code == 403, answer.text
    assert len(answer.text) < 200
    assert uploads(workshop) == before


def test_a_body_in_pieces(client, secret):
    content_text = json.dumps(WAYS["alone"](secret)).encode()
    pieces = iter([content_text[at : at + 7] for at in range(0, len(content_text), 7)])
    answer = client.post(JOIN, content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "multipart/form-data; boundary=a"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/vnd.api+json"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "br"},
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "text/plain"), ("Content-Type", "application/json")],
    ],
)
def test_a_type_that_might_be_read_otherwise(client, secret, headers):
    answer = client.post(JOIN, content=json.dumps(WAYS["alone"](secret)), headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post"])
@pytest.mark.parametrize(
    "path",
    [
        "run/open_upload", "run/predict/", "api/predict", "api/open_upload/", "call/open_upload", "call/v2/edit",
        "queue/join/", "QUEUE/JOIN", "queue//join", "queue/join?x", "component_server", "component_server/", "reset/",
        "process_recording", "vibe-edit", "vibe-code/", "stream/a", "upload/", "upload?/../queue/join", "mcp/", "",
    ],
)  # fmt: skip
def test_what_the_page_does_not_use_takes_nothing(client, secret, method, path):
    answer = client.request(method, f"/gradio_api/{path}", json=WAYS["alone"](secret))
    assert answer.status_code in {403, 404, 405, 415}
    assert "secret" not in answer.text


def test_a_file_of_ones_own_is_taken(client, new_client, sample):
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", sample)}).json()
    url = f"http://testserver/gradio_api/file={path}"
    content_text = body({"path": path, "url": url, "meta": META}, session_hash="a tab of ours")
    assert send(client, JOIN, content_text).status_code == 200
    assert send(new_client(), JOIN, {**content_text, "session_hash": "another"}).status_code == 403


def test_the_session_in_a_body_is_its_first_owners(client, new_client):
    assert send(client, JOIN, body(None, session_hash="first")).status_code == 200
    other = new_client()
    for way in (body(None, session_hash="first"), body(None, session_hash=["first"])):
        assert send(other, JOIN, way).status_code == 403
    assert other.get("/gradio_api/heartbeat/first").status_code == 403


def test_the_library_itself_takes_no_file_that_was_not_uploaded(blocks, workshop, secret):
    """What gets past the gate is held by what stands behind it."""
    before = uploads(workshop)
    with pytest.raises(InvalidPathError):
        asyncio.run(blocks.preprocess_data(blocks.fns[0], [{"path": secret, "meta": META}], None))
    assert uploads(workshop) == before


@pytest.fixture
def endless(tmp_path):
    """A file whose reading never ends: a pipe that nobody writes to."""
    path = tmp_path / "endless.png"
    os.mkfifo(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    return str(path)


def test_a_file_that_never_ends_holds_nobody_up(client, endless):
    begun = time.monotonic()
    assert send(client, JOIN, WAYS["alone"](endless)).status_code == 403
    assert client.get("/api/models").status_code == 200
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("content_text", "named"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": NaN}', "not finite"),
        (b'{"a": -Infinity}', "not finite"),
        (b'{"a": 1e999}', "not finite"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"[" * 9_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b"[" + b"1," * MOST_PARTS + b"1]", "values"),
    ],
)
def test_what_is_no_sound_json(content_text, named):
    with pytest.raises(SettingError, match=named) as error:
        parse(content_text)
    assert len(str(error.value)) < 150


def test_json_is_passed_on_in_one_reading():
    content_text, again = parse(b'{"a": 1, "\\u0061": "\\u00e9", "b": [true, null]}')
    assert content_text == {"a": "é", "b": [True, None]}
    assert again == '{"a": "é", "b": [true, null]}'.encode()


def test_a_body_of_the_page_is_small(client):
    assert send(client, JOIN, b'"' + b"a" * PAGE_BYTES + b'"').status_code == 413


def test_a_url_is_known_as_its_path():
    def knows(path):
        return path == "/up/a b.png"

    for url in ("/gradio_api/file=/up/a b.png", "https://x/y/gradio_api/file=/up/a%20b.png", None):
        assert names_only_files_of({"path": "/up/a b.png", "url": url}, knows)
    for url in ("/up/a b.png", "gradio_api/file=/up/a b.png", "/gradio_api/file=/up/../a", 5):
        assert not names_only_files_of({"url": url}, knows)


@pytest.mark.parametrize("number", [99_999, -1, None, "0", True, [0], 0.5])
@pytest.mark.parametrize("path", ["queue/join", "run/predict"])
def test_what_the_page_cannot_do_is_refused(client, path, number):
    answer = client.post(f"/gradio_api/{path}", json={"data": [], "fn_index": number, "session_hash": "nothing"})
    assert answer.status_code == 400
    assert "the page can do" in answer.json()["detail"]
