"""What a request may carry: JSON is read once, checked, and passed on in one reading."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from nulltext.errors import SettingError

JSON, FORM = "application/json", "multipart/form-data"
MOST_PARTS = 10_000
"""So many values JSON may have: far more than any request needs, and read at once."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read(receive: Receive, most: float) -> bytes | None:
    """A whole body; None if it is longer than `most` bytes, or its sender is gone."""
    pieces, size = list[bytes](), 0
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if message["type"] != "http.request" or size > most:
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)


def again(body: bytes) -> Receive:
    """Receives a body that was read; then its sender is taken for gone."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> MutableMapping[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    return receive


def parse(body: bytes) -> tuple[Any, bytes]:
    """What JSON says, and the same written in the plainest way: every name once, nothing escaped that need not be.

    Raises:
        SettingError: It is none, has too many values, or one that is no finite number or no text.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_PARTS:
        raise SettingError(f"got JSON of more than {MOST_PARTS} values; expected far fewer. Send less at once.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SettingError("got a body that is no JSON; expected JSON in UTF-8. Check how it is written.") from error
    try:
        return value, json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise SettingError(
            "got half of a character (a lone surrogate); expected text. Send whole characters."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingError("got a number that is not finite; expected a number. JSON has no others.") from error
