"""Through which proxies a request has come, from where, and below which path."""

from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from nulltext.errors import SettingError
from nulltext.web.clients import address_of
from nulltext.web.cookies import Cookies
from nulltext.web.entrance import Arrived, Below, Peer, read_proxies, read_root
from nulltext.web.gate import Gate


@pytest.fixture
def enter():
    """A small app behind entrance and gate, asked from an address."""
    app = FastAPI()

    @app.get("/who")
    def who(request: Request):
        client = request.state.client
        return {"address": client.address, "here": client.here, "url": str(request.url), "scheme": request.url.scheme}

    @app.get("/health")
    def health():
        return "ok"

    @app.get("/events")
    def events():
        return StreamingResponse(iter(["data: 1\n\n"]), media_type="text/event-stream")

    def call(peer="127.0.0.1", proxies=(), root="", auth=None):
        gate = Gate(Below(app), cookies=Cookies(bytes(32)), auth=auth)
        rooted: Any = Arrived(gate, root)  # ASGI, in the words of two libraries
        arrived: Any = ProxyHeadersMiddleware(rooted, list(proxies))
        return TestClient(Peer(arrived, proxies), client=(peer, 1), base_url="http://localhost", follow_redirects=False)

    return call


@pytest.mark.parametrize(
    ("peer", "proxies", "forwarded", "address"),
    [
        ("203.0.113.7", [], None, "203.0.113.7"),
        ("203.0.113.7", [], "198.51.100.1", "203.0.113.7"),  # says so itself
        ("10.0.0.5", ["10.0.0.5/32"], "198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", ["10.0.0.5/32"], "9.9.9.9, 198.51.100.1", "198.51.100.1"),  # the first was made up
        ("10.0.0.5", ["10.0.0.0/8"], "9.9.9.9, 198.51.100.1, 10.0.0.6", "198.51.100.1"),
        ("10.0.0.7", ["10.0.0.5/32"], "198.51.100.1", "10.0.0.7"),
        ("10.0.0.5", ["10.0.0.5/32"], "no address", "unknown"),
        ("::ffff:10.0.0.5", ["10.0.0.5/32"], "198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3::4", [], None, "2001:db8:1:2::/64"),
        ("10.0.0.5", ["10.0.0.5/32"], "2001:db8:1:2:ffff::4", "2001:db8:1:2::/64"),
        ("fd00::1", ["fd00::/8"], "[2001:db8::4]:123", "2001:db8::/64"),
    ],
)
def test_the_client_is_the_last_address_that_nobody_trusts(enter, peer, proxies, forwarded, address):
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert enter(peer, proxies).get("/who", headers=headers).json()["address"] == address


@pytest.mark.parametrize(
    ("host", "address"),
    [("::1", "::/64"), ("fe80::1%eth0", "fe80::/64"), ("::ffff:1.2.3.4", "1.2.3.4"), ("", "unknown"), ("x", "unknown")],
)
def test_what_an_address_counts_as(host, address):
    assert address_of(host) == address


@pytest.mark.parametrize(
    ("peer", "proxies", "headers", "here"),
    [
        ("127.0.0.1", [], {}, True),
        ("::1", [], {"origin": "http://localhost", "referer": "http://127.0.0.1:7860/"}, True),
        ("10.0.0.5", [], {}, False),
        ("127.0.0.1", ["127.0.0.1/32"], {}, False),
        ("127.0.0.1", [], {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", [], {"x-forwarded-proto": "https"}, False),
        ("127.0.0.1", [], {"forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", [], {"via": "1.1 proxy"}, False),
        ("127.0.0.1", [], {"x-real-ip": "127.0.0.1"}, False),
        ("127.0.0.1", [], {"host": "photos.example.com"}, False),
        ("127.0.0.1", [], {"referer": "https://photos.example.com/"}, False),
        ("127.0.0.1", [], {"origin": "null"}, False),
        ("127.0.0.1", [], {"referer": "http://["}, False),
        ("no address", [], {}, False),
    ],
)
def test_who_is_at_this_machine(enter, peer, proxies, headers, here):
    assert enter(peer, proxies).get("/who", headers=headers).json()["here"] is here


def test_only_a_trusted_proxy_says_that_the_page_is_secure(enter):
    headers = {"x-forwarded-proto": "https"}
    trusted = enter(proxies=["127.0.0.1/32"]).get("/who", headers=headers)
    stranger = enter().get("/who", headers=headers)
    assert (trusted.json()["scheme"], stranger.json()["scheme"]) == ("https", "http")
    assert "; Secure" in trusted.headers["set-cookie"]
    assert "; Secure" not in stranger.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/photos/who", "/who"])
def test_below_a_path_that_the_proxy_leaves_in_or_takes_off(enter, path):
    answer = enter(root="/photos").get(path)
    assert answer.json()["url"] == "http://localhost/photos/who"
    assert "; Path=/photos;" in answer.headers["set-cookie"]


def test_the_path_itself_is_a_folder(enter):
    answer = enter(root="/photos").get("/photos")
    assert (answer.status_code, answer.headers["location"]) == (307, "/photos/")


@pytest.mark.parametrize("path", ["/photos/health", "/health"])
def test_the_gate_sees_the_path_that_the_app_sees(enter, path):
    """It lets an orchestrator ask for this one."""
    assert enter(root="/photos", auth=("ann", "correct horse")).get(path).status_code == 200
    assert enter(root="/photos", auth=("ann", "correct horse")).get("/photos/who").status_code == 401


def test_a_stream_is_passed_on_as_it_comes(enter):
    assert enter().get("/events").headers["x-accel-buffering"] == "no"
    assert "x-accel-buffering" not in enter().get("/who").headers


@pytest.mark.parametrize(
    ("read", "given"),
    [
        *[(read_root, root) for root in ("photos", "https://a.com/b", "/a b", "/a//b", "/../a", "/a/.", "/é", "/v1")],
        (read_root, "/page/x"),
        *[(read_proxies, [proxy]) for proxy in ("*", "proxy.example.com", "10.0.0.0/33", "", "10.0.0.1:80")],
    ],
)
def test_what_makes_no_sense(read, given):
    with pytest.raises(SettingError, match="expected"):
        read(given)


def test_what_does():
    assert [read_root(root) for root in ("", "/", "/photos/", "/a/b-c", "/v12")] == [
        "",
        "",
        "/photos",
        "/a/b-c",
        "/v12",
    ]
    assert read_proxies(["10.0.0.5", "10.1.2.3/8", "::1"]) == ("10.0.0.5/32", "10.0.0.0/8", "::1/128")
