"""The server: the page and the API behind one gate, and an orderly end."""

import importlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nulltext import __version__
from nulltext.errors import NulltextError, SettingError
from nulltext.web.entrance import Arrived, Below, Peer
from nulltext.web.gate import Gate, KnownFiles
from nulltext.web.incoming import Incoming
from nulltext.web.workshop import Workshop

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio import Blocks

SWEEP_EVERY = 600.0
"""Seconds between two sweeps of what is old or too much."""
GRACE = 1
"""Seconds that open connections get when the server ends."""
_log = logging.getLogger(__name__)


def build(
    workshop: Workshop,
    *,
    auth: tuple[str, str] | None = None,
    hosts: Sequence[str] | None = None,
    root: str = "",
    proxies: Sequence[str] = (),
) -> Peer:
    """The page and the API over a workshop, as an ASGI app.

    Args:
        workshop: What does the work.
        auth: The name and password that everybody has to know.
        hosts: Under which names it may be asked, see `nulltext.web.hosts`; None for any.
        root: The path below which proxies reach it.
        proxies: Addresses and networks of proxies that are believed.

    Raises:
        SettingError: The libraries of the page are not installed.
    """
    uploads = workshop.people.root / "uploads"
    _prepare_libraries(uploads)
    import gradio
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from nulltext.web import page

    known_files = KnownFiles(uploads)
    blocks = _blocks(workshop, known_files)
    app = gradio.mount_gradio_app(
        _api(workshop, known_files),
        blocks,
        path="/",
        show_error=False,
        max_file_size=workshop.limits.inversion_bytes,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        theme=page.THEME,
        css=page.CSS,
        root_path=root or None,
    )
    limits = workshop.limits
    gate = Gate(
        Below(app),
        known_files=known_files,
        auth=auth,
        most_bytes=limits.request_bytes,
        json_bytes=2 * limits.upload_bytes,
        hosts=hosts,
        functions=frozenset(blocks.fns),
    )
    bounded = Incoming(gate, limits, lambda size: workshop.people.disk.grew("uploads", size))
    arrived: Any = ProxyHeadersMiddleware(cast("Any", Arrived(bounded, root)), list(proxies))  # with types of its own
    return Peer(arrived, proxies, limits.connections)


def _prepare_libraries(uploads: Path) -> None:
    """Makes sure that the libraries of the page are there, and tells them what they read when they are imported.

    Raises:
        SettingError: One is not installed.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        for library in ("fastapi", "gradio", "uvicorn"):
            importlib.import_module(library)
    except ImportError as error:
        raise SettingError(
            f"the page needs {error.name}, which is not installed. Run: pip install 'nulltext[web]'."
        ) from error


def _blocks(workshop: Workshop, known_files: KnownFiles) -> "Blocks":
    """The page with its buttons connected; the files of its samples are never swept."""
    from nulltext.web import events, page
    from nulltext.web.handlers import Handlers

    handlers = Handlers(workshop, known_files)
    laid_out = page.lay_out(handlers)
    laid_out.blocks.has_launched = True  # else its library, which is only mounted here, takes any file for a given one
    events.connect(laid_out, handlers)
    samples: Any = laid_out.open.samples.value
    workshop.people.disk.spared = frozenset(Path(sample["image"]["path"]) for sample in samples)
    return laid_out.blocks


def _api(workshop: Workshop, known_files: KnownFiles) -> "FastAPI":
    """The API and its documentation; as long as it is served, old files are swept."""
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

    from nulltext.web import answers, api, docs, health, routes, static
    from nulltext.web.studio import Studio

    stopped = threading.Event()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        sweeper = threading.Thread(target=_sweep, args=(workshop, known_files, stopped), daemon=True)
        sweeper.start()
        yield
        stopped.set()
        workshop.close()

    app = FastAPI(
        title="nulltext",
        description="Edit real photographs by changing words.",
        version=__version__,
        docs_url=None,
        openapi_url="/api/openapi.json",
        redoc_url=None,
        lifespan=life,
    )
    app.add_exception_handler(NulltextError, answers.error_response)
    app.add_exception_handler(RequestValidationError, answers.invalid_response)
    app.include_router(api.router(workshop))
    app.include_router(routes.router(Studio(workshop)))
    app.include_router(health.router(workshop))
    app.include_router(docs.router())
    app.include_router(static.router("/editor"))
    return app


def serve(app: Peer, host: str, port: int) -> None:
    """Serves until it is told to stop.

    Raises:
        SettingError: Nothing can listen there.
    """
    import uvicorn

    from nulltext.web.connections import Connections, room
    from nulltext.web.ending import EndingServer

    check_port(host, port)
    connections = Connections(app.connections, in_all=room(), trusts=app.trusts)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=cast("Any", connections.protocol),  # which makes one
        ws="none",  # nothing here has one, and one would be counted no more
        limit_concurrency=connections.in_all + 1,
        backlog=128,
        log_level="warning",
        timeout_graceful_shutdown=GRACE,
        proxy_headers=False,  # the entrance reads them, and believes nobody who was not named
    )
    EndingServer(config).run()


def check_port(host: str, port: int) -> None:
    """Makes sure that a server can listen there.

    Raises:
        SettingError: It cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise SettingError(
                f"cannot listen on {host}, port {port}: {error}. Choose another with --host and --port."
            ) from error


def public_address(port: int) -> str:
    """A public address that leads to a port of this machine.

    Raises:
        SettingError: There is none to be had.
    """
    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        raise SettingError(
            f"cannot open a public address: {error}. Connect to the network, or leave --share out."
        ) from error


def default_folder() -> Path:
    """Where the server keeps files unless it is told: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "nulltext" / "web"


def _sweep(workshop: Workshop, known_files: KnownFiles, stopped: threading.Event) -> None:
    while True:
        try:
            workshop.people.sweep()
            workshop.jobs.forget()
            known_files.forget()
        except OSError:  # a file that cannot be looked at now may be next time
            _log.exception("old files could not be swept")
        if stopped.wait(SWEEP_EVERY):
            return
