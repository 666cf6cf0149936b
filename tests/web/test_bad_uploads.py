"""What people give a server that is no image, or a trap: a sentence for each, and the server goes on."""

import io
import json
import pickle
import random
import re
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.web.visitor import made, start, wait

from nulltext import DDIM, open_image
from nulltext.inversion.file import digest
from nulltext.web.jobs import UNFORESEEN

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


def png_of(width, height, rows=b"\0" * 10):
    """A PNG that claims a size, grey with 8 bits, whatever its rows are."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def noise():
    """Noise, so that a file of it is long enough to be cut."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("image.png", b"no image")
    return buffer.getvalue()


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was loaded",))


NO_IMAGES = {
    "empty": ("a.png", b""),
    "random": ("a.jpg", random.Random(0).randbytes(5000)),
    "text": ("a.png", b"This is an image of a cat."),
    "html": ("a.jpg", HTML),
    "svg": ("a.svg", SVG),
    "claims 30000 x 100": ("a.png", png_of(30_000, 100)),
    "30000 wide": ("a.png", png_of(30_000, 1, b"\0" * 30_001)),
    "claims 50000 x 50000": ("a.png", png_of(50_000, 50_000)),
    "unpacks to 90 million": ("a.png", png_of(10_000, 9_000, b"\0" * (10_001 * 9_000))),
    "gif header": ("a.gif", b"GIF89a\x08\0\x08\0\0\0\0"),
    "zip": ("a.png", zipped()),
    "pdf": ("a.jpg", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"),
    "postscript": ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n"),
    "no name": ("a", b"GIF"),
    "script in the name": ("<script>alert(1).png", b"no image"),
    "quotes in the name": ("\"'><img src=x onerror=alert(1)>.png", b"no image"),
}
NO_INVERSIONS = {
    "pickle": ("a.safetensors", pickle.dumps(Trap())),
    "empty": ("a.safetensors", b""),
    "long header": ("a.safetensors", struct.pack("<Q", 2**60) + b"{}"),
    "image": ("a.safetensors", png_of(8, 8, b"\0" * 72)),
    "script in the name": ("<script>alert(1).safetensors", b"no inversion"),
}


@pytest.fixture
def give(client, sample_prompt):
    """Gives a file and inverts it; what is said, "" if all is well."""

    def call(name, data, prompt=sample_prompt):
        answer = start(client, data, prompt, name=name, steps=1)
        if answer.status_code >= 400:
            assert answer.status_code < 500, answer.text
            return answer.json()["detail"]
        job = wait(client, answer.json()["job"])
        assert (job["state"] == "failed") == (job["message"] is not None)
        return job["message"] or ""

    return call


@pytest.fixture
def refuse(give, workshop):
    """Gives what must be refused, in a sentence that tells nothing of the machine."""

    def call(name, data, **options):
        sentence = give(name, data, **options)
        assert sentence
        assert isinstance(sentence, str)
        for private in (UNFORESEEN, "Traceback", str(workshop.people.root), "/site-packages"):
            assert private not in sentence
        return sentence

    return call


@pytest.mark.parametrize("case", NO_IMAGES)
def test_no_image(refuse, case):
    refuse(*NO_IMAGES[case])


@pytest.mark.parametrize("case", NO_INVERSIONS)
def test_no_inversion(refuse, case):
    refuse(*NO_INVERSIONS[case])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_truncated_image(refuse, encode, kind):
    whole = encode(noise(), kind)
    refuse("a.png", whole[: len(whole) * 2 // 3])


def test_floating_point_pixels(refuse, encode):
    assert "floating-point" in refuse("a.tif", encode(Image.new("F", (32, 32), 0.5), "TIFF"))


def test_integers_of_more_than_16_bits(refuse, encode):
    assert "16 bits" in refuse("a.tif", encode(Image.new("I", (32, 32), 100_000), "TIFF"))


def test_a_file_that_is_too_large(refuse, limits, sample):
    assert "MB" in refuse("a.png", sample + b"\0" * limits.upload_bytes)
    assert "MB" in refuse("a.safetensors", b"\0" * (4 * limits.upload_bytes + 1))


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a red zebra on <script>", "'zebra'.*'script'"),
        ("a red ball " * 50, "550 characters"),
        ("a red ball " * 40, "words|tokens"),
    ],
)
def test_a_prompt_that_cannot_be_used(refuse, sample, prompt, named):
    assert re.search(named, refuse("a.png", sample, prompt=prompt))


@pytest.fixture(scope="module")
def kept(tmp_path_factory, workshop, sample, sample_prompt):
    """The file of a sound inversion of the app's own model."""
    path = tmp_path_factory.mktemp("kept") / "a.safetensors"
    model = workshop.model("scenes")
    return DDIM(steps=1)(model, open_image(sample, model), sample_prompt).save(path)


def altered(path, to, change=None, **metadata):
    """Another sound file of the same inversion, but for what is changed."""
    with safe_open(path, framework="pt") as file:
        record = file.metadata() | metadata
    tensors = load_file(path)
    if change is not None:
        change(tensors)
    save_file(tensors, to, record | {"digest": digest(tensors, record)})
    return to.read_bytes()


def bytes_of(data):
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def test_a_sound_inversion_is_opened(give, kept):
    assert give("a.safetensors", kept.read_bytes()) == ""


def test_an_inversion_with_one_byte_changed(refuse, kept):
    data = bytearray(kept.read_bytes())
    data[-9] ^= 1
    refuse("a.safetensors", bytes(data))


def test_an_inversion_of_another_model(refuse, model, source_image, tmp_path):
    path = DDIM(steps=1)(model, source_image, "a cat").save(tmp_path / "a.safetensors")
    assert "does not offer" in refuse("a.safetensors", path.read_bytes())


def test_a_safetensors_that_is_no_inversion(refuse, tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    assert "holds no inversion" in refuse("a.safetensors", (tmp_path / "a.safetensors").read_bytes())


def test_an_inversion_that_is_not_a_number(refuse, kept, tmp_path):
    def spoil(tensors):
        tensors["pivot"][0, 0, 0, 0] = float("nan")

    assert "not finite" in refuse("a.safetensors", altered(kept, tmp_path / "a.safetensors", spoil))


def test_an_inversion_whose_surroundings_are_a_bomb(refuse, kept, tmp_path):
    def bomb(tensors):
        tensors["surroundings"] = bytes_of(png_of(50_000, 50_000))

    refuse("a.safetensors", altered(kept, tmp_path / "a.safetensors", bomb))


def test_an_inversion_whose_surroundings_are_larger_than_is_taken(refuse, kept, tmp_path):
    def enlarge(tensors):
        tensors["surroundings"] = bytes_of(NO_IMAGES["unpacks to 90 million"][1])

    with safe_open(kept, framework="pt") as file:
        frame = json.loads(file.metadata()["frame"]) | {"size": [9_000, 10_000]}
    data = altered(kept, tmp_path / "a.safetensors", enlarge, frame=json.dumps(frame))
    assert "10000 x 9000" in refuse("a.safetensors", data)


def test_an_inversion_whose_latents_do_not_fit_its_image(refuse, kept, tmp_path):
    """Otherwise a small file could ask for an image of any size."""

    def enlarge(tensors):
        tensors["pivot"] = torch.zeros(2, 4, 40, 40)

    refuse("a.safetensors", altered(kept, tmp_path / "a.safetensors", enlarge))


def test_an_inversion_far_larger_than_the_models_images(refuse, kept, tmp_path):
    def enlarge(tensors):
        tensors["pivot"], tensors["image"] = torch.zeros(2, 4, 40, 40), torch.zeros(320, 320, 3, dtype=torch.uint8)

    with safe_open(kept, framework="pt") as file:
        frame = json.loads(file.metadata()["frame"]) | {"fitted": [320, 320], "content": [0, 0, 320, 320]}
    refuse("a.safetensors", altered(kept, tmp_path / "a.safetensors", enlarge, frame=json.dumps(frame)))


def test_an_inversion_of_more_steps_than_are_allowed(refuse, workshop, limits, sample, sample_prompt, tmp_path):
    model, steps = workshop.model("scenes"), limits.steps + 1
    one = DDIM(steps=1)(model, open_image(sample, model), sample_prompt)
    many = one.__class__(
        **{
            **{name: getattr(one, name) for name in one.__dataclass_fields__},
            "schedule": model.schedule(steps),
            "settings": {**one.settings, "steps": steps},
            "pivot": one.pivot[:1].expand(steps + 1, -1, -1, -1).clone(),
        }
    )
    path = many.save(tmp_path / "a.safetensors")
    assert "steps" in refuse("a.safetensors", path.read_bytes())


def test_an_inversion_with_settings_that_make_no_sense(give, kept, tmp_path):
    data = altered(kept, tmp_path / "a.safetensors", settings='{"inner_steps": "many"}')
    assert UNFORESEEN not in give("a.safetensors", data)


@pytest.mark.parametrize(
    "scores",
    [
        '{"psnr": "many", "vae_psnr": 30.0}',
        '{"psnr": true, "vae_psnr": 30.0}',
        '{"psnr": NaN, "vae_psnr": 30.0}',
        '{"psnr": Infinity, "vae_psnr": 30.0}',
        '{"psnr": [1], "vae_psnr": 30.0}',
        '{"psnr": 30.0}',
        '{"psnr": 1, "vae_psnr": 1, "other": 1}',
        pytest.param('{"psnr": 1' + "0" * 400 + ', "vae_psnr": 30.0}', id="overflow"),
        "[]",
        "5",
    ],
)
def test_an_inversion_with_bad_scores(refuse, kept, tmp_path, scores):
    assert "altered" in refuse("a.safetensors", altered(kept, tmp_path / "a.safetensors", scores=scores))


def test_an_inversion_with_an_infinite_score(give, kept, tmp_path):
    """Which equal images have."""
    data = altered(kept, tmp_path / "a.safetensors", scores='{"psnr": null, "vae_psnr": 30}')
    assert give("a.safetensors", data) == ""


def test_a_wrong_extension_does_not_matter(give, sample, kept):
    assert give("a.jpg", sample) == ""
    assert give("a", sample) == ""
    assert give("a.png", kept.read_bytes()) == ""


def test_a_wrong_checksum_is_taken_or_refused(give, encode):
    data = bytearray(encode(noise(), "PNG"))
    data[-16] ^= 0xFF  # the last of IDAT's own; IEND follows with 12 bytes
    assert UNFORESEEN not in give("a.png", bytes(data))


def test_an_animation_with_a_broken_second_frame_is_its_first(give, encode):
    data = encode(noise(), "GIF", save_all=True, append_images=[noise().rotate(90)])
    assert give("a.gif", data[: len(data) * 3 // 4]) == ""


@pytest.mark.parametrize("name", ["../../escaped.png", "..\\escaped.png", "/etc/escaped.png", '"; rm -rf ~; ".png'])
def test_a_name_leads_nowhere(client, workshop, sample, sample_prompt, name):
    (node,) = made(client, start(client, sample, sample_prompt, name=name, steps=1))
    assert "/" not in client.get(f"/v1/history/{node['parent']}").json()["facts"]["file_name"]
    assert not list(workshop.people.root.parent.rglob("*escaped*"))


@pytest.mark.parametrize("name", ["<script>alert(1).png", "\"'><img src=x onerror=alert(1)>.png"])
def test_a_good_image_of_a_bad_name(give, sample, name):
    assert give(name, sample) == ""


def test_after_all_that_the_server_still_works(give, sample):
    assert give("a.png", sample) == ""
