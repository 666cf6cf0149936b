"""What stands before everything else: who somebody is, and which files are theirs."""

import base64
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, final

from nulltext.errors import KeptFileNotFoundError, SettingError
from nulltext.web.people import People

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "nulltext_person"
_PERSON = re.compile(rf"(?:^|;)\s*{COOKIE}=([A-Za-z0-9_-]{{43}})\s*(?:;|$)")
"""Only this is looked for, as other servers of the same machine give cookies that no parser takes."""
_FILES, _PAGE = "/gradio_api/file", ("/gradio_api/", "/config")
_CLOSED = (
    "/gradio_api/proxy", "/gradio_api/stream", "/gradio_api/deep_link", "/gradio_api/runs", "/proxy=", "/file",
    "/monitoring",
)  # fmt: skip
"""What the page does not need and others could misuse."""
_REFUSED = 400
"""From this status on an answer is none."""
_SCANNED = (b"application/json", b"text/event-stream", b"text/html")


@final
class Told:
    """Which files the page has told whom of: only they may fetch them.

    The page's library serves every file of its folder to whoever names it. The names cannot be guessed, but one that
    somebody was shown by another would do; so a file is given only to those whose own pages have named it.
    """

    def __init__(self, root: Path) -> None:
        """Begins with nobody knowing of anything.

        Args:
            root: The folder of the files.
        """
        self._root = str(root.resolve())
        self._pattern = re.compile(rb'"' + re.escape(json.dumps(self._root)[1:-1].encode()) + rb'(?:[^"\\]|\\.)*"')
        self._to: dict[str, set[str]] = {}

    def note(self, person: str, said: bytes) -> None:
        """Remembers the files that something said to a person names.

        Args:
            person: To whom.
            said: A piece of JSON.
        """
        for match in self._pattern.finditer(said):
            try:
                path: str = json.loads(match[0])
            except ValueError:  # it only looks like JSON
                continue
            if os.path.normpath(path) == path and path.startswith(self._root + os.sep):
                self._to.setdefault(path, set()).add(person)

    def knows(self, person: str, path: str) -> bool:
        """Whether a person was told of a file."""
        return person in self._to.get(path, ())

    def read(self, person: str, path: str) -> bytes:
        """A file that a person has uploaded, or was told of.

        Raises:
            KeptFileNotFoundError: They were not, or it is gone.
        """
        file = Path(path)
        if not self.knows(person, path) or not file.is_file():
            raise KeptFileNotFoundError("the file is not here any more; expected one that you gave. Give it again.")
        return file.read_bytes()

    def forget(self) -> None:
        """Forgets the files that are gone."""
        self._to = {path: persons for path, persons in self._to.items() if Path(path).exists()}


@final
class Gate:
    """Lets requests through to an app, each with the person it comes from as ``request.state.person``."""

    def __init__(
        self, app: App, *, told: Told, auth: tuple[str, str] | None = None, most_bytes: float = float("inf")
    ) -> None:
        """Stands before an app.

        Args:
            app: The app.
            told: Which files the page has told whom of.
            auth: The name and password that everybody has to know, if there is one.
            most_bytes: The largest body of a request that is let through; the app writes it to the disk first.
        """
        self.app, self.told, self.most_bytes = app, told, most_bytes
        self._auth = None if auth is None else "Basic " + base64.b64encode(":".join(auth).encode()).decode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":  # nothing here has one
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._auth is not None and not secrets.compare_digest(
            headers.get("authorization", "").encode(), self._auth.encode()
        ):
            await _refuse(send, 401, "This server asks for a name and a password.", _ASK)
            return
        said = headers.get("content-length", "")
        if said.isdecimal() and int(said[:20]) > self.most_bytes:
            await _refuse(send, 413, "This is larger than the server takes.")
            return
        known = person_in(headers.get("cookie", ""))
        person = known or People.new()
        path: str = scope["path"]
        named = path.removeprefix(_FILES).removeprefix("=")
        if path.startswith(_FILES) and not self.told.knows(person, named):
            await _refuse(send, 403, "This file is not yours, or is gone.")
            return
        if not path.startswith(_FILES) and path.startswith(_CLOSED):
            await _refuse(send, 404, "There is nothing here.")
            return
        scope = {**scope, "state": {**scope.get("state", {}), "person": person}}
        page = path == "/" or path.startswith(_PAGE)
        if page:  # so that what is said to the page can be read on its way
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
        extra = [*_HEADERS, *([] if known else [_cookie(person, https=scope["scheme"] == "https")])]
        await self.app(scope, self._bounded(receive), self._noting(send, person, extra, page=page))

    def _bounded(self, receive: Receive) -> Receive:
        """Receives no more than is let through; who sends more without saying so is taken for gone."""
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return message if got <= self.most_bytes else {"type": "http.disconnect"}

        return bounded

    def _noting(self, send: Send, person: str, extra: list[tuple[bytes, bytes]], *, page: bool) -> Send:
        """Sends on with more headers, and notes which files the page names.

        The API names no such file, and an answer that refuses something may repeat what it was asked.
        """
        scanned = False

        async def noting(message: Message) -> None:
            nonlocal scanned
            if message["type"] == "http.response.start":
                kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
                scanned = page and message["status"] < _REFUSED and any(kind.startswith(_SCANNED) for kind in kinds)
                message = {**message, "headers": [*message["headers"], *extra]}
            elif scanned:
                self.told.note(person, message.get("body", b""))
            await send(message)

        return noting


def person_in(cookies: str) -> str | None:
    """The person that a request's cookies name, if they name one."""
    found = _PERSON.search(cookies)
    return found[1] if found else None


def read_auth(text: str | None) -> tuple[str, str] | None:
    """NAME:PASSWORD as two.

    Raises:
        SettingError: It is not that.
    """
    if text is None:
        return None
    name, colon, password = text.partition(":")
    if not name or not colon or not password:
        raise SettingError("got a name and password that are not NAME:PASSWORD; expected both, with a colon between.")
    return name, password


_ASK = (b"www-authenticate", b'Basic realm="nulltext", charset="UTF-8"')
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))


def _cookie(person: str, *, https: bool) -> tuple[bytes, bytes]:
    secure = "; Secure" if https else ""
    return b"set-cookie", f"{COOKIE}={person}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000{secure}".encode()


async def _refuse(send: Send, status: int, sentence: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"detail": sentence}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), *_HEADERS, *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
