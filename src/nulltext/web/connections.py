"""Connections: no address has all of them, and none is kept that asks for nothing."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast, final

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from nulltext.web.clients import address_of

if sys.platform != "win32":
    import resource

SECONDS = 10.0
"""After so many seconds without a whole request's headers a connection is closed."""
_ALL = 2000
"""So many connections there are at most."""
_SHARE = 0.5
"""Which share of the files that the process may have open connections are at most."""
_FILES = 2**16
"""So many files the process asks to have open at most."""


@final
class Connections:
    """How many connections each address has.

    Attributes:
        in_all: How many all together may have.
        seconds: How long one may take to ask for something.
    """

    def __init__(
        self,
        most: int,
        *,
        in_all: int = _ALL,
        seconds: float = SECONDS,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Begins with none.

        Args:
            most: How many one address may have.
            in_all: How many all together may have.
            seconds: How long one may take to ask for something.
            trusts: Whether an address is a proxy's, which may have any number of all.
        """
        self.in_all, self.seconds = in_all, seconds
        self._most, self._trusts = most, trusts
        self._by_address: Counter[str] = Counter()

    def enter(self, host: str) -> str | None:
        """Counts one more connection; what to call `leave` with, or None if there is no place for it."""
        address = address_of(host)
        full = self._by_address.total() >= self.in_all
        if full or (self._by_address[address] >= self._most and not self._trusts(host)):
            return None
        self._by_address[address] += 1
        return address

    def leave(self, address: str) -> None:
        """One that was counted is over."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "BoundedProtocol":
        """A connection to be, as uvicorn asks for one."""
        return BoundedProtocol(self, config, server_state, app_state, _loop)


@final
class BoundedProtocol(H11Protocol):
    """A connection that is closed at once if there is no place for it, and soon if it asks for nothing."""

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Prepares it.

        Args:
            connections: All there are.
            config: As the server gives it to each; so with what follows.
            server_state: What connections share.
            app_state: What requests share.
        """
        super().__init__(config, server_state, app_state, _loop)
        self._counted = connections
        self._address: str | None = None
        self._asking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Somebody has come."""
        peer = transport.get_extra_info("peername")
        host = str(cast("tuple[Any, ...]", peer)[0]) if isinstance(peer, tuple) and peer else ""
        self._address = self._counted.enter(host)
        if self._address is None:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """They have sent something."""
        if self._address is not None:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """They were answered, and may ask for more."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        if self._address is not None:
            self._unwatch()
            self._counted.leave(self._address)
            super().connection_lost(exc)

    def _watch(self) -> None:
        """Counts the seconds from when a request may begin until its headers are whole."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._unwatch()
        elif self._asking is None:
            self._asking = self.loop.call_later(self._counted.seconds, self.transport.abort)

    def _unwatch(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None


def room() -> int:
    """How many connections the process has room for, once it may have as many files open as the machine allows it."""
    if sys.platform == "win32":
        return _ALL
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some machines allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _ALL if soft == resource.RLIM_INFINITY else max(1, min(_ALL, int(_SHARE * soft)))
