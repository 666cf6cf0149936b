"""The server: the page and the API behind one gate, and an orderly end."""

import asyncio
import importlib
import logging
import os
import socket
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nulltext import __version__
from nulltext.errors import NulltextError, SettingError
from nulltext.web.cookies import Cookies
from nulltext.web.entrance import Arrived, Below, Peer
from nulltext.web.gate import Gate
from nulltext.web.incoming import Incoming
from nulltext.web.workshop import Workshop

if TYPE_CHECKING:
    from fastapi import FastAPI

SWEEP_EVERY = 600.0
"""Seconds between two sweeps of what is old or too much."""
GRACE = 1
"""Seconds that open connections get when the server ends."""
_log = logging.getLogger(__name__)


def build(
    workshop: Workshop,
    *,
    auth: tuple[str, str] | None = None,
    token: str | None = None,
    hosts: Sequence[str] | None = None,
    root: str = "",
    proxies: Sequence[str] = (),
) -> Peer:
    """The page and the API over a workshop, as an ASGI app.

    Args:
        workshop: What does the work.
        auth: The name and password that everybody has to know.
        token: What programs may send in their place, see `nulltext.web.gate.Gate`.
        hosts: Under which names it may be asked, see `nulltext.web.hosts`; None for any.
        root: The path below which proxies reach it.
        proxies: Addresses and networks of proxies that are believed.

    Raises:
        SettingError: The libraries of the app are not installed.
        OutputWriteError: The folder of the files cannot be written.
    """
    _check_libraries()
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    limits = workshop.limits
    gate = Gate(
        Below(_app(workshop)),
        cookies=Cookies.of(workshop.people.root),
        auth=auth,
        token=token,
        most_bytes=limits.request_bytes,
        json_bytes=2 * limits.upload_bytes,
        hosts=hosts,
    )
    bounded = Incoming(gate, limits)
    arrived: Any = ProxyHeadersMiddleware(cast("Any", Arrived(bounded, root)), list(proxies))  # with types of its own
    return Peer(arrived, proxies, limits.connections, workshop.jobs.leave)


def _check_libraries() -> None:
    """Makes sure that the libraries of the app are there.

    Raises:
        SettingError: One is not installed.
    """
    try:
        for library in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
            importlib.import_module(library)
    except ImportError as error:
        raise SettingError(
            f"the app needs {error.name}, which is not installed. Run: pip install 'nulltext[web]'."
        ) from error


def _app(workshop: Workshop) -> "FastAPI":
    """The page, the API and its description; as long as they are served, old files are swept."""
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

    from nulltext.web import answers, docs, health, routes, samples, static
    from nulltext.web.studio import Studio

    stopped = threading.Event()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        sweeper = threading.Thread(target=_sweep, args=(workshop, stopped), daemon=True)
        sweeper.start()
        preparing = threading.Thread(
            target=samples.prepare, args=(stopped.is_set,), name="nulltext samples", daemon=True
        )
        preparing.start()  # nobody shall wait for them
        yield
        stopped.set()
        workshop.close()
        await asyncio.to_thread(preparing.join)  # Python may not end while another thread computes

    app = FastAPI(
        title="nulltext",
        description="Edit real photographs by changing words.",
        version=__version__,
        docs_url=None,
        openapi_url="/v1/openapi.json",
        redoc_url=None,
        lifespan=life,
    )
    app.add_exception_handler(NulltextError, answers.error_response)
    app.add_exception_handler(RequestValidationError, answers.invalid_response)
    app.include_router(routes.router(Studio(workshop)))
    app.include_router(health.router(workshop))
    app.include_router(docs.router())
    app.include_router(static.router())
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
    EndingServer(config, leave=app.leave).run_and_leave()


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


def default_folder() -> Path:
    """Where the server keeps files unless it is told: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "nulltext" / "web"


def _sweep(workshop: Workshop, stopped: threading.Event) -> None:
    while True:
        try:
            workshop.people.sweep()
            workshop.jobs.forget()
        except OSError:  # a file that cannot be looked at now may be next time
            _log.exception("old files could not be swept")
        if stopped.wait(SWEEP_EVERY):
            return
