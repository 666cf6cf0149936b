"""The page as files: small, from here alone, and its libraries as they were published."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from nulltext.web import policy, static

FOLDER = Path(static.__file__).parent / "page"
ASSETS = static.assets()
OURS = [path for path in ASSETS if not path.startswith("vendor/")]


@pytest.mark.parametrize("name", static.VENDORED)
def test_a_library_is_as_it_was_published_and_its_licence_comes_along(name):
    what, digest, licences = static.VENDORED[name]
    assert re.search(r"\d+\.\d+\.\d+", what)
    assert hashlib.sha256(ASSETS[name].data).hexdigest() == digest
    assert all(re.search("Apache License|MIT License", (FOLDER / licence).read_text()) for licence in licences)


def test_there_is_no_library_that_nobody_names():
    assert {path for path in ASSETS if path.startswith("vendor/")} == set(static.VENDORED)


def test_the_whole_page_is_small():
    assert sum(len(asset.packed) for asset in ASSETS.values()) <= 150_000


def test_every_module_is_loaded_at_once():
    """Else each waits for the one that asks for it."""
    html = ASSETS["index.html"].data.decode()
    named = set(re.findall(r'href="page/([^"]+\.js)"', html)) | {"main.js", "theme.js"}
    assert named == {path for path in ASSETS if path.endswith(".js")}


@pytest.mark.parametrize("path", OURS)
def test_nothing_comes_from_elsewhere_and_nothing_is_inline(path):
    text = ASSETS[path].data.decode()
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "innerHTML" not in text
    if path.endswith(".html"):
        assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|style=", text) == []


def test_each_module_is_small():
    assert max(len(ASSETS[path].data.decode().splitlines()) for path in OURS if path.endswith(".js")) <= 400


def test_languages_say_the_same():
    said = {
        path: set(re.findall(r'(?:^|[,{\s])"?([\w-]+)"?: "', ASSETS[path].data.decode()))
        for path in OURS
        if path.startswith("lang/")
    }
    assert len(said) >= 2
    assert len({frozenset(names) for names in said.values()}) == 1, {
        path: names - said["lang/en.js"] | said["lang/en.js"] - names for path, names in said.items()
    }


def test_whatever_is_said_has_words():
    english = set(re.findall(r'(?:^|[,{\s])"?([\w-]+)"?: "', ASSETS["lang/en.js"].data.decode()))
    modules = [path for path in OURS if path.endswith(".js") and not path.startswith("lang")]
    used = {name for path in modules for name in re.findall(r'\bt\("([\w-]+)"', ASSETS[path].data.decode())}
    assert used <= english


def test_it_is_sent_compressed_and_once(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].encode() == policy.PAGE
    assert "unsafe" not in policy.PAGE.decode()
    for path in OURS:
        file = client.get(f"/page/{path}")
        assert file.content == ASSETS[path].data
        assert file.headers["content-encoding"] == "gzip"
        again = client.get(f"/page/{path}", headers={"if-none-match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/page/lang/en.js", headers={"accept-encoding": "identity"}).content == ASSETS["lang/en.js"].data


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "../server.py",
        "%2e%2e/server.py",
        "..%2fserver.py",
        "vendor/LICENSE-htm",
        "",
        "lang",
        "/etc/passwd",
    ],
)
def test_nothing_else_is_sent(client, path):
    answer = client.get(f"/page/{path}")
    assert answer.status_code == 404
    assert not answer.content or json.loads(answer.content)


def test_what_is_packed_is_what_there_is():
    assert all(gzip.decompress(asset.packed) == asset.data for asset in ASSETS.values())
