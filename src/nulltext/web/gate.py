"""What stands before everything else: who somebody is, and which files are theirs."""

import base64
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Awaitable, Callable, Container, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, cast, final
from urllib.parse import parse_qs

from nulltext.errors import KeptFileNotFoundError, SettingError
from nulltext.web import bodies, policy
from nulltext.web import hosts as names
from nulltext.web.people import People

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "nulltext_person"
_PERSON = re.compile(rf"(?:^|;)\s*{COOKIE}=([A-Za-z0-9_-]{{43}})\s*(?:;|$)")
"""Only this is looked for, as other servers of the same machine give cookies that no parser takes."""
_FILES, _PAGE, _BEATS = "/gradio_api/file", ("/gradio_api/", "/config"), "/gradio_api/heartbeat/"
_CLOSED = (
    "/gradio_api/call", "/gradio_api/custom_component", "/gradio_api/deep_link", "/gradio_api/dev", "/gradio_api/mcp",
    "/gradio_api/profiling", "/gradio_api/proxy", "/gradio_api/run-history", "/gradio_api/runs", "/gradio_api/stream",
    "/gradio_api/vibe", "/proxy=", "/file", "/login", "/logout", "/monitoring",
)  # fmt: skip
"""What the page does not need and others could misuse."""
_ASKING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
_SESSIONS = 100_000
"""So many tabs are remembered."""
_MOST_PEOPLE = 10_000
"""So many people are remembered of each file; who was told of it first is forgotten first."""
_REFUSED = 400
"""From this status on an answer is none."""
_SCANNED = (b"application/json", b"text/event-stream", b"text/html")


@final
class KnownFiles:
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
        within = re.escape(json.dumps(self._root)[1:-1].encode()) + rb'(?:[^"\\]|\\.)*'
        self._named = re.compile(rb'"path"(?:\s*:|\s*\]\s*,)\s*("' + within + rb'")')
        self._listed = re.compile(rb'[\[,]\s*("' + within + rb'")')
        self._to: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()

    def note(self, person: str, message: bytes, *, listed: bool = False) -> None:
        """Remembers the files that something said to a person names.

        Args:
            person: To whom.
            message: A piece of JSON.
            listed: Whether it is a list of files, as an upload is answered; else only what is said to be a path, or to
                have become one, counts: nobody is told of a file by a text of their own that reads like its name.
        """
        for match in (self._listed if listed else self._named).finditer(message):
            try:
                path: str = json.loads(match[1])
            except ValueError:  # it only looks like JSON
                continue
            if os.path.normpath(path) == path and path.startswith(self._root + os.sep):
                with self._lock:
                    people = self._to.setdefault(path, {})
                    people[person] = None
                    while len(people) > _MOST_PEOPLE:
                        del people[next(iter(people))]

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
        with self._lock:
            for path in [path for path in self._to if not Path(path).exists()]:
                del self._to[path]


