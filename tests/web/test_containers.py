"""The files for containers: what they name is there, what they run is taken, and what they serve is the app.

No engine is asked: each instruction is held against the project and against the command line.
"""

import contextlib
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import httpx
import pytest
import typer
import yaml
from tests.web.nginx import NGINX, free_port, proxy, serving

from nulltext.cli.app import app as command_line
from nulltext.web.entrance import read_proxies
from nulltext.web.hosts import allowed, known
from nulltext.web.server import build

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DOCKERFILES = [EXAMPLES / "docker" / "Dockerfile", EXAMPLES / "space" / "Dockerfile"]
COMPOSE = yaml.safe_load((EXAMPLES / "docker" / "compose.yaml").read_text())
APP = COMPOSE["services"]["app"]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def instructions(path):
    """Each instruction with what follows it, lines that go on put together."""
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def run_by(path):
    """The arguments of the command that a container runs, what is said in the environment put in."""
    (given,) = [rest for word, rest in instructions(path) if word in {"ENTRYPOINT", "CMD"}]
    if given.startswith("["):
        return json.loads(given)
    return shlex.split(re.sub(r"\$\{SPACE_HOST:-localhost\}", "owner-name.hf.space", given.removeprefix("exec ")))


def options_of(arguments):
    """What `nulltext web` takes its arguments for."""
    assert arguments[:2] == ["nulltext", "web"]
    web = typer.main.get_command(command_line).commands["web"]  # pyright: ignore[reportAttributeAccessIssue]  it is a group
    return web.make_context("web", arguments[2:]).params


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image(path):
    found = instructions(path)
    assert found[0] == ("FROM", "python:3.12-slim")
    assert {word for word, _ in found} <= {
        "FROM", "ARG", "ENV", "RUN", "COPY", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"
    }  # fmt: skip
    for word, rest in found:
        if word == "COPY":
            source = next(each for each in rest.split() if not each.startswith("--"))
            assert source == "nulltext-*.whl" or (ROOT / source).exists()
        for extras in re.findall(r"\[([a-z,]+)\]\"", rest) if word == "RUN" else ():
            assert set(extras.split(",")) <= EXTRAS.keys()
        if word == "RUN":
            assert subprocess.run(["sh", "-n", "-c", rest], check=False).returncode == 0
    users = [rest for word, rest in found if word == "USER"]
    assert users
    assert f"--uid 1000 {users[-1]}" in path.read_text()
    options = options_of(run_by(path))
    assert options["host"] == "0.0.0.0"  # noqa: S104  of a container
    assert ("EXPOSE", str(options["port"])) in found


def test_a_space():
    front = yaml.safe_load((EXAMPLES / "space" / "README.md").read_text().split("---")[1])
    options = options_of(run_by(EXAMPLES / "space" / "Dockerfile"))
    assert (front["sdk"], front["app_port"]) == ("docker", options["port"])
    assert {"title", "emoji", "colorFrom", "colorTo", "license"} <= front.keys()
    hosts = allowed(options["host"], options["allowed_host"])
    assert known("owner-name.hf.space", hosts)
    assert not known("evil.example.com", hosts)
    assert read_proxies(options["trusted_proxy"]) == ("10.0.0.0/8",)


def test_the_compose_file():
    folder = EXAMPLES / "docker"
    build_from = (folder / APP["build"]["context"]).resolve()
    assert (build_from, build_from / APP["build"]["dockerfile"]) == (ROOT, folder / "Dockerfile")
    assert set(APP["environment"]) <= {"NULLTEXT_AUTH", "NULLTEXT_TOKEN"}
    options = options_of([*run_by(folder / "Dockerfile"), *APP["command"]])
    assert options["folder"].is_relative_to("/data")
    services = COMPOSE["services"]
    volumes = [volume.split(":") for service in services.values() for volume in service["volumes"]]
    assert all(name in COMPOSE["volumes"] or (folder / name).is_file() for name, *_ in volumes)
    (ports,) = services["nginx"]["ports"]
    assert f"localhost:{ports.split(':')[0]}" in options["allowed_host"]
    assert services["nginx"]["depends_on"]["app"]["condition"] == "service_healthy"
    assert any(word == "HEALTHCHECK" for word, _ in instructions(folder / "Dockerfile"))


@pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light")
def test_nginx_before_the_app(workshop, tmp_path, sample):
    """With the configuration and the options of the compose file, and a check of its health as the image does it."""
    config = (EXAMPLES / "docker" / "nginx.conf").read_text()
    options = options_of([*run_by(EXAMPLES / "docker" / "Dockerfile"), *APP["command"]])
    hosts, proxies = allowed(options["host"], options["allowed_host"]), read_proxies(options["trusted_proxy"])
    app = build(workshop, hosts=hosts, proxies=[*proxies, "127.0.0.1/32"], auth=("ann", "correct horse"))
    outer = free_port()
    with serving(app) as behind, contextlib.ExitStack() as stack:
        for old, new in (
            ("listen 80;", f"listen 127.0.0.1:{outer};"),
            ("http://app:7860", f"http://127.0.0.1:{behind}"),
        ):
            assert config.count(old) == 1
            config = config.replace(old, new)
        stack.enter_context(proxy(tmp_path, config))
        assert NGINX is not None
        test = [NGINX, "-t", "-q", "-c", tmp_path / "nginx.conf", "-p", tmp_path, "-e", tmp_path / "error.log"]
        assert subprocess.run(test, check=False).returncode == 0
        own = {"host": "localhost:8080", "origin": "http://localhost:8080"}
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{outer}", headers=own, auth=("ann", "correct horse"), timeout=20)
        )
        page = client.get("/")
        assert page.status_code == 200
        assert "nulltext" in page.text
        assert client.post("/v1/images", files={"image": ("a.png", sample)}).status_code == 201
        other = {"origin": "http://evil.example.com"}
        assert client.post("/v1/images", files={"image": ("a.png", sample)}, headers=other).status_code == 403
        assert client.get("/", headers={"host": "evil.example.com"}).status_code == 403
        assert client.get("/", auth=("ann", "wrong")).status_code == 401
        check = dict(instructions(EXAMPLES / "docker" / "Dockerfile"))["HEALTHCHECK"]
        python, flag, code = json.loads(check[check.index("[") :])
        assert (python, flag) == ("python", "-c")
        exec(code.replace(":7860", f":{behind}"), {})  # noqa: S102  our own file's
