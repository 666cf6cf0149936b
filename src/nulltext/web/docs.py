"""The API's description as a page, served from the package: it works offline, and no stranger's script is in it."""

import gzip
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from nulltext.web.policy import DOCS

VERSION = "5.35.0"
"""Of npm's swagger-ui-dist, whose licence lies beside its files."""
ASSETS = {
    "swagger-ui-bundle.js": ("text/javascript", "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2"),
    "swagger-ui.css": ("text/css", "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d"),
}
"""Its files, each with its type and the SHA-256 of what was published; they are kept compressed."""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nulltext: the HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null});\n'
_HEADERS = {"content-security-policy": DOCS.decode()}


def asset(name: str) -> bytes:
    """One of the files, as it was published."""
    return gzip.decompress((files("nulltext.web") / "swagger" / f"{name}.gz").read_bytes())


def router() -> APIRouter:
    """The description's routes; addresses are relative, so that they hold below any path."""
    docs = APIRouter(prefix="/v1/docs", include_in_schema=False)

    @docs.get("")
    def page() -> Response:
        return Response(_PAGE, media_type="text/html", headers=_HEADERS)

    @docs.get("/start.js")
    def start() -> Response:
        return Response(_START, media_type="text/javascript")

    @docs.get("/{name}")
    def file(name: str) -> Response:
        if name not in ASSETS:
            return Response(status_code=404)
        return Response(asset(name), media_type=ASSETS[name][0], headers={"cache-control": "max-age=86400"})

    return docs
