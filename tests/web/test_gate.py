import asyncio
import base64
import re

import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from nulltext.errors import OutputWriteError, SettingError
from nulltext.web.clients import LOOPBACK
from nulltext.web.cookies import COOKIE, Cookies
from nulltext.web.gate import Gate, read_auth, read_token
from nulltext.web.people import People

SIGNER = Cookies(bytes(32))


@pytest.fixture
def gated():
    """A small app behind the gate."""
    app, cookies = FastAPI(), Cookies(bytes(32))

    @app.get("/who")
    def who(request: Request):
        return request.state.person

    @app.get("/health")
    def health():
        return "ok"

    @app.websocket("/socket")
    async def socket(socket: WebSocket):
        await socket.accept()
        await socket.close()

    @app.post("/body")
    async def body(request: Request):
        return len(await request.body())

    def build(auth=None, **bounds):
        return Gate(app, cookies=cookies, auth=auth, **bounds)

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
    assert first.json() == second.json() == someone.cookies[COOKIE].partition(".")[0]


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
        "nulltext_person=" + "a" * 43,
        "nulltext_person=" + "a" * 43 + "." + "a" * 43,
        "nulltext_person=" + Cookies(b"another server's").value("a" * 43),
        "nulltext_person=" + Cookies(bytes(32)).value("a" * 43)[:-1] + "!",
    ],
)
def test_a_malformed_cookie_makes_a_new_person(browser, cookie):
    answer = browser().get("/who", headers={"cookie": cookie.encode("latin-1")})
    assert answer.status_code == 200
    assert f"{COOKIE}={SIGNER.value(answer.json())};" in answer.headers["set-cookie"]
    assert answer.json() not in cookie


@pytest.mark.parametrize("other", ['a={"b": 1, "c": [2]}', "a b c", "é=ü", "=", "a@b=c", 'x="'])
def test_the_cookies_of_other_servers_on_the_same_machine_do_no_harm(browser, other):
    person = People.new()
    for cookies in (f"{other}; {COOKIE}={SIGNER.value(person)}", f"{COOKIE}={SIGNER.value(person)}; {other}"):
        assert browser().get("/who", headers={"cookie": cookies.encode()}).json() == person
        assert SIGNER.person(cookies) == person


def test_another_cookie_whose_name_ends_alike_is_another(browser):
    assert SIGNER.person(f"my{COOKIE}={SIGNER.value(People.new())}") is None


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
    for path in ("/who", "/", "/v1/history", "/metrics"):
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


def test_an_orchestrator_knows_no_password(browser):
    assert browser(("ann", "correct horse")).get("/health").status_code == 200


TOKEN = "a token of 24 signs".replace(" ", "-") + "12345"


def test_a_token_is_a_person_of_its_own(gated):
    """Also without a cookie, and beside a password."""
    for auth in (None, ("ann", "correct horse")):
        program = TestClient(gated(auth, token=TOKEN))
        first, second = (program.get("/who", headers={"authorization": f"Bearer {TOKEN}"}) for _ in range(2))
        assert first.json() == second.json()
        assert TOKEN not in first.text
        assert "set-cookie" not in first.headers
        assert program.get("/who").status_code == 401
        for wrong in (f"Bearer {TOKEN}x", "Bearer ", f"bearer{TOKEN}", TOKEN, "Bearer é"):
            answer = program.get("/who", headers={b"authorization": wrong.encode()})
            assert answer.status_code == 401


def test_a_browser_gives_the_token_as_the_password(gated):
    browser = TestClient(gated(token=TOKEN))
    assert browser.get("/who", headers=basic("anybody", TOKEN)).status_code == 200
    assert browser.get("/who", headers=basic("anybody", "")).status_code == 401
    both = TestClient(gated(("ann", "correct horse"), token=TOKEN))
    assert both.get("/who", headers=basic("ann", TOKEN)).status_code == 401


def test_read_token():
    assert read_token(None) is None
    assert read_token(TOKEN) == TOKEN
    for text in ("", "short", "a token with spaces in it", "ä" * 30, "a" * 20 + "\n"):
        with pytest.raises(SettingError, match="16 or more"):
            read_token(text)


def test_people_stay_who_they_are_when_the_server_starts_again(tmp_path):
    value = Cookies.of(tmp_path).value("a" * 43)
    assert Cookies.of(tmp_path).person(f"{COOKIE}={value}") == "a" * 43
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(OutputWriteError, match="5 bytes"):
        Cookies.of(tmp_path)


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

    gate, sent = gated(most_bytes=1000), []
    gate.app = app
    pieces = iter([{"type": "http.request", "body": b"x" * 400, "more_body": True}] * 10)

    async def receive():
        return next(pieces)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/body", "scheme": "http", "headers": []}
    asyncio.run(gate(scope, receive, send))
    assert sum(map(len, taken)) == 800


def test_nothing_is_guessed_from_content(browser):
    assert browser().get("/who").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "origin",
    ["http://example.com", "https://testserver.example.com", "http://testserver:81", "https://testserver", "null"],
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
        {"origin": "http://public.example.com", "x-forwarded-host": "public.example.com"},
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
