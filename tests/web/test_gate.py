import asyncio
import base64
import json
import re

import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from nulltext.errors import SettingError
from nulltext.web.clients import LOOPBACK
from nulltext.web.gate import COOKIE, Gate, KnownFiles, person_in, read_auth
from nulltext.web.people import People


@pytest.fixture
def known_files(file):
    return KnownFiles(file.parent)


def add_what_could_be_misused(app):
    @app.get("/gradio_api/proxy={url:path}")
    @app.get("/gradio_api/deep_link")
    @app.get("/monitoring/summary")
    @app.get("/proxy={url:path}")
    @app.get("/file={url:path}")
    def closed(url: str = ""):
        return PlainTextResponse("open")

    @app.get("/api/repeat")
    def repeat(what: str):
        return {"path": what}

    @app.get("/gradio_api/refused", status_code=422)
    def refused(what: str):
        return {"path": what}

    @app.get("/session")
    def session(session_hash: str):
        return session_hash

    @app.get("/gradio_api/prompt")
    def say(what: str):
        return {"data": [what], "prompt": what}


@pytest.fixture
def gated(known_files, file):
    """A small app behind the gate, which tells of a file in several ways."""
    app = FastAPI()

    @app.get("/who")
    def who(request: Request):
        return request.state.person

    @app.get("/gradio_api/json")
    def tell_json():
        return {"data": [{"path": str(file)}]}

    @app.get("/gradio_api/html")
    def tell_html():
        return HTMLResponse(f"<script>window.config = {json.dumps({'path': str(file)})}</script>")

    @app.get("/gradio_api/events")
    def tell_events():
        lines = ("data: {}\n\n", f"data: {json.dumps({'path': str(file)})}\n\n")
        return StreamingResponse(iter(lines), media_type="text/event-stream")

    @app.get("/gradio_api/text")
    def tell_text():
        return PlainTextResponse(json.dumps({"path": str(file)}))

    @app.get("/gradio_api/file={path:path}")
    def give(path: str):
        return PlainTextResponse(f"here is {path}")

    add_what_could_be_misused(app)

    @app.websocket("/socket")
    async def socket(socket: WebSocket):
        await socket.accept()
        await socket.close()

    @app.post("/body")
    async def body(request: Request):
        return len(await request.body())

    def build(auth=None, **bounds):
        return Gate(app, known_files=known_files, auth=auth, **bounds)

    return build


@pytest.fixture
def browser(gated):
    return lambda auth=None: TestClient(gated(auth), raise_server_exceptions=False)


def test_a_cookie_is_given_once_and_no_script_reads_it(browser):
    someone = browser()
    first, second = someone.get("/who"), someone.get("/who")
    given = first.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(given.split("; "))
    assert "Secure" not in given
    assert "set-cookie" not in second.headers
    assert first.json() == second.json() == someone.cookies[COOKIE]


def test_the_cookie_of_a_secure_page_is_secure(gated):
    assert "; Secure" in TestClient(gated(), base_url="https://testserver").get("/who").headers["set-cookie"]


def test_everybody_is_somebody_else(browser):
    people = {browser().get("/who").json() for _ in range(20)}
    assert len(people) == 20
    assert all(re.fullmatch(r"[\w-]{43}", person) for person in people)


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "nulltext_person",
        "nulltext_person=",
        "nulltext_person=short",
        "nulltext_person=" + "a" * 44,
        "nulltext_person=" + "a" * 100_000,
        "nulltext_person=../../../../etc/passwd",
        'nulltext_person="' + "a" * 43,
        ";;;=;",
        "\x01=\x7f; =",
        "nulltext_person=" + "é" * 43,
    ],
)
def test_a_malformed_cookie_makes_a_new_person(browser, cookie):
    answer = browser().get("/who", headers={"cookie": cookie.encode("latin-1")})
    assert answer.status_code == 200
    assert f"{COOKIE}={answer.json()};" in answer.headers["set-cookie"]
    assert answer.json() not in cookie


@pytest.mark.parametrize("other", ['a={"b": 1, "c": [2]}', "a b c", "é=ü", "=", "a@b=c", 'x="'])
def test_the_cookies_of_other_servers_on_the_same_machine_do_no_harm(browser, other):
    person = People.new()
    for cookies in (f"{other}; {COOKIE}={person}", f"{COOKIE}={person}; {other}"):
        assert browser().get("/who", headers={"cookie": cookies.encode()}).json() == person
        assert person_in(cookies) == person


