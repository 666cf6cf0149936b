"""A visit through nginx, with the configuration that docs/server.md shows."""

import contextlib
import json
import re
import threading
from pathlib import Path

import httpx
import pytest
from tests.web.nginx import NGINX, SOON, free_port, proxy, serving
from tests.web.visitor import start

from nulltext.web.hosts import allowed
from nulltext.web.server import build

DOCS = Path(__file__).parents[2] / "docs"
AT_ROOT, BELOW, INNER = re.findall(r"^```nginx\n(.*?)^```", (DOCS / "server.md").read_text(), re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light")


@pytest.fixture(scope="module")
def upstream(workshop):
    """The app at the root and below a path, each on a port."""
    hosts = allowed("127.0.0.1", ["photos.example.com"])
    with contextlib.ExitStack() as stack:
        yield {
            root: stack.enter_context(serving(build(workshop, hosts=hosts, root=root, proxies=["127.0.0.1/32"])))
            for root in ("", "/photos")
        }


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


def followed(client, answer):
    """The node that a job makes, and what is said until it has: as it is said, if nginx does not hold it back."""
    assert answer.status_code == 202, answer.text
    job, states = answer.json()["job"], []
    with client.stream("GET", f"v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith('data: {"id"'):
                states.append(json.loads(line.removeprefix("data: ")))
                yield states[-1]
    assert states[-1]["state"] == "done", states[-1]


def test_a_visit(address, workshop, sample, sample_prompt):
    port, path = address
    with visitor(port, path) as client:
        page = client.get("")
        assert page.status_code == 200
        assert f"; Path={path.rstrip('/') or '/'};" in page.headers["set-cookie"]
        for file in re.findall(r'(?:href|src)="([^"]+)"', page.text):
            assert client.get(file).status_code == 200, file
        image = client.post("v1/images", files={"image": ("a.png", sample)})
        body = {"image": image.json()["node"]["id"], "prompt": sample_prompt, "steps": 3}
        go = threading.Event()

        def blocked(_):
            go.wait(SOON)

        workshop.jobs.submit("zoe", blocked)
        answer, said = client.post("v1/inversions", json=body), []
        assert workshop.jobs._jobs[answer.json()["job"]].client.address == "127.0.0.2"
        for status in followed(client, answer):
            said.append(status)
            go.set()  # only once it was heard that somebody is before
        assert said[0]["position"] == 1
        (inversion,) = said[-1]["result"]["nodes"]
        *_, last = followed(client, client.post("v1/edits", json={"parent": inversion, "prompt": sample_prompt}))
        assert client.get(f"v1/files/{last['result']['nodes'][0]}.png").headers["content-type"] == "image/png"
        assert client.post("v1/inversions", json=body, headers={"origin": "http://evil.net"}).status_code == 403


def test_who_comes_through_a_proxy_names_no_folder(upstream, workshop, folder, sample, sample_prompt, monkeypatch):
    """Also where the proxy is not known, and the server is for this machine alone."""
    monkeypatch.setattr(workshop, "any_model", True)
    port, name = upstream[""], str(folder("epsilon"))
    asked = {"prompt": sample_prompt, "model": name, "steps": 1}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        refused = start(client, sample, **asked)
        assert refused.status_code == 400
        assert "does not offer" in refused.json()["detail"]
    with serving(build(workshop, hosts=allowed("127.0.0.1", [])), "off") as single:  # which leaves the workshop open
        for headers, status in (({}, 202), ({"x-forwarded-for": "203.0.113.7"}, 400), ({"via": "1.1 a"}, 400)):
            with httpx.Client(base_url=f"http://127.0.0.1:{single}", headers=headers, timeout=20) as client:
                assert start(client, sample, **asked).status_code == status
