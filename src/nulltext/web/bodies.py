"""What a request may carry: JSON is read once, checked, and passed on in one reading."""

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, cast
from urllib.parse import unquote

from nulltext.errors import SettingError

JSON, FORM = "application/json", "multipart/form-data"
PAGE: dict[str, str] = {
    "/gradio_api/upload": FORM,
    "/gradio_api/queue/join": JSON,
    "/gradio_api/run/predict": JSON,
    "/gradio_api/cancel": JSON,
    "/gradio_api/reset": JSON,
}
"""To what the page sends something, and of which type. Its library takes more, in more ways; nothing else is let in."""
CALLS = ("/queue/join", "/run/predict")
"""Which of these ask for one of the page's functions."""
PAGE_BYTES = 2**20
"""The largest JSON that the page sends: prompts, numbers and the names of files."""
MOST_PARTS = 10_000
"""So many values JSON may have: far more than any request needs, and read at once."""
_FILE = "/gradio_api/file="

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


def names_only_files_of(value: object, knows: Callable[[str], bool]) -> bool:
    """Whether every file that JSON names is one of which its sender was told.

    Args:
        value: What the JSON says.
        knows: Whether the sender was told of a path.
    """
    return all(_known(name, value_text, knows) for name, value_text in _pairs(value) if name in {"path", "url"})


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    """Every name in JSON with its value, however deep, names in lower case."""
    left: list[object] = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            pairs = cast("dict[str, object]", one)
            yield from ((name.strip().lower(), value_text) for name, value_text in pairs.items())
            left.extend(pairs.values())
        elif isinstance(one, list):
            left.extend(cast("list[object]", one))


def _known(name: str, value_text: object, knows: Callable[[str], bool]) -> bool:
    if not isinstance(value_text, str):
        return value_text is None and name == "url"  # a path is always said
    _, here, path = value_text.rpartition(_FILE)
    return knows(value_text) if name == "path" else bool(here) and (knows(path) or knows(unquote(path)))
