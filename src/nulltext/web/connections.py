"""Connections: no address has all of them, and none is kept that asks for nothing or does not read its answer."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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
LINGER = 30.0
"""After so many seconds a connection is closed whose request was answered, and whose body goes on."""
READ_RATE = 8 * 2**10
"""Bytes a second at which an answer is read; who reads less in `LINGER` seconds is not waited for."""
_ALL = 2000
"""So many connections there are at most."""
_SHARE = 0.5
"""Which share of the files that the process may have open connections are at most."""
_FILES = 2**16
"""So many files the process asks to have open at most."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """A connection that is counted.

    Attributes:
        address: Whose it is; see `Client`.
        trusted: Whether that is a proxy's.
        busy: Says whether something is being answered on it.
        close: Closes it at once.
    """

    address: str
    trusted: bool
    busy: Callable[[], bool]
    close: Callable[[], None]


@final
class Connections:
    """How many connections each address has.

    Attributes:
        in_all: How many all together may have.
        seconds: How long one may take to ask for something.
        linger: How long one may go on sending what was answered already, or stand still while it reads.
    """

    def __init__(
        self,
        most: int,
        *,
        in_all: int = _ALL,
        seconds: float = SECONDS,
        linger: float = LINGER,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Begins with none.

        Args:
            most: How many one address may have.
            in_all: How many all together may have.
            seconds: How long one may take to ask for something.
            linger: How long one may go on sending what was answered already, or stand still while it reads.
            trusts: Whether an address is a proxy's, which may have any number of all.
        """
        self.in_all, self.seconds, self.linger = in_all, seconds, linger
        self._most, self._trusts = most, trusts
        self._by_address: dict[str, list[Place]] = {}

    def enter(
        self, host: str, busy: Callable[[], bool] = lambda: False, close: Callable[[], None] = lambda: None
    ) -> Place | None:
        """Counts one more connection.

        If all have as many as they may, the address that has most gives one up for one that has fewer.

        Args:
            host: From where.
            busy: Says whether something is being answered on it.
            close: Closes it at once.

        Returns:
            What to call `leave` with, or None if there is no place for it.
        """
        address = address_of(host)
        own = len(self._by_address.get(address, ()))
        full = sum(map(len, self._by_address.values())) >= self.in_all
        trusted = self._trusts(host)
        if (own >= self._most and not trusted) or (full and not self._give_up(own)):
            return None
        place = Place(address=address, trusted=trusted, busy=busy, close=close)
        self._by_address.setdefault(address, []).append(place)
        return place

    def leave(self, place: Place) -> None:
        """One that was counted is over."""
        places = self._by_address.get(place.address, [])
        if place in places:  # else it was given up
            places.remove(place)
        if not places:
            self._by_address.pop(place.address, None)

    def _give_up(self, own: int) -> bool:
        """Closes a connection of who has most, if these have more than somebody with one more would have."""
        others = {one: places for one, places in self._by_address.items() if not any(each.trusted for each in places)}
        address = max(others, key=lambda one: len(others[one]), default=None)
        if address is None or len(others[address]) <= own + 1:
            return False
        place = min(others[address], key=lambda one: one.busy())  # the oldest of those that ask for nothing
        self.leave(place)
        place.close()
        return True

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
        self._place: Place | None = None
        self._asking: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Somebody has come."""
        peer = transport.get_extra_info("peername")
        host = str(cast("tuple[Any, ...]", peer)[0]) if isinstance(peer, tuple) and peer else ""
        self._place = self._counted.enter(host, self._answering, transport.abort)
        if self._place is None:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """They have sent something."""
        if self._place is not None:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """They were answered, and may ask for more."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """More is to be read than they have read."""
        super().pause_writing()
        self._unwatch()
        self._wait_for_reading()

    def resume_writing(self) -> None:
        """They have read it."""
        super().resume_writing()
        self._stop_waiting()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        self._stop_waiting()
        if self._place is not None:
            self._unwatch()
            self._counted.leave(self._place)
            super().connection_lost(exc)

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its annotation
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        """Counts the seconds in which nothing is being answered, until a request's headers are whole."""
        idle = self.conn.their_state is h11.IDLE
        dragging = self.conn.their_state is h11.SEND_BODY and not self._answering()
        if self.transport.is_closing() or self._reading is not None or not (idle or dragging):
            self._unwatch()
        elif self._asking is None:
            seconds = self._counted.seconds if idle else self._counted.linger
            self._asking = self.loop.call_later(seconds, self.transport.abort)

    def _wait_for_reading(self) -> None:
        """Ends it if little of what is to be read is read in time; else waits for the rest."""
        left, seconds = self.transport.get_write_buffer_size(), self._counted.linger

        def look() -> None:
            if left - self.transport.get_write_buffer_size() < READ_RATE * seconds:
                self.transport.abort()
            else:
                self._wait_for_reading()

        self._reading = self.loop.call_later(seconds, look)

    def _stop_waiting(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

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
