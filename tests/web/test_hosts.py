"""Under which names a server is asked, and from whose pages."""

import pytest

from nulltext.errors import SettingError
from nulltext.web.hosts import allowed, is_own, known


@pytest.mark.parametrize(
    ("listening", "given", "host", "answer"),
    [
        ("127.0.0.1", [], "localhost:7860", True),
        ("127.0.0.1", [], "photos.example.com", False),
        ("127.0.0.1", [], "10.0.0.5:7860", False),
        ("127.0.0.1", ["Photos.example.com"], "photos.EXAMPLE.com", True),
        ("127.0.0.1", ["photos.example.com:8443"], "photos.example.com", True),
        ("127.0.0.1", ["photos.example.com"], "photos.example.com.evil.net", False),
        ("127.0.0.1", ["*"], "anything", True),
        ("127.0.0.1", ["[::2]:80"], "[::2]", True),
        ("10.0.0.5", [], "10.0.0.5:7860", True),
        ("10.0.0.5", [], "10.0.0.6:7860", False),
        ("0.0.0.0", [], "10.0.0.6:7860", True),  # noqa: S104  nothing listens there
        ("::", [], "[2001:db8::1]:7860", True),
        ("0.0.0.0", [], "rebound.evil.net", False),  # noqa: S104  nothing listens there
        ("0.0.0.0", ["mine.local"], "mine.local", True),  # noqa: S104  nothing listens there
        ("fe80::1", [], "[fe80::1]:7860", True),
    ],
)
def test_names(listening, given, host, answer):
    assert known(host, allowed(listening, given)) is answer


@pytest.mark.parametrize("name", ["http://photos.example.com", "a/b", "", "a b", "a:b", "a:b:c", "[::g]", "a,b", "é"])
def test_what_is_no_name(name):
    with pytest.raises(SettingError, match="expected a name"):
        allowed("127.0.0.1", [name])


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("host", "origin", "proxied", "answer"),
    [
        ("a.com", "a.com", False, True),
        ("a.com", "a.com:8443", False, False),
        ("a.com", "a.com:8443", True, True),  # nginx's $host is without a port
        ("a.com:80", "a.com:8443", True, False),
        ("a.com", "b.com", True, False),
        ("127.0.0.1:7860", "a.com", False, False),
        ("127.0.0.1:7860", "public.com:8443", False, True),  # named with --allowed-host
        ("a.com:x", "a.com:y", True, False),
    ],
)
def test_pages(scheme, host, origin, proxied, answer):
    """A page of another scheme is another's: who is between could have written it."""
    names, other = ("localhost", "public.com:8443"), {"http": "https", "https": "http"}[scheme]
    headers = {"host": host, "origin": f"{scheme}://{origin}"}
    assert is_own(headers, names, scheme, proxied=proxied) is answer
    assert not is_own(headers, names, other, proxied=proxied)


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, True),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "a.com"}, False),
        ({"origin": "//a.com"}, False),
        ({"origin": "ftp://a.com"}, False),
        ({"origin": "http://a.com@b.com"}, False),
        ({"origin": "http://a.com.b.com"}, False),
        ({"origin": "https://b.com", "sec-fetch-site": "same-origin"}, True),  # behind a proxy that says nothing
        ({"origin": "https://b.com", "sec-fetch-site": "same-site"}, False),
        ({"origin": "http://a.com", "sec-fetch-site": "cross-site"}, True),  # no page can say both
    ],
)
def test_what_a_browser_says_of_a_page(headers, answer):
    assert is_own({"host": "a.com", **headers}, ("localhost",), "http", proxied=False) is answer
