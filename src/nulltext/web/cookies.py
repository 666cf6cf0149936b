"""Who somebody is: a secret in a cookie that this server has signed, or a token that a program sends."""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import final

from nulltext.errors import OutputExistsError, OutputWriteError
from nulltext.files import write_file

COOKIE = "nulltext_person"
_PERSON = re.compile(rf"(?:^|;)\s*{COOKIE}=([A-Za-z0-9_-]{{43}})\.([A-Za-z0-9_-]{{43}})\s*(?:;|$)")
"""Only this is looked for, as other servers of the same machine give cookies that no parser takes."""
_SECRET = "secret"  # noqa: S105  the file's name
_BYTES = 32


@final
class Cookies:
    """Signs persons, and knows its own signature again."""

    def __init__(self, secret: bytes) -> None:
        """Over a secret that nobody else knows.

        Args:
            secret: The same for as long as cookies shall hold.
        """
        self._secret = secret

    @staticmethod
    def of(folder: Path) -> "Cookies":
        """With the secret that a folder keeps, so that people stay who they are when the server starts again.

        Raises:
            OutputWriteError: The folder cannot be read or written.
        """
        path = folder / _SECRET
        with suppress(OutputExistsError):  # another process was quicker, or it was there
            if not path.exists():
                write_file(path, secrets.token_bytes(_BYTES))
                path.chmod(0o600)
        try:
            secret = path.read_bytes()
        except OSError as error:
            raise OutputWriteError(f"cannot read {path}: {error.strerror}. Choose another folder.") from error
        if len(secret) != _BYTES:
            raise OutputWriteError(
                f"{path} has {len(secret)} bytes; expected {_BYTES}. Remove it: people then begin anew."
            )
        return Cookies(secret)

    def person(self, cookies: str) -> str | None:
        """The person that a request's cookies name, if this server has signed it."""
        found = _PERSON.search(cookies)
        if found is None or not hmac.compare_digest(self._sign(found[1]), found[2]):
            return None
        return found[1]

    def value(self, person: str) -> str:
        """What a cookie says of a person."""
        return f"{person}.{self._sign(person)}"

    def of_token(self, token: str) -> str:
        """The person that a token stands for: not the token itself, which is no secret to other servers."""
        return _text(hmac.digest(self._secret, b"token " + token.encode(), hashlib.sha256))

    def _sign(self, person: str) -> str:
        return _text(hmac.digest(self._secret, b"person " + person.encode(), hashlib.sha256))


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
