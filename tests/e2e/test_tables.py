"""Every inverter with every editor, on the embedded model: through Python, the command line and the HTTP API."""

import base64
import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.web.visitor import edit, made, start, upload

from nulltext import DiffEditMask, Inpaint, Inversion, open_image
from nulltext.bench.cost import measured
from nulltext.editing.masks import HasMask
from nulltext.editing.table import EDITORS
from nulltext.images import to_image
from nulltext.inversion.table import INVERTERS
from nulltext.models.loading import EMBEDDED, load
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene
from nulltext.spelling.fields import fields_of
from nulltext.spelling.options import argv
from nulltext.spelling.records import record
from nulltext.tables import word_of
from nulltext.web.server import build
from nulltext.web.workshop import Workshop

SMALL: dict[str, Any] = {
    "steps": 2, "inner_steps": 1, "sequential_steps": 1, "iterations": 1, "cutouts": 2, "views": 2, "width": 8,
    "mask": DiffEditMask()}  # fmt: skip
"""The least that each setting can be, of those that cost time; and a mask for editors that need one."""
OF_THE_IMAGE = {"sdedit", "from-noise", "vqgan-clip", "text2live", "blended-diffusion"}
"""Editors that take the image of an inversion, or its size, alone: how it was inverted makes no difference."""
NOT_HERE = {
    "inpaint": "got inpaint with scenes, whose denoiser is shown no mask",
    "text-diff": "got scenes, which is told of a prompt's words",
}
"""Editors for other models than the embedded one, which refuse it by name."""
HERE = [word for word in EDITORS if word not in NOT_HERE]
WAYS = list(itertools.zip_longest(INVERTERS, HERE, fillvalue="prompt-swap"))
"""Pairs in which every row of both tables is once."""


def small(table, word):
    """A method with the smallest settings."""
    cls = table[word].load()
    return cls(**{each.name: SMALL[each.name] for each in fields_of(cls) if each.name in SMALL})


def named_mask(way):
    """What names, in the API, the mask that an editor has."""
    return {"mask_source": "diffedit"} if isinstance(way, HasMask) else {}


@pytest.fixture(scope="module")
def scene():
    return sample_scene(HELD_OUT_SEEDS[50_014])


@pytest.fixture(scope="module")
def source(scene, tmp_path_factory):
    """An image of 64 x 64 and its prompt."""
    path = tmp_path_factory.mktemp("source") / "a.png"
    to_image(render([scene], height=64, width=64).pixels).save(path)
    return path, caption(scene)


@pytest.fixture(scope="module")
def target(source):
    return source[1].replace("white", "blue")


@pytest.fixture(scope="module")
def inverted(embedded, source):
    """The image inverted by every method, once, and what that cost."""
    image_file = open_image(source[0], embedded)
    ways = {word: small(INVERTERS, word) for word in INVERTERS}
    return {word: measured(embedded, partial(way, embedded, image_file, source[1])) for word, way in ways.items()}


@pytest.fixture(scope="module")
def inversions(inverted):
    return {word: inversion for word, (inversion, _) in inverted.items()}


@pytest.fixture(scope="module")
def edited(embedded, inversions, target):
    """Every edit of every inversion; an editor that takes the image alone is asked twice, and gives the same.

    One that finds its mask by the inversion is asked of its own in `WAYS` as well: in so few steps the masks differ.
    """
    made = {}
    for editor, inverter in itertools.product(HERE, INVERTERS):
        asked_twice = inverter in ("direct", "null-text")
        with_mask = (inverter, editor) in WAYS and isinstance(small(EDITORS, editor), HasMask)
        if editor not in OF_THE_IMAGE or asked_twice or with_mask:
            made[inverter, editor] = small(EDITORS, editor)(embedded, inversions[inverter], target)
    return made


@pytest.mark.parametrize("inverter", INVERTERS)
def test_an_inversion_names_its_method(inverted, inverter):
    inversion, cost = inverted[inverter]
    assert word_of(INVERTERS, inversion.method) == inverter
    expected, made = sum(small(INVERTERS, inverter).evaluations().values()), cost.forwards + cost.backwards
    assert expected >= 2 or made == 0
    assert made <= expected + 1, "one more, where the first step of a solved pivot begins"


@pytest.mark.parametrize("editor", HERE)
def test_every_pair_in_python(edited, inversions, editor):
    mine = {inverter: one for (inverter, of), one in edited.items() if of == editor}
    for one in mine.values():
        assert one.pixels.isfinite().all()
        assert one.image.size == (64, 64)
    if editor in OF_THE_IMAGE:
        assert (mine["direct"].pixels == mine["null-text"].pixels).all(), "it makes no difference how it was inverted"
    else:
        assert len(mine) == len(inversions)
        assert not (mine["direct"].pixels == mine["random-pivot"].pixels).all()


@pytest.mark.parametrize(("inverter", "editor"), WAYS)
def test_every_row_on_the_command_line(run_json, inversions, edited, source, target, inverter, editor):
    path, message = source
    method, way = small(INVERTERS, inverter), small(EDITORS, editor)
    made = run_json("invert", path, message, "--method", inverter, *argv(method), "-o", "a.safetensors")
    assert made["method"] == inversions[inverter].method
    assert made["settings"] == json.loads(json.dumps(dict(inversions[inverter].settings)))
    assert (Inversion.load("a.safetensors").pivot == inversions[inverter].pivot).all()
    output = run_json("edit", "a.safetensors", target, "--editor", editor, *argv(way), "-o", "b.png")
    assert output["editor"] == editor
    assert difference(Image.open("b.png"), expected(edited, inverter, editor)) <= 1


