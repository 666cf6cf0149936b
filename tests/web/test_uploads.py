"""What can be uploaded, in 200 ways: formats, damages, sizes, names, types. It is opened or refused in a sentence."""

import io
import itertools
import json
import random
import tempfile

import pytest
from PIL import Image
from tests.web.visitor import upload

from nulltext.decoding import FORMATS
from nulltext.web.bounds import plain_name

NOISE = Image.frombytes("RGB", (31, 23), random.Random(0).randbytes(3 * 31 * 23))
SIZES = ((1, 1), (1, 300), (300, 1), (2, 3))
DAMAGES = {
    "empty": lambda _: b"",
    "one byte": lambda data: data[:1],
    "its head": lambda data: data[:20],
    "a half": lambda data: data[: len(data) // 2],
    "zeros for a half": lambda data: data[: len(data) // 2].ljust(len(data), b"\0"),
    "its head lost": lambda data: data[20:],
    "its head twice": lambda data: data[:20] + data,
    "backwards": lambda data: data[::-1],
    "as text": lambda data: data.replace(b"\n", b"\r\n").replace(b"\0", b""),
    "one bit of its head": lambda data: data[:2] + bytes([data[2] ^ 0x10]) + data[3:],
    "behind a page": lambda data: b"<!doctype html><script>alert(1)</script>" + data,
    "whole, and a page": lambda data: data + b"<script>alert(1)</script>",
    "whole, twice": lambda data: data + data,
}
LENIENT = {"zeros for a half", "its head twice", "one bit of its head", "as text"}
"""What some formats cannot tell from an image: pixels that are others."""
NAMES = (
    "", ".", "..", "/", "a", "a.safetensors.png", "a" * 250, "-rf.png", "$(id).png", "<img src=x onerror=alert(1)>.png",
    "../../../etc/passwd", "..\\..\\a.png", "\u202egnp.exe", "a\u2028b.png", "👩\u200d🚀.png", "a;b.png",
    "a.png", "a.exe", ".htaccess", "con.png", "nul", "`id`.png", "'; drop table people; --.png", "%2e%2e%2fa.png",
    "é.png", "C:\\a.png", "/dev/null", "a,b.png", " .png ", "{{7*7}}.png", "%s%n.png", "a.png/", "a.png?x=1#y",
    "\x7f.png",
)  # fmt: skip
TYPES = (
    "", "image/png", "image/jpeg", "image/svg+xml", "text/html", "text/html; charset=utf-16", "application/json",
    "application/octet-stream", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x", "message/rfc822",
    "*/*", "x", "image/", "/png", 'image/png; a="b', "a" * 2000,
)  # fmt: skip
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
FORM = "multipart/form-data; boundary=b"
FORMS = {
    "no boundary": ("multipart/form-data", lambda data: PART + data + b"\r\n--b--\r\n"),
    "an empty boundary": ("multipart/form-data; boundary=", lambda data: PART + data + b"\r\n--b--\r\n"),
    "another boundary": ("multipart/form-data; boundary=c", lambda data: PART + data + b"\r\n--b--\r\n"),
    "a long boundary": (f"multipart/form-data; boundary={'b' * 5000}", lambda data: PART + data + b"\r\n--b--\r\n"),
    "no end": (FORM, lambda data: PART + data),
    "nothing": (FORM, lambda _: b""),
    "an end alone": (FORM, lambda _: b"--b--\r\n"),
    "headers alone": (FORM, lambda _: PART),
    "endless headers": (FORM, lambda _: PART[:-2] + b"x: " + b"a" * 100_000),
    "many headers": (FORM, lambda data: PART[:-2] + b"x: a\r\n" * 5000 + b"\r\n" + data + b"\r\n--b--\r\n"),
    "many parts": (
        FORM,
        lambda _: b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 1100 + b"--b--\r\n",
    ),
    "many files": (FORM, lambda _: (PART + b"x\r\n") * 1100 + b"--b--\r\n"),
    "no disposition": (FORM, lambda data: b"--b\r\n\r\n" + data + b"\r\n--b--\r\n"),
    "no name": (FORM, lambda data: PART.replace(b' name="image";', b"") + data + b"\r\n--b--\r\n"),
    "another field": (FORM, lambda data: PART.replace(b'"image"', b'"file"') + data + b"\r\n--b--\r\n"),
    "a text": (FORM, lambda data: PART.replace(b'; filename="a.png"', b"") + data + b"\r\n--b--\r\n"),
    "bare lines": (FORM, lambda data: (PART + data + b"\r\n--b--\r\n").replace(b"\r\n", b"\n")),
    "JSON": ("application/json", lambda _: b'{"image": "a.png"}'),
    "the file itself": ("image/png", lambda data: data),
    "what a link sends": ("application/x-www-form-urlencoded", lambda _: b"image=a.png"),
    "compressed": (f"{FORM}; q=1", lambda _: b"\x1f\x8b\x08\x00" + b"\0" * 100),
}


def named(texts, quick):
    """Texts as cases, each called by its beginning; those beyond the first so many take time."""
    for number, text in enumerate(texts):
        marks = [pytest.mark.slow] if number >= quick else []
        yield pytest.param(text, marks=marks, id=f"{number} {text[:30]!r}")


def encoded(kind, image=NOISE):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


WHOLE = {kind: encoded(kind) for kind in FORMATS}
DAMAGED = [*itertools.product(FORMATS, DAMAGES)]
COUNT = len(DAMAGED) + len(FORMATS) * len(SIZES) + len(NAMES) + len(TYPES) + len(FORMS)


def refused(answer):
    """Whether something was refused, and then in one sentence that tells nothing of the machine."""
    assert answer.status_code < 500, answer.text
    if answer.status_code == 201:
        return False
    said = answer.json()["detail"]
    assert isinstance(said, str)
    assert len(said) < 400
    assert not any(private in said for private in ("Traceback", tempfile.gettempdir(), "site-packages", "object at 0x"))
    return True


@pytest.fixture(scope="module")
def give(client):
    """Uploads a file, and removes again what came of it, so that the history stays short; its node, or None."""

    def call(data, name="a.png", kind=None):
        file = (name, data) if kind is None else (name, data, kind)
        answer = client.post("/v1/images", files={"image": file})
        if refused(answer):
            return None
        node = answer.json()["node"]
        assert client.delete(f"/v1/history/{node['id']}").json() == [node["id"]]
        return node

    return call


def test_there_are_200_kinds():
    assert COUNT >= 200


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage(give, damage):
    """An image is whole or refused; one of pixels that are others is still an image of its size."""
    for kind, whole in WHOLE.items():
        node = give(DAMAGES[damage](whole))
        if (kind, damage) == ("JPEG2000", "whole, twice"):  # its reader wants to understand all there is
            assert node is None
        elif damage.startswith("whole"):
            assert node is not None, kind
        elif damage not in LENIENT:
            assert node is None, kind
        assert node is None or damage in LENIENT or node["size"] == [23, 31], kind


@pytest.mark.parametrize(
    "size", [SIZES[0], *(pytest.param(size, marks=pytest.mark.slow) for size in SIZES[1:])], ids=str
)
def test_a_size(give, size):
    for kind in FORMATS:
        try:
            data = encoded(kind, NOISE.resize(size))
        except (OSError, ValueError):  # a format has no images of such a size
            continue
        node = give(data)
        assert node is None or node["size"] == [*reversed(size)], kind
        assert node is not None or kind in {"HEIF", "AVIF"}, kind


@pytest.mark.parametrize("name", [*named(NAMES, quick=16)])
def test_a_name(give, name):
    node = give(WHOLE["PNG"], name)
    if not name:  # then it is no file to a form
        assert node is None
        return
    assert node is not None
    for shown in (node["name"], node["facts"]["file_name"]):
        assert shown == plain_name(shown)
        assert "/" not in shown
        assert len(shown) <= 255


@pytest.mark.parametrize("kind", [*named(TYPES, quick=6)])
def test_a_type(give, kind):
    """What a browser says that it is does not matter."""
    assert give(WHOLE["PNG"], kind=kind) is not None


# Starlette leaves it to Python to close the file of a form that has no end.
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")
@pytest.mark.parametrize("form", FORMS)
def test_a_form(client, form):
    kind, body = FORMS[form]
    sent = client.post("/v1/images", content=body(WHOLE["PNG"]), headers={"content-type": kind})
    assert refused(sent), json.dumps(sent.json())[:200]


def test_after_all_that_an_image_is_an_image(client):
    assert upload(client, WHOLE["PNG"]).json()["node"]["size"] == [23, 31]
