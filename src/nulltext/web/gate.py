"""What stands before everything else: who somebody is, whether they may ask at all, and how much they may send."""

import base64
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, final

from nulltext.errors import SettingError
from nulltext.web import bodies, policy
from nulltext.web import hosts as names
from nulltext.web.cookies import COOKIE, Cookies
from nulltext.web.people import People

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/health"
"""What an orchestrator asks, which knows no password."""
_ASKING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
_BEARER = "Bearer "
LEAST_TOKEN = 16
"""No token is shorter, in characters: it is all that keeps strangers out."""


@final
class Gate:
    """Lets requests through to an app, each with the person it comes from as ``request.state.person``."""

    def __init__(
        self,
        app: App,
        *,
        cookies: Cookies,
        auth: tuple[str, str] | None = None,
        token: str | None = None,
        most_bytes: float = float("inf"),
        json_bytes: float = float("inf"),
        hosts: Sequence[str] | None = None,
    ) -> None:
        """Stands before an app.

        Args:
            app: The app.
            cookies: What signs who people are.
            auth: The name and password that everybody has to know, if there is one.
            token: What a program may send in their place; it is then the person of that token. If there is no `auth`,
                it is the password of any name as well, for browsers.
            most_bytes: The largest body of a request that is let through; the app writes it to the disk first.
            json_bytes: The largest body of JSON, which is held in memory.
            hosts: Under which names it may be asked, see `nulltext.web.hosts`; None for any. A page elsewhere could
                give a name of its own to this machine, and ask in its visitor's place.
        """
        self.app, self.most_bytes, self._hosts, self._cookies = app, most_bytes, hosts, cookies
        self._json_bytes, self._auth, self._token = json_bytes, auth, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":  # nothing here has one
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if (refusal := self._refusal(scope, headers)) is not None:
            await _refuse(send, *refusal)
            return
        known = self._person(headers)
        person = known or People.new()
        scope = {**scope, "state": {**scope.get("state", {}), "person": person}}
        extra = [*_HEADERS, *([] if known else [_cookie(self._cookies.value(person), scope)])]
        receive = self._bounded(receive)
        if scope["method"] not in _ASKING and "json" in headers.get("content-type", "").lower():
            body = await self._json(receive)
            if not isinstance(body, bytes):
                await _refuse(send, *body)
                return
            scope["headers"] = [*(pair for pair in scope["headers"] if pair[0].lower() not in _LENGTHS),
                                (b"content-length", str(len(body)).encode())]  # fmt: skip
            receive = bodies.again(body)
        await self.app(scope, receive, _with_headers(send, extra))

    def _person(self, headers: Mapping[str, str]) -> str | None:
        """Who asks, if that is known: by the token, else by the cookie."""
        if self._token is not None and self._has_token(headers):
            return self._cookies.of_token(self._token)
        return self._cookies.person(headers.get("cookie", ""))

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        said = headers.get("authorization", "")
        wanted = f"{_BEARER}{self._token}"
        return self._token is not None and secrets.compare_digest(said.encode(), wanted.encode())

    def _may_enter(self, headers: Mapping[str, str]) -> bool:
        """Whether who asks knows what everybody has to know."""
        if (self._auth is None and self._token is None) or self._has_token(headers):
            return True
        name, password = _basic(headers.get("authorization", ""))
        if self._auth is not None:
            said, wanted = f"{name}:{password}", ":".join(self._auth)
        else:
            said, wanted = password, self._token or ""
        return secrets.compare_digest(said.encode(), wanted.encode())

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Why a request is not let through, as a status and a sentence; None if it is."""
        host, proxied = headers.get("host", ""), scope.get("state", {}).get("proxied", False)
        if scope["path"] != HEALTH and not self._may_enter(headers):
            return _WHO, "This server asks for a name and a password."
        if self._hosts is not None and not names.known(host, self._hosts):
            return 403, (
                f"This server is not called that. Ask it as {self._hosts[0]}, or start it with --allowed-host and the "
                "name that you asked for."
            )
        if scope["method"] not in _ASKING and not names.is_own(headers, self._hosts, scope["scheme"], proxied=proxied):
            return 403, "This was asked by another site's page."
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self.most_bytes:
            return _LARGE
        return _kind_refusal(scope, headers)

    async def _json(self, receive: Receive) -> bytes | tuple[int, str]:
        """A body of JSON, rewritten so that it can be read in one way only; or why it is not let through."""
        raw = await bodies.read(receive, self._json_bytes)
        if raw is None:
            return _LARGE
        try:
            return bodies.parse(raw)[1]
        except SettingError as error:
            return 400, str(error)

    def _bounded(self, receive: Receive) -> Receive:
        """Receives no more than is let through; who sends more without saying so is taken for gone."""
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return message if got <= self.most_bytes else {"type": "http.disconnect"}

        return bounded


def _with_headers(send: Send, extra: Sequence[tuple[bytes, bytes]]) -> Send:
    """Sends on with more headers, and with a policy where the answer has none of its own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message["headers"]]
            own = any(name == _POLICY for name, _ in headers)
            message = {**message, "headers": [*headers, *extra, *([] if own else [(_POLICY, policy.ANSWER)])]}
        await send(message)

    return sending


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


def read_token(text: str | None) -> str | None:
    """A token that programs send.

    Raises:
        SettingError: It is too short, or no header can hold it.
    """
    if text is not None and (len(text) < LEAST_TOKEN or not text.isascii() or not text.isprintable() or " " in text):
        raise SettingError(
            f"got a token of {len(text)} characters; expected {LEAST_TOKEN} or more letters, digits and signs, without "
            "spaces. Make one with: openssl rand -hex 32."
        )
    return text


def _basic(said: str) -> tuple[str, str]:
    """The name and password of a header; empty if it has none."""
    if not said.startswith("Basic "):
        return "", ""
    try:
        name, _, password = base64.b64decode(said[6:].encode("latin-1"), validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8
        return "", ""
    return name, password


def _kind_refusal(scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """Why a request's kind of body is not taken; None if it is.

    Who stands behind the gate reads the first of two equal headers, or none; there is to be one reading.
    """
    if scope["method"] in _ASKING:
        return None
    named = [name.lower() for name, _ in scope["headers"]]
    if any(named.count(name) > 1 for name in _ONCE) or headers.get("content-encoding", "identity") != "identity":
        return 415, "This body's type is not clear; expected one type, and nothing compressed."
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"", bodies.FORM, bodies.JSON}:
        return 415, f"Expected {bodies.FORM} or {bodies.JSON}."
    return None


_POLICY = b"content-security-policy"
_LARGE = 413, "This is larger than the server takes."
_ONCE, _LENGTHS = (b"content-type", b"content-encoding"), (b"content-length", b"transfer-encoding")
_WHO = 401
_ASK = (b"www-authenticate", b'Basic realm="nulltext", charset="UTF-8"')
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))


def _cookie(value: str, scope: Scope) -> tuple[bytes, bytes]:
    secure, path = "; Secure" if scope["scheme"] == "https" else "", scope.get("root_path") or "/"
    return b"set-cookie", f"{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age=31536000{secure}".encode()


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
