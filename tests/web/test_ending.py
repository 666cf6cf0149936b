"""Told to end, the server ends, whatever a request does."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from nulltext.web.ending import SECONDS

SERVER = """
import asyncio, sys, threading, time, uvicorn
from nulltext.web.ending import EndingServer

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/loop":
        open(sys.argv[2]).read()  # a pipe that nobody writes to
    if scope["path"] == "/busy":
        while True:
            pass
    if scope["path"] == "/thread":
        threading.Thread(target=time.sleep, args=(1000,)).start()
        await asyncio.to_thread(time.sleep, 1000)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

config = uvicorn.Config(app, port=int(sys.argv[1]), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
EndingServer(config, seconds=0.3).run()
"""


@pytest.mark.parametrize(
    ("path", "told"), [("/loop", signal.SIGTERM), ("/busy", signal.SIGINT), ("/thread", signal.SIGTERM)]
)
def test_a_request_that_hangs(tmp_path, path, told):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(pipe)], stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        with pytest.raises(httpx.TimeoutException):
            httpx.get(url + path, timeout=0.3)
        process.send_signal(told)
        process.wait(timeout=SECONDS)
    finally:
        process.kill()
        assert b"Traceback" not in process.communicate()[1]


def test_the_end_comes_soon():
    assert SECONDS < 5
