"""Each answer says what a browser may load and run of it, and the API's description comes from here alone."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from nulltext.web import docs, policy

POLICY = "content-security-policy"


@pytest.mark.parametrize("name", docs.ASSETS)
def test_what_is_served_is_what_was_published(client, name):
    kind, digest = docs.ASSETS[name]
    answer = client.get(f"/api/docs/{name}")
    assert hashlib.sha256(answer.content).hexdigest() == digest
    assert answer.headers["content-type"].startswith(kind)


def test_its_licence_comes_along():
    folder = Path(docs.__file__).parent / "swagger"
    assert {path.name for path in folder.iterdir()} == {
        "LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt", *(f"{name}.gz" for name in docs.ASSETS)
    }  # fmt: skip
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 600_000


def test_the_description_names_no_other_origin_and_runs_no_inline_script(client):
    page = client.get("/api/docs").text
    assert "//" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {client.get(f"/api/{source}").status_code for source in sources if not source.startswith("data:")} == {200}
    assert re.findall(r"<script(?![^>]*src=)", page) == []
    assert "unsafe" not in client.get("/api/docs").headers[POLICY]


@pytest.mark.parametrize(
    "path",
    ["/api/models", "/api/openapi.json", "/api/nothing", "/api/docs/start.js", "/api/docs/nothing", "/config",
     "/nothing", "/theme.css", "/gradio_api/info", "/gradio_api/file=/etc/x", "/gradio_api/proxy=x", "/api/jobs/x"],
)  # fmt: skip
def test_nothing_is_run_of_any_other_answer(client, path):
    assert client.get(path).headers[POLICY].encode() == policy.ANSWER
    assert client.request("PUT", path).headers[POLICY].encode() == policy.ANSWER


def test_a_file_that_somebody_gave_is_never_run(client):
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.svg", svg)}).json()
    answer = client.get(f"/gradio_api/file={path}")
    assert answer.status_code == 200
    assert answer.headers[POLICY].encode() == policy.ANSWER


def test_the_page_runs_only_what_it_was_sent_with(client):
    answer = client.get("/")
    header = answer.headers[POLICY]
    assert "'unsafe-inline'" not in header.partition("script-src")[2].partition(";")[0]
    assert "http" not in header
    assert "'sha256-" in header
    assert answer.headers[POLICY] == policy.of_page(answer.content).decode()


def test_a_request_that_is_not_of_the_form_is_answered_in_a_sentence(client):
    answer = client.post("/api/edits", json={"job": "a"})
    assert answer.status_code == 422
    assert answer.json() == {"detail": "got nothing for 'prompt'; expected another: field required."}
    described = client.get("/api/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(described)
