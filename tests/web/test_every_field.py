"""Every field of every route, whatever it is given: a short sentence, soon, and nothing in the log."""

import functools
import json
import logging
import time
from dataclasses import fields
from urllib.parse import quote

import pytest
from tests.web.visitor import made, start, upload

from nulltext.errors import NulltextError
from nulltext.web.limits import Limits
from nulltext.web.requests import EditRequest, InversionRequest

LONG = "x" * 10_000_000
VALUES = {
    "nothing": None,
    "a switch": True,
    "a number": -1.5,
    "a huge number": 10**4000,
    "text": "x",
    "empty text": "",
    "not a number": float("nan"),
    "infinity": float("inf"),
    "10 MB": LONG,
    "half a character": "\ud800",
    "a null byte": "\0",
    "many entries": ["x"] * 100_000,
    "many numbers": [0.5] * 100_000,
    "a large table": {str(number): 1.0 for number in range(100_000)},
    "a word of 10 MB": {LONG: 1.0},
    "a table of nonsense": {"\ud800": float("nan")},
    "a table of lists": {"x": [[["x"]]]},
    "deep": [[[[[[[[{"x": None}]]]]]]]],
    "long entries": [LONG],
    "entries of nothing": [None, {}],
    "entries out of bounds": ["x" * 5_000] * 90,
}
SOON = 3.0
SHORT = 400
SOUND = {
    "/v1/inversions": ("image", "prompt"),
    "/v1/edits": ("parent", "prompt"),
    "/v1/prompts": ("prompt", "model"),
}
"""What a body of each route has to have."""
BOUNDARY = "a-line-of-its-own"


@pytest.fixture(scope="module")
def limits():
    """Those of a real server, so that 10 MB get as far as they can."""
    return Limits()


@pytest.fixture(scope="module")
def job(client, sample, sample_prompt):
    """The id of an inversion; the samples, which are rendered once, are there."""
    assert client.get("/v1/samples").status_code == 200
    (node,) = made(client, start(client, sample, sample_prompt, steps=1))
    return node


def resolved(schema, schemas):
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def fields_of(client):
    """Of every route: its method, its path, how its field is sent, and the field's name."""
    described = client.get("/v1/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            for parameter in route.get("parameters", ()):
                yield method, path, parameter["in"], parameter["name"]
            for kind, content in route.get("requestBody", {}).get("content", {}).items():
                for name in resolved(content["schema"], described["components"]["schemas"])["properties"]:
                    yield method, path, kind, name


@functools.cache
def as_json(case):
    return json.dumps(VALUES[case])


@functools.cache
def as_text(case):
    return str(VALUES[case])


def part(name, data, more=""):
    """A field of a form."""
    data = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"


def ask(client, field, case, sound):
    """A request, sound but for one field."""
    method, path, kind, name = field
    if kind in {"path", "query"}:
        text = quote(as_text(case)[:20_000], errors="replace")
        where = path.replace(f"{{{name}}}", text) if kind == "path" else f"{path}?{name}={text}"
        return client.request(method, where)
    if kind == "application/json":
        wanted = SOUND.get(path, ())
        sample_prompt = {key: json.dumps(sound[key]) for key in wanted} | {name: as_json(case)}
        body = "{" + ", ".join(f'"{key}": {value}' for key, value in sample_prompt.items()) + "}"
        return client.request(method, path, content=body, headers={"content-type": kind})
    assert kind == "multipart/form-data", f"{kind} is not sent here yet"
    value = VALUES[case]
    own = part(name, value[0]) * len(value) if case == "many entries" else part(name, as_text(case))
    others = part("image", sound["file"], '; filename="a.png"') * (name != "image")
    body = others + own + f"--{BOUNDARY}--\r\n".encode()
    return client.request(method, path, content=body, headers={"content-type": f"{kind}; boundary={BOUNDARY}"})


@pytest.mark.parametrize("case", VALUES)
def test_every_field(client, job, sample, sample_prompt, caplog, case):
    sound, count = {"image": job["parent"], "parent": job["id"], "prompt": sample_prompt, "model": "scenes"}, 0
    sound["file"] = sample
    for field in fields_of(client):
        begun = time.monotonic()
        answer = ask(client, field, case, sound)
        assert time.monotonic() - begun < SOON, field
        count += 1
        if answer.status_code == 202:
            client.delete(f"/v1/jobs/{answer.json()['job']}")
        if answer.status_code < 300:
            assert field[1] != "/v1/images", field
            continue
        assert 400 <= answer.status_code < 500, (field, answer.text)
        sentence = answer.json()["detail"]
        assert isinstance(sentence, str), field
        assert 0 < len(sentence) < SHORT, (field, sentence)
        assert "x" * 100 not in sentence, field
    assert count > 15
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def refusal(asked, limits):
    """What is said of a request; nothing if it is taken."""
    try:
        asked.check(limits)
    except NulltextError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", VALUES)
def test_every_field_of_what_the_page_asks_for(case, limits):
    """As what was sent is handed over."""
    for kind in (InversionRequest, EditRequest):
        for field in fields(kind):
            if field.name in {"before", "mask"}:  # made here, not sent
                continue
            begun = time.monotonic()
            sentence = refusal(kind(**{"prompt": "x", field.name: VALUES[case]}), limits)
            assert len(sentence) < SHORT
            assert "x" * 100 not in sentence
            assert time.monotonic() - begun < SOON


def test_the_name_of_a_file_is_short(client, sample, sample_prompt):
    answer = upload(client, sample, "x" * 300)
    assert answer.status_code == 400
    assert "name" in answer.json()["detail"]