def test_another_cookie_whose_name_ends_alike_is_another(browser):
    assert person_in(f"my{COOKIE}={People.new()}") is None


def basic(name, password, encoding="utf-8"):
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode(encoding)).decode()}


def test_name_and_password(browser):
    someone = browser(("ann", "correct horse"))
    refused = someone.get("/who")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert "password" in refused.json()["detail"]
    assert "set-cookie" not in refused.headers
    assert someone.get("/who", headers=basic("ann", "correct horse")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        basic("ann", "wrong"),
        basic("", ""),
        basic("ann", "correct horse "),
        {"authorization": "Basic"},
        {"authorization": "Bearer abc"},
        {"authorization": "é".encode()},
        {"authorization": b"Basic \xff\xfe"},
        {"authorization": ""},
    ],
)
def test_a_wrong_password(browser, headers):
    someone = browser(("ann", "correct horse"))
    for path in ("/who", "/", "/gradio_api/file=/x", "/gradio_api/proxy=http://x"):
        assert someone.get(path, headers=headers).status_code == 401


def test_a_password_that_is_not_ascii(browser):
    someone = browser(("zoë", "größe"))
    assert someone.get("/who", headers=basic("zoë", "größe")).status_code == 200
    assert someone.get("/who", headers=basic("zoe", "grosse")).status_code == 401


def test_a_socket_asks_for_the_password_too(browser):
    with pytest.raises(WebSocketDisconnect), browser(("ann", "correct horse")).websocket_connect("/socket"):
        pass


def test_read_auth():
    assert read_auth(None) is None
    assert read_auth("ann:a:b") == ("ann", "a:b")
    for text in ("", "ann", "ann:", ":secret", ":"):
        with pytest.raises(SettingError, match="NAME:PASSWORD") as error:
            read_auth(text)
        assert "secret" not in str(error.value)


def fetch(browser, path):
    return browser.get(f"/gradio_api/file={path}").status_code


@pytest.mark.parametrize("way", ["/gradio_api/json", "/gradio_api/html", "/gradio_api/events"])
def test_a_file_is_for_those_who_were_told_of_it(browser, file, way):
    ann, ben = browser(), browser()
    assert fetch(ann, file) == 403
    ann.get(way)
    assert fetch(ann, file) == 200
    ben.get("/who")
    assert fetch(ben, file) == 403
    assert fetch(browser(), file) == 403
    ben.get(way)
    assert fetch(ben, file) == fetch(ann, file) == 200


def test_what_a_file_says_tells_nobody_of_another(browser, file):
    ann = browser()
    ann.get("/gradio_api/text")
    assert fetch(ann, file) == 403


def test_no_other_file(browser, file, tmp_path):
    ann = browser()
    ann.get("/gradio_api/json")
    folder = file.parent
    for path in (
        folder / "guessed.png",
        folder,
        f"{folder}/%2e%2e/secret",
        f"{folder}/x/%2e%2e/{file.name}",
        f"/{file}",
        f"{file}/",
        f"{file}%00",
        "/etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc/passwd",
        "http://example.com/a.png",
        "https://example.com/a.png",
        "",
    ):
        assert fetch(ann, path) == 403, path
    for path in ("/gradio_api/file", "/gradio_api/file/", "/gradio_api/file//etc/passwd"):
        assert ann.get(path).status_code == 403, path


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://example.com",
        "/gradio_api/proxy=",
        "/gradio_api/deep_link",
        "/proxy=http://example.com",
        "/monitoring/summary",
        "/file=/etc/passwd",
        "/gradio_api/%70roxy=http://example.com",
    ],
)
def test_what_could_be_misused_is_closed(browser, path):
    assert browser().get(path).status_code == 404


def test_a_body_that_is_too_large(gated):
    browser = TestClient(gated(most_bytes=1000), raise_server_exceptions=False)
    assert browser.post("/body", content=b"x" * 1000).json() == 1000
    refused = browser.post("/body", content=b"x" * 1001)
    assert refused.status_code == 413
    assert "larger" in refused.json()["detail"]
    assert browser.post("/body", headers={"content-length": "9" * 10_000}).status_code == 413


