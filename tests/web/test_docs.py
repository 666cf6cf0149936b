"""Each answer says what a browser may load and run of it, and the API's description comes from here alone."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from tests.web.visitor import upload

from nulltext.web import docs, policy

POLICY = "content-security-policy"


@pytest.mark.parametrize("name", docs.ASSETS)
def test_what_is_served_is_what_was_published(client, name):
    kind, digest = docs.ASSETS[name]
    answer = client.get(f"/v1/docs/{name}")
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
    page = client.get("/v1/docs").text
    assert "//" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {client.get(f"/v1/{source}").status_code for source in sources if not source.startswith("data:")} == {200}
    assert re.findall(r"<script(?![^>]*src=)", page) == []
    assert "unsafe" not in client.get("/v1/docs").headers[POLICY]


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/openapi.json", "/v1/nothing", "/v1/docs/start.js", "/v1/docs/nothing", "/health", "/metrics",
     "/nothing", "/page/nothing", "/v1/jobs/x", "/v1/history", "/v1/history/x", "/v1/files/x.png", "/v1/samples/x"],
)  # fmt: skip
def test_nothing_is_run_of_any_other_answer(client, path):
    assert client.get(path).headers[POLICY].encode() == policy.ANSWER
    assert client.request("PUT", path).headers[POLICY].encode() == policy.ANSWER


def test_a_file_that_somebody_gave_is_never_run(client, sample):
    node = upload(client, sample, "a.svg").json()["node"]
    for number in node["files"].values():
        answer = client.get(f"/v1/files/{number}")
        assert answer.headers[POLICY].encode() == policy.ANSWER
        assert answer.headers["content-type"] in {"application/octet-stream", "image/webp"}
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_request_that_is_not_of_the_form_is_answered_in_a_sentence(client):
    answer = client.post("/v1/edits", json={"parent": "a"})
    assert answer.status_code == 422
    assert answer.json() == {"detail": "got nothing for 'prompt'; expected another: field required."}
    described = client.get("/v1/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(described)