@final
class Gate:
    """Lets requests through to an app, each with the person it comes from as ``request.state.person``."""

    def __init__(
        self,
        app: App,
        *,
        known_files: KnownFiles,
        auth: tuple[str, str] | None = None,
        most_bytes: float = float("inf"),
        json_bytes: float = float("inf"),
        hosts: Sequence[str] | None = None,
        functions: Container[object] | None = None,
    ) -> None:
        """Stands before an app.

        Args:
            app: The app.
            known_files: Which files the page has told whom of.
            auth: The name and password that everybody has to know, if there is one.
            most_bytes: The largest body of a request that is let through; the app writes it to the disk first.
            json_bytes: The largest body of JSON, which is held in memory.
            hosts: Under which names it may be asked, see `nulltext.web.hosts`; None for any. A page elsewhere could
                give a name of its own to this machine, and ask in its visitor's place.
            functions: The numbers of what the page can do; None for any.
        """
        self.app, self.known_files, self.most_bytes, self._hosts = app, known_files, most_bytes, hosts
        self._json_bytes, self._functions = json_bytes, functions
        self._sessions: dict[bytes, str] = {}
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
        known = person_in(headers.get("cookie", ""))
        person = known or People.new()
        if (refusal := self._refusal(scope, headers, person)) is not None:
            await _refuse(send, *refusal)
            return
        path: str = scope["path"]
        scope = {**scope, "state": {**scope.get("state", {}), "person": person}}
        page = path == "/" or path.startswith(_PAGE)
        if page:  # so that what is said to the page can be read on its way
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
        extra = [*_HEADERS, *([] if known else [_cookie(person, scope)])]
        receive = self._bounded(receive)
        if scope["method"] not in _ASKING and "json" in headers.get("content-type", "").lower():
            body = await self._json(receive, person, path, page=page)
            if not isinstance(body, bytes):
                await _refuse(send, *body)
                return
            scope["headers"] = [*(pair for pair in scope["headers"] if pair[0].lower() not in _LENGTHS),
                                (b"content-length", str(len(body)).encode())]  # fmt: skip
            receive = bodies.again(body)
        await self.app(scope, receive, self._noting(send, person, extra, page=page, listed=path.endswith("/upload")))

    def _refusal(  # noqa: PLR0911  a list of reasons, each with its sentence
        self, scope: Scope, headers: Mapping[str, str], person: str
    ) -> tuple[int, str] | None:
        """Why a request is not let through, as a status and a sentence; None if it is."""
        path, host, proxied = scope["path"], headers.get("host", ""), scope.get("state", {}).get("proxied", False)
        if self._auth is not None and not secrets.compare_digest(
            headers.get("authorization", "").encode(), self._auth.encode()
        ):
            return _WHO, "This server asks for a name and a password."
        if self._hosts is not None and not names.known(host, self._hosts):
            return 403, (
                f"This server is not called that. Ask it as {self._hosts[0]}, or start it with --allowed-host and the "
                "name that you asked for."
            )
        if scope["method"] not in _ASKING and not names.is_own(headers, self._hosts, proxied=proxied):
            return 403, "This was asked by another site's page."
        message = headers.get("content-length", "")
        if message.isdecimal() and int(message[:20]) > self.most_bytes:
            return _LARGE
        if (kind := _kind_refusal(scope, headers)) is not None:
            return kind
        sessions = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [])
        sessions += [path.removeprefix(_BEATS)] if path.startswith(_BEATS) else []
        if any(self._whose(session, person) != person for session in sessions):
            return 403, "This page is not yours."
        if path.startswith(_FILES):
            theirs = self.known_files.knows(person, path.removeprefix(_FILES).removeprefix("="))
            return None if theirs else (403, "This file is not yours, or is gone.")
        return (404, "There is nothing here.") if path.startswith(_CLOSED) else None

    async def _json(self, receive: Receive, person: str, path: str, *, page: bool) -> bytes | tuple[int, str]:
        """A body of JSON, rewritten so that it can be read in one way only; or why it is not let through.

        The page's library opens every file that JSON names to it, wherever that lies.
        """
        raw = await bodies.read(receive, min(self._json_bytes, bodies.PAGE_BYTES) if page else self._json_bytes)
        if raw is None:
            return _LARGE
        try:
            value, body = bodies.parse(raw)
        except SettingError as error:
            return 400, str(error)
        if page:
            if not bodies.names_only_files_of(value, lambda path: self.known_files.knows(person, path)):
                return 403, "This names a file that is not yours, or is gone. Give it again."
            session = cast("dict[str, Any]", value).get("session_hash") if isinstance(value, dict) else None
            if session is not None and (not isinstance(session, str) or self._whose(session, person) != person):
                return 403, "This page is not yours."
            if self._functions is not None and path.endswith(bodies.CALLS):
                asked = cast("dict[str, Any]", value).get("fn_index") if isinstance(value, dict) else None
                if type(asked) is not int or asked not in self._functions:
                    return 400, "This is nothing that the page can do. Load it again."
        return body

    def _whose(self, session: str, person: str) -> str:
        """Whose a tab of the page is: the first person's that spoke of it, as long as it is remembered."""
        while len(self._sessions) > _SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        # A digest, as what a tab is called may be as long as an address.
        return self._sessions.setdefault(hashlib.sha256(session.encode()).digest(), person)

    def _bounded(self, receive: Receive) -> Receive:
        """Receives no more than is let through; who sends more without saying so is taken for gone."""
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return message if got <= self.most_bytes else {"type": "http.disconnect"}

        return bounded

    def _noting(self, send: Send, person: str, extra: list[tuple[bytes, bytes]], *, page: bool, listed: bool) -> Send:
        """Sends on with more headers, and notes which files the page names.

        The API names no such file, and an answer that refuses something may repeat what it was asked.
        """
        scanned, whole = False, _Page()

        async def noting(message: Message) -> None:
            nonlocal scanned
            if message["type"] == "http.response.start":
                headers = [(name.lower(), value) for name, value in message["headers"]]
                kinds = [value for name, value in headers if name == b"content-type"]
                scanned = page and message["status"] < _REFUSED and any(kind.startswith(_SCANNED) for kind in kinds)
                message = {**message, "headers": [*headers, *extra]}
                if scanned and kinds[0].startswith(b"text/html"):
                    whole.start = message
                    return
                if all(name != _POLICY for name, _ in headers):
                    message["headers"].append((_POLICY, policy.ANSWER))
            elif scanned:
                self.known_files.note(person, message.get("body", b""), listed=listed)
            if whole.start is None:
                await send(message)
            elif (finished := whole.take(message)) is not None:
                for one in finished:
                    await send(one)

        return noting