def test_a_body_that_does_not_say_how_large_it_is(gated):
    """Such a one comes in pieces; what is behind the gate may fail on it, but it does not get it all."""
    taken = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            taken.append(message["body"])

    gate, known_files = gated(most_bytes=1000), []
    gate.app = app
    pieces = iter([{"type": "http.request", "body": b"x" * 400, "more_body": True}] * 10)

    async def receive():
        return next(pieces)

    async def send(message):
        known_files.append(message)

    scope = {"type": "http", "method": "POST", "path": "/body", "scheme": "http", "headers": []}
    asyncio.run(gate(scope, receive, send))
    assert sum(map(len, taken)) == 800


def test_nothing_is_guessed_from_content(browser):
    assert browser().get("/who").headers["x-content-type-options"] == "nosniff"
    assert fetch(browser(), "/etc/passwd") == 403


def test_a_prompt_that_names_anothers_file(browser, file):
    ann, ben = browser(), browser()
    ann.get("/gradio_api/json")
    for prompt in (str(file), json.dumps({"path": str(file)}), json.dumps([str(file)])):
        ben.get("/gradio_api/prompt", params={"what": prompt})
    assert (fetch(ann, file), fetch(ben, file)) == (200, 403)


@pytest.mark.parametrize("path", ["/api/repeat", "/gradio_api/refused"])
def test_who_makes_the_server_repeat_a_name_is_told_of_nothing(browser, file, path):
    """FastAPI says back what it does not take."""
    ben = browser()
    assert str(file) in ben.get(path, params={"what": str(file)}).json()["path"]
    assert fetch(ben, file) == 403


@pytest.fixture
def two(gated):
    """The browsers of two people at one server."""
    gate = gated()
    return TestClient(gate), TestClient(gate)


def test_the_session_of_anothers_page(two):
    ann, ben = two
    assert ann.get("/who", params={"session_hash": "tab"}).status_code == 200
    refused = ben.get("/who", params={"session_hash": "tab"})
    assert refused.status_code == 403
    assert "not yours" in refused.json()["detail"]
    assert ann.get("/who", params={"session_hash": "tab"}).status_code == 200
    assert ben.get("/who", params={"session_hash": "another tab"}).status_code == 200


def test_the_session_of_anothers_page_behind_ones_own(two):
    ann, ben = two
    assert ann.get("/session", params={"session_hash": "tab"}).json() == "tab"
    answer = ben.get("/session", params={"session_hash": ["another tab", "tab"]})
    assert answer.status_code == 403, answer.json()


@pytest.mark.parametrize(
    "origin", ["http://example.com", "https://testserver.example.com", "http://testserver:81", "null"]
)
def test_what_another_sites_page_asks_for(browser, origin):
    someone, headers = browser(), {"origin": origin}
    refused = someone.post("/body", content=b"x", headers=headers)
    assert refused.status_code == 403
    assert "another site" in refused.json()["detail"]
    for method in ("PUT", "DELETE", "PATCH"):
        assert someone.request(method, "/body", headers=headers).status_code == 403
    assert someone.get("/who", headers=headers).status_code == 200  # the browser keeps the answer from that page


def test_what_our_own_page_asks_for(browser):
    someone = browser()
    for headers in (
        {},
        {"origin": "http://testserver"},
        {"origin": "https://testserver"},
        {"origin": "https://public.example.com", "x-forwarded-host": "public.example.com"},
    ):
        assert someone.post("/body", content=b"x", headers=headers).json() == 1


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "LOCALHOST", "127.0.0.1:7860", "[::1]:7860"])
def test_a_host_that_is_ours(gated, host):
    assert TestClient(gated(hosts=LOOPBACK)).get("/who", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com:7860", "127.0.0.1.example.com", "", "a@b", ":"])
def test_a_host_that_is_not_ours(gated, host):
    """A page elsewhere that gives its name to this machine."""
    refused = TestClient(gated(hosts=LOOPBACK)).get("/who", headers={"host": host})
    assert refused.status_code == 403
    assert "127.0.0.1" in refused.json()["detail"]


@pytest.mark.parametrize("headers", [{"host": "[::1"}, {"host": "localhost", "origin": "http://["}])
def test_a_host_or_origin_that_makes_no_sense(gated, headers):
    assert TestClient(gated(hosts=LOOPBACK)).post("/body", headers=headers).status_code == 403
