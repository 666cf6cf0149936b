"""`nulltext web`: the app in a browser."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nulltext.cli import options, terminal
from nulltext.errors import SettingError

if TYPE_CHECKING:
    from nulltext.web.limits import Limits
    from nulltext.web.workshop import Workshop

PROXY, BOUNDS = "Behind a proxy", "Bounds"
"""The panels of the help."""


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """How the server is reached through a reverse proxy."""

    root_path: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="The path below which a reverse proxy puts it, as /photos.", rich_help_panel=PROXY
        ),
    ] = ""
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that people ask for it by, as photos.example.com; may be given several times. * is any.",
            rich_help_panel=PROXY,
        ),
    ] = None
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="An address or network of a proxy, whose word on who asks is taken; may be given several times.",
            rich_help_panel=PROXY,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of the server that are options; see `nulltext.web.limits.Limits`."""

    max_upload: Annotated[
        float, typer.Option(metavar="MB", help="The largest image's file.", rich_help_panel=BOUNDS)
    ] = 20
    max_memory: Annotated[
        float, typer.Option(metavar="GB", help="Memory for what people send and are shown.", rich_help_panel=BOUNDS)
    ] = 2
    max_disk: Annotated[
        float, typer.Option(metavar="GB", help="Disk for files; the oldest go first.", rich_help_panel=BOUNDS)
    ] = 16
    max_waiting: Annotated[int, typer.Option(min=1, help="How many jobs may wait.", rich_help_panel=BOUNDS)] = 100
    max_share: Annotated[
        float,
        typer.Option(
            help="The share of places, memory and disk that one network address may have, 0 to 1.",
            rich_help_panel=BOUNDS,
        ),
    ] = 0.25

    @property
    def limits(self) -> "Limits":
        """The same in the server's units.

        Raises:
            SettingError: One is not more than 0, or they do not go together.
        """
        from nulltext.web.limits import Limits

        return Limits(
            upload_bytes=_bytes(self.max_upload, "--max-upload", 2**20),
            memory_bytes=_bytes(self.max_memory, "--max-memory", 2**30),
            disk_bytes=_bytes(self.max_disk, "--max-disk", 2**30),
            waiting=self.max_waiting,
            share=self.max_share,
        )


def web(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A model that may be chosen: scenes, a hub id, a folder or a file; may be given several times.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 7860,
    auth: Annotated[
        str | None, typer.Option(metavar="NAME:PASSWORD", help="Ask everybody for these.", envvar="NULLTEXT_AUTH")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="Ask programs for this, as a Bearer token; browsers give it as the password.",
            envvar="NULLTEXT_TOKEN",
        ),
    ] = None,
    through: Proxies,
    bounds: Bounds,
    folder: Annotated[
        Path | None, typer.Option(help="Where files are kept; the user's cache folder if not given.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Open the app: a page to edit images in a browser, and an HTTP API beside it.

    Jobs are done one at a time; everybody has a history of their own, which is swept a month after it was used. On this
    machine alone (the default) any model may be named; who comes from elsewhere, or through a proxy, has only those
    given with --model. The API is described at /v1/docs, proxies and bounds in docs/server.md.
    """
    from nulltext.web.clients import LOOPBACK
    from nulltext.web.gate import read_auth, read_token
    from nulltext.web.server import check_port, default_folder, serve
    from nulltext.web.workshop import Workshop

    outside, limits = _outside(through, host), bounds.limits
    own = host in LOOPBACK and not (outside["root"] or through.trusted_proxy or through.allowed_host)
    check_port(host, port)
    names, place = model or ["scenes"], (folder or default_folder()).resolve()
    workshop = Workshop(place, models=names, any_model=own, limits=limits, device=device, dtype=dtype)
    app = _app(workshop, auth=read_auth(auth), token=read_token(token), **outside)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if json:
        terminal.print_json({"address": address, "api": f"{address}/v1/docs"})
    else:
        terminal.show(f"nulltext is open at {address} (API: /v1/docs). Ctrl-C closes it.")
    serve(app, host, port)


def _outside(through: Proxies, host: str) -> dict[str, Any]:
    """Who may ask for the server, and by which names, as `build` takes it."""
    from nulltext.web.entrance import read_proxies, read_root
    from nulltext.web.hosts import allowed

    root, proxies = read_root(through.root_path), read_proxies(through.trusted_proxy or ())
    hosts = allowed(host, through.allowed_host or ())
    return {"root": root, "proxies": proxies, "hosts": hosts}


def _app(workshop: "Workshop", **how: Any) -> Any:  # noqa: ANN401  as `build` takes it
    """The app over a workshop whose first model is loaded, if it is on this machine."""
    from nulltext.models.hub import is_away
    from nulltext.web.server import build

    first = workshop.models[0]
    if is_away(first):
        terminal.show(f"{first} is not on this machine; the page offers to download it.")
        return build(workshop, **how)
    with terminal.loading(first):
        workshop.model(first)
        return build(workshop, **how)


def _bytes(number: float, option: str, unit: int) -> int:
    """A size in bytes.

    Raises:
        SettingError: It is not more than 0, or no number.
    """
    if not 1 <= number * unit < float("inf"):
        raise SettingError(f"got {option} {number:g}; expected more than 0. Leave it out for the usual bound.")
    return int(number * unit)
