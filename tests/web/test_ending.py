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
import asyncio, ctypes, sys, threading, time, uvicorn
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
    if scope["path"] in ("/locked", "/last"):
        if scope["path"] == "/last":  # while Python itself ends
            import atexit
            atexit.register(ctypes.PyDLL(None).sleep, 20)
        while not server.should_exit or scope["path"] == "/last":
            await asyncio.sleep(0.01)
        ctypes.PyDLL(None).sleep(20)  # C code that does not let go of Python's lock
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

port, seconds, grace = int(sys.argv[1]), float(sys.argv[3]), float(sys.argv[4])
config = uvicorn.Config(app, port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=grace)
server = EndingServer(config, seconds=seconds)
server.run()
"""


LEFT, KILLED = 128, -signal.SIGALRM


@pytest.mark.parametrize(
    ("path", "signal_number", "seconds", "codes"),
    [
        ("/loop", signal.SIGTERM, 0.3, {LEFT + signal.SIGTERM, KILLED}),
        ("/busy", signal.SIGINT, 0.3, {LEFT + signal.SIGINT, KILLED}),
        ("/thread", signal.SIGTERM, 0.3, {LEFT + signal.SIGTERM, KILLED}),
        ("/locked", signal.SIGTERM, 1, {KILLED}),
        ("/last", signal.SIGINT, 1, {KILLED}),
    ],
)
def test_a_request_that_hangs(tmp_path, path, signal_number, seconds, codes):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    args = [sys.executable, "-c", SERVER, str(port), str(pipe), str(seconds), "1" if seconds < 1 else "0"]
    process = subprocess.Popen(args, stderr=subprocess.PIPE)
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
        process.send_signal(signal_number)
        assert process.wait(timeout=SECONDS) in codes
    finally:
        process.kill()
        written = process.communicate()[1]
    assert b"Traceback" not in written or codes == {KILLED}


def test_the_end_comes_soon():
    assert SECONDS < 5
