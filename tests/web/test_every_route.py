"""Every route of the app, whoever asks and however: nothing of anybody else's, nothing of the machine."""

import itertools
import re

import pytest
from starlette.testclient import TestClient
from tests.web.visitor import edit, made, start

from nulltext.web.clients import LOOPBACK
from nulltext.web.cookies import COOKIE, Cookies
from nulltext.web.people import People
from nulltext.web.server import build

TRAPS = (
    "..", "../..", "..%2F..%2Fsecret", "%2e%2e%2fsecret", "%2Fetc%2Fpasswd", "%00", "A" * 22, "A" * 300, "%F0%9F%92%A9",
    "<script>", "'--", "{number}", "~root", "con", "%5C..%5Csecret", "secret", "people", "A" * 22 + ".json",
    "A" * 22 + ".png%00.json", ".", "%2e", "null", "undefined", "0", "-1", "1e999", "*", "?x=1", "#", "a;b",
)  # fmt: skip
"""What stands in the place of an id."""
BODIES = {
    "/v1/inversions": {"image": "A" * 22, "prompt": "a ball"},
    "/v1/edits": {"parent": "A" * 22, "prompt": "a ball"},
    "/v1/prompts": {"prompt": "a ball", "model": "scenes"},
}


def routes(client):
    """Every method and path that is described, and the page."""
    described = client.get("/v1/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, methods in described.items() for method in methods]
    return [*found, ("GET", "/"), ("GET", "/page/main.js"), ("GET", "/v1/docs"), ("GET", "/v1/openapi.json")]


def ask(client, method, path, **headers):
    body = BODIES.get(path, {} if method in {"POST", "PATCH"} else None)
    return client.request(method, path, json=body, headers=headers)


@pytest.fixture(scope="module")
def own(client, sample, sample_prompt):
    """The ids of somebody's image, inversion, edit and job."""
    answer = start(client, sample, sample_prompt, steps=1)
    (inversion,) = made(client, answer)
    (edited,) = made(client, edit(client, inversion["id"], sample_prompt.replace("grass", "sand")))
    return [inversion["parent"], inversion["id"], edited["id"], answer.json()["job"]]


def test_a_strangers_ids_lead_nowhere(client, new_client, own):
    stranger = new_client()
    for (method, path), number in itertools.product(routes(client), own):
        if "{number}" not in path:
            continue
        for name in (number, f"{number}.png", f"{number}.safetensors", f"{number}.original"):
            answer = ask(stranger, method, path.replace("{number}", name))
            assert answer.status_code == 404, (method, path, answer.text)
    for number in own[:3]:
        assert client.get(f"/v1/history/{number}").status_code == 200
    for field, where in (("image", "/v1/inversions"), ("parent", "/v1/edits")):
        for number in own:
            answer = stranger.post(where, json={field: number, "prompt": "a ball"})
            assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_no_id(client, workshop, own, trap):
    root = str(workshop.people.root)
    for method, path in routes(client):
        if "{" not in path:
            continue
        answer = ask(client, method, re.sub(r"\{\w+\}", lambda _: trap, path))
        assert answer.status_code < 500, (method, path, answer.text)
        assert root not in answer.text
        assert "Traceback" not in answer.text
        assert Cookies.of(workshop.people.root)._secret not in answer.content


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "127.0.0.1.nip.io", ""])
def test_another_name_is_answered_by_nothing(workshop, client, host):
    strict = TestClient(build(workshop, hosts=LOOPBACK), raise_server_exceptions=False)
    for method, path in routes(client):
        assert ask(strict, method, path, host=host).status_code == 403, path


@pytest.mark.parametrize("origin", ["http://example.com", "null", "http://testserver.example.com", "file://"])
def test_another_sites_page_changes_nothing(client, own, origin):
    for method, path in routes(client):
        if method != "GET":
            answer = ask(client, method, path.replace("{number}", own[0]), origin=origin)
            assert answer.status_code == 403, path
    assert client.get(f"/v1/history/{own[0]}").status_code == 200


def test_who_knows_no_password_sees_nothing(workshop, client):
    closed = TestClient(build(workshop, auth=("ann", "correct horse"), token="t" * 32), raise_server_exceptions=False)
    for method, path in routes(client):
        answer = ask(closed, method, path)
        assert answer.status_code == (200 if path == "/health" else 401), path
        assert "set-cookie" not in answer.headers or path == "/health"


@pytest.mark.parametrize(
    "cookie", ["A" * 43, f"{'A' * 43}.{'A' * 43}", Cookies(bytes(32)).value("A" * 43), f"{'A' * 43}.", "", "../x.../y"]
)
def test_a_cookie_that_was_not_signed_here_is_nobodys(app, client, own, cookie):
    forged = TestClient(app, raise_server_exceptions=False, headers={"cookie": f"{COOKIE}={cookie}"})
    answer = forged.get("/v1/history")
    assert answer.json() == []
    assert COOKIE in answer.headers["set-cookie"]
    for number in own[:3]:
        assert forged.get(f"/v1/history/{number}").status_code == 404


def test_the_cookie_of_another_is_theirs_only_whole(app, client, own):
    value = client.cookies[COOKIE]
    person, signature = value.split(".")
    for forged in (f"{People.new()}.{signature}", f"{person}.{signature[:-2]}AA", f"{person[:-1]}_.{signature}"):
        if forged != value:
            browser = TestClient(app, headers={"cookie": f"{COOKIE}={forged}"})
            assert browser.get(f"/v1/history/{own[0]}").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "TRACE", "CONNECT", "PROPFIND"])
def test_a_method_that_a_route_does_not_have(client, method):
    described = client.get("/v1/openapi.json").json()["paths"]
    for path, methods in described.items():
        if method.lower() not in methods:
            answer = client.request(method, re.sub(r"\{\w+\}", "A" * 22, path))
            assert 400 <= answer.status_code < 500, path


def test_an_honest_visitor_gets_a_place_while_one_address_floods(app, workshop, sample, sample_prompt, embedded):
    """The flood has many persons and one address; the visitor comes from another."""
    import threading

    go, busy = threading.Event(), threading.Event()

    def hold(_):
        busy.set()
        go.wait(60)

    workshop.jobs.submit("zoe", hold)
    assert busy.wait(60)
    try:
        taken = 0
        for _ in range(workshop.limits.queue + 5):
            flood = TestClient(app, client=("203.0.113.9", 1), raise_server_exceptions=False)
            taken += start(flood, sample, sample_prompt, steps=1).status_code == 202
        assert taken == workshop.limits.queue
        honest = TestClient(app, client=("198.51.100.7", 1), raise_server_exceptions=False)
        answer = start(honest, sample, sample_prompt, steps=1)
        assert answer.status_code == 202
        assert honest.get(f"/v1/jobs/{answer.json()['job']}").json()["position"] == taken + 1
    finally:
        for job in [*workshop.jobs._jobs.values()]:
            job.stop()
        go.set()
