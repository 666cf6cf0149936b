"""The way in: through which proxies a request has come, from where, and below which path.

`Peer` looks at the connection; then the proxies' headers are read by who knows them, and only where they are believed;
`Arrived` notes the client and takes the root path off; `Below`, behind the gate, puts it back.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import final

from nulltext.errors import SettingError
from nulltext.web.clients import Client, address_of, is_here
from nulltext.web.gate import App, Message, Receive, Scope, Send
from nulltext.web.limits import Limits

_ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_OWN = ("/health", "/metrics", "/page", "/v1")
"""Paths that the server itself has, so that it cannot be below them."""
_STREAM = b"text/event-stream"


def read_root(path: str) -> str:
    """The path below which a server is reached, without a slash at its end; "" for none.

    Raises:
        SettingError: It is no path, or one that the server has itself.
    """
    root = path.rstrip("/")
    if root and (_ROOT.fullmatch(root) is None or {".", ".."} & set(root.split("/"))):
        raise SettingError(
            f"got the root path {path[:100]!r}; expected one such as /photos, of letters, digits and - . _ ~. "
            "Leave the host out."
        )
    if any(f"{root}/".startswith(f"{own}/") for own in _OWN):
        raise SettingError(f"got the root path {root}; expected another, as the server has that path itself.")
    return root


def read_proxies(given: Sequence[str]) -> tuple[str, ...]:
    """Addresses and networks of proxies in their usual notation.

    Raises:
        SettingError: One is neither.
    """
    try:
        return tuple(str(ipaddress.ip_network(one, strict=False)) for one in given)
    except ValueError as error:
        raise SettingError(
            f"got a trusted proxy that is no address ({error}); expected an IP address such as 10.0.0.5, or a network "
            "such as 10.0.0.0/8."
        ) from error


@final
class Peer:
    """Before the proxies' headers are read: looks at the connection itself, and drops the headers of strangers.

    Attributes:
        connections: How many connections one address may have, but for proxies that are trusted.
        leave: Called when the server is told to end: what is streamed ends.
    """

    def __init__(
        self,
        app: App,
        proxies: Sequence[str],
        connections: int = Limits.connections,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        """Stands before an app.

        Args:
            app: The app.
            proxies: Addresses and networks of the proxies that are trusted.
            connections: How many connections one address may have.
            leave: To be called when the server is told to end.
        """
        self.connections, self.leave = connections, leave
        self._app, self._trusted = app, [ipaddress.ip_network(proxy) for proxy in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, port = scope.get("client") or ("", 0)
        host = _plain(host)
        proxied = self.trusts(host)
        state = {**scope.get("state", {}), "proxied": proxied, "here": not proxied and is_here(scope, headers)}
        scope = {**scope, "client": (host, port), "state": state}
        if not proxied:
            scope["headers"] = [pair for pair in scope["headers"] if not pair[0].lower().startswith(b"x-forwarded-")]
        await self._app(scope, receive, send)

    def trusts(self, host: str) -> bool:
        """Whether an address is that of a proxy that is trusted."""
        try:
            address = ipaddress.ip_address(_plain(host))
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


@final
class Arrived:
    """After the proxies' headers were read: the client and the path are what they were for who asked."""

    def __init__(self, app: App, root: str) -> None:
        """Stands before an app.

        Args:
            app: The app. The paths that it is asked for are without the root path.
            root: The path below which proxies reach the server, whether they leave it in or take it off.
        """
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, root = scope["path"], self._root
        if root and path == root:  # the page's links are relative, so it must be a folder
            await _go_to(send, f"{root}/")
            return
        if root and path.startswith(f"{root}/"):
            path = path.removeprefix(root)
        client = Client(address=address_of(scope["client"][0]), here=scope["state"]["here"])
        state = {**scope["state"], "client": client}
        await self._app({**scope, "path": path, "root_path": root, "state": state}, receive, _at_once(send))


@final
class Below:
    """Puts the root path back before the path, as ASGI wants it, for an app that is behind the gate."""

    def __init__(self, app: App) -> None:
        """Stands before an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if root := scope.get("root_path", ""):
            path = root + scope["path"]
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


def _plain(host: str) -> str:
    """An address as itself, however a socket of IPv6 calls one of IPv4."""
    return host.removeprefix("::ffff:") if "." in host else host


def _at_once(send: Send) -> Send:
    """Sends on, and has proxies pass a stream of events on as it comes."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
            if any(kind.startswith(_STREAM) for kind in kinds):
                message = {**message, "headers": [*message["headers"], (b"x-accel-buffering", b"no")]}
        await send(message)

    return sending


async def _go_to(send: Send, path: str) -> None:
    start = {"type": "http.response.start", "status": 307, "headers": [(b"location", path.encode())]}
    await send(start)
    await send({"type": "http.response.body", "body": b""})
