"""nginx, and the app behind it."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from typing import Literal

import uvicorn

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SOON = 60.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(ready):
    end = time.monotonic() + SOON
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def serving(app, lifespan: Literal["on", "off"] = "on"):
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", proxy_headers=False, lifespan=lifespan))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    yield port
    server.should_exit = server.force_exit = True
    thread.join(SOON)


@contextlib.contextmanager
def proxy(folder, *servers):
    """nginx with all that it writes in a folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    config, user = folder / "nginx.conf", "user root;" if os.geteuid() == 0 else ""  # else it cannot see the folder
    config.write_text(
        f"daemon off; {user} pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{''.join(servers)} }}"
    )
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-c", config, "-p", folder, "-e", folder / "error.log"])
    try:
        ports = [int(port) for server in servers for port in re.findall(r"listen 127.0.0.1:(\d+)", server)]
        until(lambda: process.poll() is not None or all(answers(port) for port in ports))
        assert process.poll() is None, (folder / "error.log").read_text()
        yield ports[0]
    finally:
        process.terminate()
        process.wait(SOON)
