"""Requests on their way: no more bytes at a time than there is memory for, nor of one address than its share.

Where there is no room, those give way that are behind the minimum rate, and then those of addresses with more on their
way than the largest image: who sends a photograph is not kept out by others who stand still.
"""

import json
import threading
from collections.abc import Mapping
from typing import Any, final

from nulltext.web.clients import NOBODY, Client
from nulltext.web.gate import App, Message, Receive, Scope, Send
from nulltext.web.limits import Limits
from nulltext.web.pace import SLOW, Body

_FILES = "/v1/images"
"""What takes whole files; elsewhere an image is at most a mask within JSON."""
_MASKS = 2
"""So many times the largest image's file a request has at most that takes no files."""
_GONE: Message = {"type": "http.disconnect"}
_LARGE = 413, "This is larger than the server takes."
_BUSY = 429, "More is being sent than the server takes at a time. Try again in a moment."
_SLOW = 408, "The request came too slowly, or not to its end. Send it again."
_CLOSING = 408
"""The status after which a connection is of no more use."""


@final
class Incoming:
    """Lets an app receive what there is room for."""

    def __init__(self, app: App, limits: Limits) -> None:
        """Stands before an app.

        Args:
            app: The app.
            limits: How much there is room for.
        """
        self._app, self._limits = app, limits
        self._bodies: list[Body] = []
        self._lock = threading.RLock()

    @property
    def size(self) -> int:
        """Bytes of requests that are not answered yet."""
        with self._lock:
            return sum(body.size for body in self._bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client: Client = scope.get("state", {}).get("client", NOBODY)
        limits, path = self._limits, scope["path"]
        most = limits.request_bytes if path == _FILES else _MASKS * limits.upload_bytes
        length = _length({name.lower(): value for name, value in scope["headers"]})
        body = Body(client.address, limits.body_seconds, limits.body_rate)
        if length > most:
            await refuse(send, *_LARGE)
        elif not self._make_room(body, length):
            await refuse(send, *_BUSY)
        else:
            with self._lock:
                self._bodies.append(body)
            try:
                await self._pass_on(body, most, scope, receive, send)
            finally:
                with self._lock:
                    self._bodies.remove(body)

    async def _pass_on(self, body: Body, most: float, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the app answer, or says itself why no more of the body is taken."""
        begun = False

        async def bounded() -> Message:
            return _GONE if body.refusal is not None else await self._next(body, most, receive)

        async def sending(message: Message) -> None:
            nonlocal begun
            if begun or body.refusal is None:
                begun = True
                await send(message)

        try:
            await self._app(scope, bounded, sending)
        except Exception:
            if body.refusal is None:  # else it fails as its sender is gone for it
                raise
        if body.refusal is not None and not begun:
            await refuse(send, *body.refusal)

    async def _next(self, body: Body, most: float, receive: Receive) -> Message:
        """The next piece of a body; none if it comes too slowly, or there is no room for it."""
        message = await body.receive(receive)
        size = 0 if message is None else len(message.get("body", b""))
        if message is None:
            body.refusal = body.refusal or _SLOW
        elif body.size + size > most:
            body.refusal = _LARGE
        elif not self._make_room(body, size):
            body.refusal = _BUSY
        else:
            with self._lock:
                body.size += size
            return message
        return _GONE

    def _make_room(self, body: Body, size: int) -> bool:
        """Whether there is room for more bytes of a body, once others have given way."""
        with self._lock:
            while (over := self._over(body.address, size)) is not None:
                found = self._least(body, size, over)
                if found is None:
                    return False
                found.give_way(*_BUSY)
                found.size = 0
        return True

    def _over(self, address: str, size: int) -> str | None:
        """What has no room for more bytes of an address: that address, or "all" of them; None if there is room."""
        most = self._limits.part_bytes
        if size and self._held(address) + size > self._limits.share * most:
            return address
        return "all" if size and self.size + size > most else None

    def _held(self, address: str) -> int:
        return sum(body.size for body in self._bodies if body.address == address)

    def _least(self, body: Body, size: int, over: str) -> Body | None:
        """Which body is to give way: the one that is furthest behind, or one of an address that has much.

        Args:
            body: For which other.
            size: And for how many bytes of it.
            over: Of which address, or "all".
        """
        others = [one for one in self._bodies if one is not body and one.size and not one.whole]
        slow = [one for one in others if one.behind > SLOW and over in {"all", one.address}]
        if slow:
            return max(slow, key=lambda one: one.behind)
        image = self._limits.upload_bytes
        if over != "all" or self._held(body.address) + size > image:
            return None
        much = [one for one in others if self._held(one.address) > image]
        return max(much, key=lambda one: self._held(one.address), default=None)


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Answers with a status and a sentence."""
    closing = [(b"connection", b"close")] if status == _CLOSING else []
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"), *closing],
    }
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps({"detail": sentence}).encode()})


def _length(headers: Mapping[bytes, bytes]) -> int:
    """How long a request says that it is; 0 if it does not."""
    length = headers.get(b"content-length", b"")
    return int(length[:20]) if length.isdigit() else 0
