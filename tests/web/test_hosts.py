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
        ("0.0.0.0", [], "10.0.0.6:7860", True),  # noqa: S104
        ("::", [], "[2001:db8::1]:7860", True),
        ("0.0.0.0", [], "rebound.evil.net", False),  # noqa: S104
        ("0.0.0.0", ["mine.local"], "mine.local", True),  # noqa: S104
        ("fe80::1", [], "[fe80::1]:7860", True),
    ],
)
def test_names(listening, given, host, answer):
    assert known(host, allowed(listening, given)) is answer


@pytest.mark.parametrize("name", ["http://photos.example.com", "a/b", "", "a b", "a:b", "a:b:c", "[::g]", "a,b", "é"])
def test_what_is_no_name(name):
    with pytest.raises(SettingError, match="expected a name"):
        allowed("127.0.0.1", [name])


@pytest.mark.parametrize(
    ("headers", "proxied", "answer"),
    [
        ({"host": "a.com"}, False, True),
        ({"host": "a.com", "origin": "https://a.com"}, False, True),
        ({"host": "a.com", "origin": "https://a.com:8443"}, False, False),
        ({"host": "a.com", "origin": "https://a.com:8443"}, True, True),  # nginx's $host is without a port
        ({"host": "a.com:80", "origin": "https://a.com:8443"}, True, False),
        ({"host": "a.com", "origin": "https://b.com"}, True, False),
        ({"host": "a.com", "origin": "null"}, True, False),
        ({"host": "127.0.0.1:7860", "origin": "https://a.com"}, False, False),
        ({"host": "127.0.0.1:7860", "origin": "https://public.com:8443"}, False, True),  # named with --allowed-host
        ({"host": "127.0.0.1:7860", "origin": "https://a.com", "sec-fetch-site": "same-origin"}, False, True),
        ({"host": "127.0.0.1:7860", "origin": "https://a.com", "sec-fetch-site": "same-site"}, False, False),
        ({"host": "a.com:x", "origin": "https://a.com:y"}, True, False),
    ],
)
def test_pages(headers, proxied, answer):
    assert is_own(headers, ("localhost", "public.com:8443"), proxied=proxied) is answer
