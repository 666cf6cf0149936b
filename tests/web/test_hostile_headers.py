"""A server with a name, a password, a token, a root path and a trusted proxy, and who tries each of them."""

import base64

import pytest
from starlette.testclient import TestClient

from nulltext.web.clients import client_of
from nulltext.web.hosts import allowed
from nulltext.web.server import build

TOKEN = "a-token-of-more-than-16-signs"  # noqa: S105  of a server in this test alone
NAME, PASSWORD = "ann", "correct horse"
HOST = "photos.example.com"
INSIDE = f"http://{HOST}"
WHERE = "/photos/v1/limits"


def short(value):
    """What a case is called."""
    return repr(value)[:40]


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def visit(workshop):
    """A request through the proxy, as a name that is known, with the password unless something else is given."""
    hosts = allowed("127.0.0.1", [HOST])
    app = build(workshop, auth=(NAME, PASSWORD), token=TOKEN, hosts=hosts, root="/photos", proxies=["10.0.0.0/8"])
    visitor = TestClient(
        app, client=("10.0.0.5", 1), base_url=INSIDE, raise_server_exceptions=False, follow_redirects=False
    )

    def call(path=WHERE, method="GET", body=None, **headers):
        given = {"authorization": basic(f"{NAME}:{PASSWORD}"), "x-forwarded-for": "203.0.113.7"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = {name.encode(): value.encode("latin-1", "replace") for name, value in given.items() if value is not None}
        answer = visitor.request(method, path, headers=raw, json=body)
        assert answer.status_code < 500, answer.text
        visitor.cookies.clear()
        return answer

    return call


def test_what_is_right_is_let_in(visit):
    assert visit().status_code == 200
    assert visit(authorization=f"Bearer {TOKEN}").status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        None, "", "Basic", "Basic ", "Basic =", "Basic ====", "Basic \x00", "Basic " + "A" * 100_000, "Bearer",
        "Bearer ",
        basic(""), basic(":"), basic(NAME), basic(f"{NAME}:"), basic(f":{PASSWORD}"), basic(f"{PASSWORD}:{NAME}"),
        basic(f"{NAME}:{PASSWORD}\n"), basic(f"{NAME}:{PASSWORD}\0"), basic(f"{NAME.upper()}:{PASSWORD}"),
        basic(f"{NAME}:{PASSWORD}").upper(), basic(f"{NAME}:{PASSWORD}").replace("Basic", "Digest"),
        basic(f"{NAME}:{PASSWORD}") + "!", basic(f"{NAME}:{TOKEN}"), f"Bearer {PASSWORD}", f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}\u00e9", f"Bearer  {TOKEN}", f"Basic {TOKEN}", f"Token {TOKEN}", TOKEN,
        f"Bearer {TOKEN}, Bearer x",
    ],
    ids=short,
)  # fmt: skip
def test_what_is_no_password_and_no_token(visit, said):
    for path in (WHERE, "/photos/", "/photos/v1/history", "/photos/metrics"):
        answer = visit(path, authorization=said)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert TOKEN not in answer.text
        assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    "host",
    ["", " ", "evil.com", f"{HOST}.evil.com", f"evil.com/{HOST}", f"{HOST}@evil.com", f"evil.com#{HOST}",
     f"{HOST}:x@evil.com", "10.0.0.5", "203.0.113.7", "0.0.0.0", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]",  # noqa: S104  nothing listens there
     f"{HOST}%00.evil.com",
     f".{HOST}", f"{HOST}..", "*", "a" * 10_000, "\u00e9"],
    ids=short,
)  # fmt: skip
def test_another_host(visit, host):
    assert visit(host=host).status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://evil.com", f"http://{HOST}.evil.com", f"http://{HOST}@evil.com", f"http://evil.com\\@{HOST}",
     f"https://{HOST}", f"ftp://{HOST}", f"//{HOST}", HOST, f"http://{HOST}:81:80", "http://[::1", "http://",
     "javascript:",
     f"http://{HOST}/ http://evil.com", "a" * 10_000, f"http://\u00e9.{HOST}"],
    ids=short,
)  # fmt: skip
def test_another_page(visit, origin):
    for method in ("POST", "PUT", "PATCH", "DELETE", "FOO"):
        assert visit("/photos/v1/prompts", method, origin=origin).status_code == 403


@pytest.mark.parametrize(
    ("scheme", "http", "https"),
    [("http", True, False), ("https", False, True), ("HTTPS", True, False), ("https, http", True, False),
     ("javascript", True, False), ("", True, False), ("wss", False, False), ("\x00", True, False), (None, True, False)],
)  # fmt: skip
def test_the_scheme_is_what_the_proxy_says(visit, scheme, http, https):
    for own, is_own in ((f"http://{HOST}", http), (f"https://{HOST}", https)):
        answer = visit("/photos/v1/prompts", "POST", origin=own, x_forwarded_proto=scheme)
        assert answer.status_code == (422 if is_own else 403)


@pytest.mark.parametrize(
    "chain",
    ["", ",", ", ,", "a, b", "127.0.0.1", "::1", "[::1", "1.2.3.4:99999", "1.2.3.4, 127.0.0.1", "unix:", "\x00", "-1",
     ", ".join(["1.2.3.4"] * 5000), "0x7f.1", "fe80::1%eth0", "\u00e9", "10.0.0.5, 10.0.0.5"],
    ids=short,
)  # fmt: skip
def test_an_address_that_a_proxy_passes_on(visit, monkeypatch, chain):
    """Whatever it is, it is not this machine, where more may be asked for."""
    seen = []
    monkeypatch.setattr("nulltext.web.routes.client_of", lambda state: seen.append(client_of(state)) or seen[-1])
    answer = visit("/photos/v1/edits", "POST", {"parent": "x", "prompt": "a"}, x_forwarded_for=chain)
    assert answer.status_code == 404
    assert [client.here for client in seen] == [False]
    assert len(seen[0].address) < 50


@pytest.mark.parametrize(
    "path",
    ["/photos/../v1/limits", "/photos//v1/limits", "/photosv1/limits", "//evil.com/v1/limits", "/photos//evil.com/..",
     "/photos/%2e%2e/v1/limits", "/photos/photos/v1/limits", "/photos/v1/limits/", "/photos/%2f%2fevil.com",
     "/photos/\\evil.com", "/photos/;/v1/limits", "/photos/v1/limits%00", "/%70hotos", "/photos/.//v1", "/photos?/v1"],
    ids=short,
)  # fmt: skip
def test_a_path_leads_nowhere_else(visit, path):
    for forwarded in (None, "evil.com"):
        answer = visit(path, x_forwarded_host=forwarded, x_forwarded_prefix="//evil.com", x_original_url="/v1/history")
        assert answer.status_code in {200, 307, 404}
        to = answer.headers.get("location", "/photos/")
        assert to.removeprefix(INSIDE).startswith("/photos/")
        assert "evil.com" not in to
