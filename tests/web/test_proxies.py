"""A visit through nginx, with the configuration that docs/server.md shows."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Literal

import httpx
import pytest
import uvicorn

from nulltext.web.hosts import allowed
from nulltext.web.server import build

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
DOCS = Path(__file__).parents[2] / "docs"
AT_ROOT, BELOW, INNER = re.findall(r"^```nginx\n(.*?)^```", (DOCS / "server.md").read_text(), re.MULTILINE | re.DOTALL)
SOON = 60.0

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light")


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


@pytest.fixture(scope="module")
def upstream(workshop):
    """The app at the root and below a path, each on a port."""
    hosts = allowed("127.0.0.1", ["photos.example.com"])
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
            environment.setenv(name, "")
        yield {
            root: stack.enter_context(serving(build(workshop, hosts=hosts, root=root, proxies=["127.0.0.1/32"])))
            for root in ("", "/photos")
        }


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


def routed(server, port, behind):
    """A server of the page at a port, before another."""
    server, count = re.subn(r"listen \d+;", f"listen 127.0.0.1:{port};", server)
    server, passed = re.subn(r"http://127.0.0.1:7860", f"http://127.0.0.1:{behind}", server)
    assert (count, passed) == (1, 1)
    return server


SECOND_PROOFS = ("at the root", "below, path taken off", "below, $host")
"""The root is behind two proxies as well, and the others differ by a line from the path below."""


@pytest.fixture(
    params=["below a path", "two proxies", *(pytest.param(name, marks=pytest.mark.slow) for name in SECOND_PROOFS)]
)
def address(request, upstream, tmp_path):
    """Where the page is, of a proxy set up as asked."""
    outer, inner = free_port(), free_port()
    servers = {
        "at the root": lambda: [routed(AT_ROOT, outer, upstream[""])],
        "below a path": lambda: [routed(BELOW, outer, upstream["/photos"])],
        "two proxies": lambda: [routed(AT_ROOT, outer, inner), routed(INNER, inner, upstream[""])],
        "below, path taken off": lambda: [routed(BELOW, outer, f"{upstream['/photos']}/")],
        "below, $host": lambda: [routed(BELOW.replace("$http_host", "$host"), outer, upstream["/photos"])],
    }[request.param]()
    with proxy(tmp_path, *servers) as port:
        yield port, "/photos/" if "below" in request.param else "/"


@contextlib.contextmanager
def visitor(port, path, local="127.0.0.2"):
    """A browser at another address, that asks for the name of the page."""
    host = f"photos.example.com:{port}"
    headers = {"host": host, "origin": f"http://{host}"}
    transport = httpx.HTTPTransport(local_address=local)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}{path}", headers=headers, transport=transport, timeout=20
    ) as client:
        yield client


def finished(client, answer):
    assert answer.status_code == 202, answer.text
    job = {}

    def over():
        job.update(client.get(f"api/jobs/{answer.json()['job']}").json())
        return job["state"] not in {"waiting", "running"}

    until(over)
    assert job["state"] == "done", job
    return answer.json()["job"], job["result"]


def test_a_visit(address, workshop, sample, sample_prompt):
    port, path = address
    with visitor(port, path) as client:
        page = client.get("")
        assert page.status_code == 200
        assert f"; Path={path.rstrip('/') or '/'};" in page.headers["set-cookie"]
        (written,) = re.findall(r"window.gradio_config = (\{.*?\});</script>", page.text)
        config = json.loads(written)
        assert config["root"] in {f"http://photos.example.com{colon}{path.rstrip('/')}" for colon in ("", f":{port}")}
        answer = client.post(
            "api/inversions", files={"image": ("a.png", sample)}, data={"prompt": sample_prompt, "steps": "3"}
        )
        number, _ = finished(client, answer)
        assert workshop.jobs._jobs[number].client.address == "127.0.0.2"
        _, result = finished(client, client.post("api/edits", json={"job": number, "prompt": sample_prompt}))
        assert client.get(f"api/files/{result['images'][0]}").headers["content-type"] == "image/png"
        refused = client.post(
            "api/inversions", files={"image": ("a.png", sample)}, headers={"origin": "http://evil.net"}
        )
        assert refused.status_code == 403
        events(client, config, workshop, sample_prompt)


def events(client, config, workshop, sample_prompt):
    """The page's own way: a sample is taken and inverted, and what is said comes as it is said."""
    at = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    calls = {tuple(target): call for call in config["dependencies"] for target in call["targets"]}
    tab, go = {"session_hash": f"tab of {client.base_url}"}, threading.Event()

    def blocked(job):
        go.wait(SOON)

    def join(target, data, **more):
        body = {"fn_index": calls[target]["id"], "data": data, "trigger_id": target[0], **tab, **more}
        joined = client.post("gradio_api/queue/join", json=body)
        assert joined.status_code == 200, joined.text

    def read_until(wanted):
        lines = []
        with client.stream("GET", "gradio_api/queue/data", params=tab) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                lines.append(line[:1000])
                if wanted in line:
                    return line
        pytest.fail(f"the stream ended before {wanted}: {lines}")

    join((at["samples"], "select"), [], event_data={"index": 0, "value": None})
    assert '"success":true' in read_until("process_completed")
    workshop.jobs.submit("zoe", blocked)
    join((at["invert"], "click"), [None, sample_prompt, "scenes", "direct", "", 5, 1, "crop"])
    read_until("before yours")  # which nginx would hold back until there is more, if it could
    go.set()
    workshop.jobs.submit("zoe", blocked).wait(SOON)


def test_who_comes_through_a_proxy_names_no_folder(upstream, workshop, folder, sample, sample_prompt, monkeypatch):
    """Also where the proxy is not known, and the server is for this machine alone."""
    monkeypatch.setattr(workshop, "any_model", True)
    port, name = upstream[""], str(folder("epsilon"))
    files, data = {"image": ("a.png", sample)}, {"prompt": sample_prompt, "model": name, "steps": "1"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        refused = client.post("/api/inversions", files=files, data=data)
        assert refused.status_code == 400
        assert "does not offer" in refused.json()["detail"]
    with serving(build(workshop, hosts=allowed("127.0.0.1", [])), "off") as single:  # which leaves the workshop open
        for headers, status in (({}, 202), ({"x-forwarded-for": "203.0.113.7"}, 400), ({"via": "1.1 a"}, 400)):
            answer = httpx.post(f"http://127.0.0.1:{single}/api/inversions", files=files, data=data, headers=headers)
            assert answer.status_code == status, answer.text
