"""Where a request comes from: an address, which has a share of the server, and whether that is this machine."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""What this machine is called by itself."""
_IPV6_SITE = 64
"""So many bits of an IPv6 address are one customer's: who has one address of it has them all."""
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
"""Headers that only a proxy writes, beside those whose names begin with x-forwarded."""


@final
@dataclass(frozen=True, kw_only=True)
class Client:
    """Where a request comes from.

    Attributes:
        address: The address, or for IPv6 its /64; people behind one address share what it may have.
        here: Whether it is this machine, as far as that can be told.
    """

    address: str = ""
    here: bool = False


NOBODY = Client()
"""Who asks without a connection: code in the same process."""


def address_of(host: str) -> str:
    """What an address counts as: itself, or for IPv6 its /64; all that is no address counts as one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        return str(mapped)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False))
    return str(address)


def is_forwarded(headers: Iterable[str]) -> bool:
    """Whether a proxy has passed a request on, by the names of its headers in small letters."""
    return any(name in _FORWARDED or name.startswith("x-forwarded") for name in headers)


def is_here(scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether a request comes from this machine itself and not through a proxy on it.

    A proxy that hides itself altogether cannot be told from a browser; what usual ones leave behind is looked for:
    their headers, HTTP/1.0, and names of another machine in what the browser says.

    Args:
        scope: Of the request, with the connection's own address.
        headers: As they came, by names in small letters.
    """
    peer = (scope.get("client") or ("", 0))[0]
    try:
        loopback = ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False
    claimed = [f"//{headers.get('host', '')}", *(headers[name] for name in ("origin", "referer") if name in headers)]
    return (
        loopback
        and scope.get("http_version") != "1.0"
        and not is_forwarded(headers)
        and all(_named(address) in LOOPBACK for address in claimed)
    )


def client_of(state: Any) -> Client:  # noqa: ANN401  what the web framework keeps of a request has no type
    """Where a request comes from, as the entrance has noted it in its state."""
    return getattr(state, "client", NOBODY)


def _named(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
