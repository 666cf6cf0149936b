"""What a browser may load and run of an answer: the Content-Security-Policy of each kind."""

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