class _Page:
    """An answer that is held until it is whole, as its policy names the scripts in it."""

    def __init__(self) -> None:
        self.start: Message | None = None
        self._html = b""

    def take(self, message: Message) -> list[Message] | None:
        """One more piece; the whole answer if it was the last."""
        self._html += message.get("body", b"")
        if self.start is None or message.get("more_body", False):
            return None
        self.start["headers"].append((_POLICY, policy.of_page(self._html)))
        return [self.start, {"type": "http.response.body", "body": self._html}]


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


def _kind_refusal(scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """Why a request's kind of body is not taken; None if it is.

    Who stands behind the gate reads the first of two equal headers, or none; there is to be one reading.
    """
    if scope["method"] in _ASKING:
        return None
    names = [name.lower() for name, _ in scope["headers"]]
    if any(names.count(name) > 1 for name in _ONCE) or headers.get("content-encoding", "identity") != "identity":
        return 415, "This body's type is not clear; expected one type, and nothing compressed."
    path, kind = scope["path"], headers.get("content-type", "").partition(";")[0].strip().lower()
    if path.startswith("/gradio_api/"):
        wanted = bodies.PAGE.get(path)
        if wanted is None:
            return 404, "There is nothing here."
        return None if kind == wanted else (415, f"Expected {wanted}.")
    if kind == "application/x-www-form-urlencoded":
        return 415, f"Expected {bodies.FORM} or {bodies.JSON}."
    return None


_POLICY = b"content-security-policy"
_LARGE = 413, "This is larger than the server takes."
_ONCE, _LENGTHS = (b"content-type", b"content-encoding"), (b"content-length", b"transfer-encoding")
_WHO = 401
_ASK = (b"www-authenticate", b'Basic realm="nulltext", charset="UTF-8"')
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))


def _cookie(person: str, scope: Scope) -> tuple[bytes, bytes]:
    secure, path = "; Secure" if scope["scheme"] == "https" else "", scope.get("root_path") or "/"
    return b"set-cookie", f"{COOKIE}={person}; Path={path}; HttpOnly; SameSite=Lax; Max-Age=2592000{secure}".encode()


async def _refuse(send: Send, status: int, sentence: str) -> None:
    headers = [_ASK] if status == _WHO else []
    body = json.dumps({"detail": sentence}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (_POLICY, policy.ANSWER), *_HEADERS, *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
