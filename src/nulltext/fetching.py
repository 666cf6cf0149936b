"""Images by their address: http and https alone, with bounds on size and time.

Nothing here is reached by the server, whose visitors could otherwise make it ask addresses that only it can reach.
"""

import re
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from nulltext import __version__
from nulltext.errors import ImageError, ImageNotFoundError, ImageTooLargeError, shown

MOST_BYTES: Final = 256 * 2**20
"""The largest file that is fetched."""
TIMEOUT_S: Final = 20.0
"""How long an answer, or the next part of it, is waited for, seconds."""
DEADLINE_S: Final = 300.0
"""How long a whole file may take, seconds."""
_PART: Final = 2**16
_ADDRESS: Final = re.compile(r"https?://", re.IGNORECASE)


def is_address(source: object) -> bool:
    """Whether it is text that begins as the address of a web page does."""
    return isinstance(source, str) and _ADDRESS.match(source) is not None


def name_in(address: str) -> str:
    """The name of the file at an address, such as "cat.jpg"; "image" where it has none."""
    return unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2] or "image"


def fetch(address: str) -> bytes:
    """What is at an address.

    Args:
        address: http or https; up to ten redirections to such are followed.

    Raises:
        ImageNotFoundError: There is nothing, no answer, or no network.
        ImageTooLargeError: It is larger than `MOST_BYTES`.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirection(),
    ):  # none for files and other protocols, which a redirection could name
        opener.add_handler(handler)
    try:
        request = urllib.request.Request(address, headers={"User-Agent": f"nulltext/{__version__}"})  # noqa: S310  see above
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return _read(answer, address)
    except ImageError:
        raise
    except urllib.error.HTTPError as error:
        with error:
            reason = " ".join(str(error.reason).split())
        raise ImageNotFoundError(
            f"{shown(address)} answered {error.code} {shown(reason)}; expected an image. Check the address."
        ) from error
    except (OSError, HTTPException, ValueError) as error:  # a name that is none, no network, an answer that is no HTTP
        reason = getattr(error, "reason", error)
        raise ImageNotFoundError(
            f"cannot fetch {shown(address)}: {reason}. Check the address and the network, or give a file."
        ) from error


def _read(answer: Any, address: str) -> bytes:  # noqa: ANN401  urllib says no type
    until, parts, size = time.monotonic() + DEADLINE_S, list[bytes](), 0
    while part := answer.read(_PART):
        size += len(part)
        if size > MOST_BYTES:
            raise ImageTooLargeError(
                f"{shown(address)} has more than {MOST_BYTES // 2**20} MB; expected an image file. Give a smaller one."
            )
        if time.monotonic() > until:
            raise OSError(f"it took more than {DEADLINE_S:g} s")
        parts.append(part)
    return b"".join(parts)


class _Redirection(urllib.request.HTTPRedirectHandler):
    """Follows to http and https alone; the base class knows ftp as well."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:  # noqa: ANN401, PLR0917  as urllib calls it
        if not is_address(newurl):
            fp.close()
            raise OSError(f"it leads to {shown(newurl)}, which is neither http nor https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
