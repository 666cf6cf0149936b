"""Requests on their way: no more bytes at a time than there is memory for, nor of one address than its share."""

import json
import threading
from collections.abc import Mapping
from typing import Any, final

from nulltext.web.clients import NOBODY, Client
from nulltext.web.gate import App, Message, Receive, Scope, Send
from nulltext.web.limits import Limits

_FILES = "/v1/images"
"""What takes whole files; elsewhere an image is at most a mask within JSON."""
_MASKS = 2
"""So many times the largest image's file a request has at most that takes no files."""


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
        self._items: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of requests that are not answered yet."""
        with self._lock:
            return sum(self._items.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client: Client = scope.get("state", {}).get("client", NOBODY)
        path: str = scope["path"]
        most = self._limits.request_bytes if path == _FILES else _MASKS * self._limits.upload_bytes
        length = _length({name.lower(): value for name, value in scope["headers"]})
        if length > most:
            await refuse(send, 413, "This is larger than the server takes.")
        elif not self._fits(client.address, length):
            await refuse(send, 429, "More is being sent than the server takes at a time. Try again in a moment.")
        else:
            got = 0

            async def bounded() -> Message:
                nonlocal got
                message = await receive()
                size = len(message.get("body", b""))
                if got + size > most or not self._fits(client.address, size):
                    return {"type": "http.disconnect"}
                got += size
                self._note(client.address, size)
                return message

            try:
                await self._app(scope, bounded, send)
            finally:
                self._note(client.address, -got)

    def _fits(self, address: str, size: int) -> bool:
        with self._lock:
            total, own = sum(self._items.values()), self._items.get(address, 0)
        return total + size <= self._limits.part_bytes and own + size <= self._limits.share * self._limits.part_bytes

    def _note(self, address: str, size: int) -> None:
        with self._lock:
            self._items[address] = self._items.get(address, 0) + size
            if not self._items[address]:
                del self._items[address]


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Answers with a status and a sentence."""
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")],
    }
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps({"detail": sentence}).encode()})


def _length(headers: Mapping[bytes, bytes]) -> int:
    """How long a request says that it is; 0 if it does not."""
    length = headers.get(b"content-length", b"")
    return int(length[:20]) if length.isdigit() else 0
