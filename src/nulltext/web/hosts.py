"""Under which names a server may be asked, and whether it is its own page that asks."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from nulltext.errors import SettingError
from nulltext.web.clients import LOOPBACK

ANY = "*"
"""Stands for every name."""
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  nothing listens there by this
_ORIGIN = re.compile(r"https?://[^\s/@\\?#]+")
"""What a browser says of a page: a scheme and a host, without anything before or behind it."""
_NAME = re.compile(r"[A-Za-z0-9_.-]+(:\d{1,5})?|\[(?P<address>[0-9A-Fa-f:.]+)\](:\d{1,5})?")


def allowed(host: str, given: Sequence[str]) -> tuple[str, ...]:
    """Under which names a server may be asked.

    Args:
        host: The address that it listens on; on all of them it may be asked by any address, but not by any name, as
            anybody may give a name to an address.
        given: More of them: NAME, NAME:PORT, or * for any.

    Raises:
        SettingError: One of them is no name.
    """
    for name in given:
        if not _is_name(name):
            raise SettingError(
                f"got the host {name[:100]!r}; expected a name such as photos.example.com, with a port if people write "
                "one, or * for any. Leave http:// and the path out."
            )
    return tuple(dict.fromkeys([*LOOPBACK, host.lower(), *(name.lower() for name in given)]))


def known(host: str, names: Sequence[str] | None) -> bool:
    """Whether a server may be asked as `host`, the header of that name.

    Args:
        host: With a port or without.
        names: As `allowed` gives them; None for any.
    """
    if names is None or ANY in names:
        return True
    asked = split(f"//{host}").hostname
    if asked is None:
        return False
    return asked in {_bare(name) for name in names} or (not _EVERYWHERE.isdisjoint(names) and _is_address(asked))


def is_own(headers: Mapping[str, str], names: Sequence[str] | None, scheme: str, *, proxied: bool) -> bool:
    """Whether a request comes from a page of this server, or from no page.

    Args:
        headers: Of the request, by names in small letters.
        names: As `allowed` gives them; None for any.
        scheme: By which it was asked for, http or https: a trusted proxy says by which its own page was.
        proxied: Whether a proxy that is trusted has passed it on, which may have left the port out.
    """
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None or headers.get("sec-fetch-site") == "same-origin":  # the browser itself says so
        return True
    page = split(origin)
    if page.scheme != scheme or _ORIGIN.fullmatch(origin) is None or _port(page) == 0:
        return False
    if page.netloc in {host, headers.get("x-forwarded-host", host)} or page.netloc in (names or ()):
        return True
    asked = split(f"//{host}")
    return proxied and _port(asked) is None and page.hostname is not None and page.hostname == asked.hostname


def split(address: str) -> SplitResult:
    """An address in its parts, all empty if it is none."""
    try:
        parts = urlsplit(address)
        _ = parts.hostname
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _port(parts: SplitResult) -> int | None:
    """A port; None if there is none, and 0 if it is no number."""
    try:
        return parts.port
    except ValueError:
        return 0


def _bare(name: str) -> str:
    """A name without a port."""
    return name if _is_address(name) else split(f"//{name}").hostname or name


def _is_name(name: str) -> bool:
    """Whether it is a name or an address, with a port or without, or stands for all."""
    found = _NAME.fullmatch(name)
    if found is None or found["address"] is None:
        return found is not None or name == ANY or _is_address(name)
    return _is_address(found["address"])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
