"""`nulltext web`: the app in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from nulltext.cli import options, terminal
from nulltext.errors import SettingError


def web(
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
    share: Annotated[
        bool, typer.Option("--share", help="Also open a public address on gradio.live; anybody who knows it gets in.")
    ] = False,
    auth: Annotated[
        str | None, typer.Option(metavar="NAME:PASSWORD", help="Ask everybody for these.", envvar="NULLTEXT_AUTH")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where files are kept; the user's cache folder if not given.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Open the app: a page to edit pictures in a browser, and an HTTP API beside it.

    Jobs are done one at a time; everybody has files of their own, which are swept after a day. On this machine alone
    (the default) any model may be named in the page; for others only those given with --model. The API is described at
    /api/docs.
    """
    from nulltext.web.gate import read_auth
    from nulltext.web.server import LOOPBACK, build, check_port, default_folder, public_address, serve
    from nulltext.web.workshop import Workshop

    if share and host not in LOOPBACK:
        raise SettingError(f"got --share with --host {host}; expected one of them. The public address leads here.")
    own = host in LOOPBACK and not share
    check_port(host, port)
    names = model or ["scenes"]
    workshop = Workshop((folder or default_folder()).resolve(), models=names, any_model=own, device=device, dtype=dtype)
    with terminal.loading(names[0]):
        workshop.model(names[0])
        app = build(workshop, auth=read_auth(auth), hosts=LOOPBACK if own else None)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    public = public_address(port) if share else None
    if json:
        terminal.print_json({"address": address, "api": f"{address}/api/docs", "public_address": public})
    else:
        terminal.show(f"nulltext is open at {address} (API: /api/docs). Ctrl-C closes it.")
        if public is not None:
            terminal.show(f"and for everybody at {public}")
    serve(app, host, port)
