"""The body of a request on its way: it comes at a minimum rate, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SLOW = 2.0
"""A body that is so many seconds behind the minimum rate gives way to others."""


@final
class Body:
    """What of a request's body has come, and how long the rest may take.

    It has a credit of seconds, never more than at first: what it waits for is spent, and what comes is worth as many
    seconds as it takes at the minimum rate. So one that stands still is over after these seconds, however much came
    before, and one that comes in drops a little later.

    Attributes:
        address: Where it comes from; see `Client`.
        size: Bytes that have come.
        whole: Whether all have.
        refusal: Why no more of it is taken, as a status and a sentence; None if it is.
    """

    def __init__(self, address: str, seconds: float, rate: float) -> None:
        """Begins with nothing.

        Args:
            address: Where it comes from.
            seconds: How long it may stand still.
            rate: The minimum rate, in bytes a second.
        """
        self.address, self.size, self.whole = address, 0, False
        self.refusal: tuple[int, str] | None = None
        self._seconds = self._credit = seconds
        self._rate = rate
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: tuple[asyncio.Timeout, float] | None = None

    @property
    def behind(self) -> float:
        """By how many seconds it is behind the minimum rate; 0 if nothing is waited for."""
        if self._waiting is None or self._loop is None:
            return 0.0
        return self._seconds - self._credit + self._loop.time() - self._waiting[1]

    async def receive(self, receive: Receive) -> Message | None:
        """The next piece of it; None if that takes too long, or it had to give way."""
        if self.whole:  # what is waited for now is its sender's leaving
            return await receive()
        self._loop = asyncio.get_running_loop()
        began = self._loop.time()
        try:
            async with asyncio.timeout(self._credit) as waiting:
                self._waiting = waiting, began
                message = await receive()
        except TimeoutError:
            return None
        finally:
            self._waiting = None
        size = len(message.get("body", b""))
        self._credit = min(self._seconds, self._credit - (self._loop.time() - began) + size / self._rate)
        self.whole = not message.get("more_body", False)
        return message

    def give_way(self, status: int, sentence: str) -> None:
        """Ends it, as others need its place.

        Args:
            status: What its sender is answered.
            sentence: And why.
        """
        self.refusal = status, sentence
        if self._waiting is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(_end, self._waiting[0])


def _end(waiting: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it is over already
        waiting.reschedule(0)