@pytest.mark.parametrize(("editor", "said"), NOT_HERE.items())
def test_an_editor_for_other_models_refuses_this_one(run, inversions, target, editor, said):
    inversions["direct"].save("a.safetensors")
    result = run("edit", "a.safetensors", target, "--editor", editor, *argv(small(EDITORS, editor)))
    assert result.exit_code == 2
    assert said in result.stderr


def expected(edited, inverter, editor):
    """What Python made of the pair, or, of an editor that takes the image alone, of another with the same."""
    return edited.get((inverter, editor), edited["direct", editor]).image


def difference(one, other):
    return np.abs(np.asarray(one.convert("RGB")).astype(int) - np.asarray(other.convert("RGB"))).max()


@pytest.fixture(scope="module")
def nine(tmp_path_factory, pipeline_builder):
    """The folder of a tiny inpainting checkpoint, whose denoiser takes nine channels."""
    folder = tmp_path_factory.mktemp("nine")
    pipeline_builder(in_channels=9).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def client(tmp_path_factory, embedded, nine):
    workshop = Workshop(tmp_path_factory.mktemp("web"), models=(EMBEDDED, str(nine)), device="cpu")
    workshop._loaded[EMBEDDED] = embedded
    with TestClient(build(workshop)) as client:
        yield client
    workshop.close()


@pytest.mark.parametrize(("inverter", "editor"), WAYS)
def test_every_row_through_the_api(client, inversions, edited, source, target, inverter, editor, tmp_path):
    path, message = source
    given = record(small(INVERTERS, inverter))
    form = {"prompt": message, "method": inverter, "steps": given.pop("steps")}
    guidance, _ = given.pop("guidance"), given.pop("negative_prompt", None)
    form |= {} if guidance is None else {"guidance": guidance}
    form["settings"] = given
    (inversion,) = made(client, start(client, path.read_bytes(), **form))
    assert inversion["request"]["method"] == inverter
    kept = tmp_path / "a.safetensors"
    kept.write_bytes(client.get(f"/v1/files/{inversion['files']['safetensors']}").content)
    assert (Inversion.load(kept).pivot == inversions[inverter].pivot).all()
    asked = {"prompt": target, "editor": editor, "settings": record(small(EDITORS, editor))}
    asked |= named_mask(small(EDITORS, editor))
    asked["settings"] = {name: at for name, at in asked["settings"].items() if name not in {"chain", "maps"}}
    (node,) = made(client, edit(client, inversion["id"], **asked))
    assert node["request"]["editor"] == editor
    (tmp_path / "b.png").write_bytes(client.get(f"/v1/files/{node['files']['png']}").content)
    assert difference(Image.open(tmp_path / "b.png"), expected(edited, inverter, editor)) <= 1
    (opened,) = made(client, upload(client, kept.read_bytes(), "a.safetensors"))
    assert opened["request"]["method"] == inverter


def test_inpaint_on_the_command_line_and_through_the_api(run_json, client, nine, source, tmp_path):
    """Its checkpoint inverted by the method that costs nothing, and the mask in a file."""
    path, model = source[0], load(nine, device="cpu")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (8, 8, 40, 48))
    mask.save("mask.png")
    asked = ("--model", nine, "--method", "edit-friendly", "--steps", 2)
    run_json("invert", path, "a red ball", *asked, "-o", "a.safetensors")
    done = run_json(
        "edit", "a.safetensors", "a dog", "--model", nine, "--editor", "inpaint", "--mask", "mask.png", "-o", "b.png"
    )
    plain = {"name": "classifier-free", "settings": {}}
    settings = {"strength": 1.0, "guidance": 7.5, "negative_prompt": "", "rule": plain, "paste": False, "seed": 0}
    assert done["settings"] == [settings]
    expected = Inpaint(mask=mask)(model, Inversion.load("a.safetensors"), "a dog").image
    assert difference(Image.open("b.png"), expected) <= 1
    form = {"prompt": "a red ball", "method": "edit-friendly", "steps": 2, "model": str(nine)}
    (inversion,) = made(client, start(client, path.read_bytes(), **form))
    drawn = base64.b64encode(Path("mask.png").read_bytes()).decode()
    (node,) = made(client, edit(client, inversion["id"], "a dog", editor="inpaint", mask=drawn))
    (tmp_path / "c.png").write_bytes(client.get(f"/v1/files/{node['files']['png']}").content)
    assert difference(Image.open(tmp_path / "c.png"), expected) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("inverter", "editor"), list(itertools.product(INVERTERS, HERE)))
def test_every_pair_everywhere(run_json, client, inversions, edited, source, target, inverter, editor, tmp_path):
    test_every_row_on_the_command_line(run_json, inversions, edited, source, target, inverter, editor)
    test_every_row_through_the_api(client, inversions, edited, source, target, inverter, editor, tmp_path)
