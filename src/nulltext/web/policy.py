"""What a browser may load and run of an answer: the Content-Security-Policy of each kind."""

import base64
import hashlib
import re

_INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

ANSWER = _NOTHING.encode()
"""Of JSON and files: nothing in them is run, whatever it says."""
DOCS = f"{_NOTHING}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'".encode()
"""Of the API's description."""
PAGE = (
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; script-src 'self'; "
    b"style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; manifest-src 'self'"
)
"""Of the page: its own files and images made in the browser, nothing inline and nothing from elsewhere."""


def of_page(html: bytes) -> bytes:
    """Of the page: only the inline scripts that it was sent with run, and nothing comes from elsewhere.

    Its library writes styles into elements, and makes functions of text where it draws plots and paint.
    """
    hashes = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(html))
    scripts = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'self'; script-src 'self' 'unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' blob: data:; media-src 'self' blob: data:; font-src 'self' data:; "
        "connect-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'self'"
    ).encode()
