"""EPS is a program: whichever way it is given, nothing runs it, and its owner is told what it is."""

import base64
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import EpsImagePlugin, Image
from typer.testing import Result

import nulltext
from nulltext import images
from nulltext.bench.case import Entry, Refused
from nulltext.bench.cases.folder import read_folder
from nulltext.bench.cases.pie import read_pie
from nulltext.errors import NulltextError
from nulltext.mask_images import open_mask
from nulltext.web.answers import decode_base64
from nulltext.web.limits import Limits
from nulltext.web.opening import open_small_mask

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n"
HEADER, ROW = "file,source,target", "a red ball,a blue ball"


@pytest.fixture
def ran(tmp_path, monkeypatch) -> Path:
    """The file that a Ghostscript writes, first of all programs, when anything runs it."""
    marker, folder = tmp_path / "ran", tmp_path / "programs"
    folder.mkdir()
    program = folder / "gs"
    program.write_text(f"#!/bin/sh\necho ran > {marker}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # found once, and kept
    return marker


def test_pillow_by_itself_would_run_it(ran, here):
    (here / "a.eps").write_bytes(EPS)
    with pytest.raises(OSError, match=r"."), Image.open("a.eps") as image:
        image.load()
    assert ran.exists()


@dataclass(frozen=True)
class Kit:
    """What the ways in need."""

    run: Callable[..., Result]
    tiny: Path
    inverted: Path
    image: Path
    model: nulltext.Model

    def command(self, *args: object) -> None:
        result = self.run(*args)
        assert result.exit_code == 2, result.output
        raise NulltextError(result.stderr)


@pytest.fixture
def kit(run, tiny, inverted, image_file, model) -> Kit:
    return Kit(run, tiny, inverted, image_file, model)


def refuse(entries: Sequence[Entry]) -> None:
    """Raises what is wrong with the first that cannot be used."""
    for entry in entries:
        if isinstance(entry, Refused):
            raise entry.error


def of_a_folder(kit: Kit, file: Path, column: str) -> None:
    shutil.copy(kit.image, "photo.png")
    source = file.name if column == "file" else "photo.png"
    more = ("", "") if column == "file" else (f",{column}", f",{file.name}")
    Path("cases.csv").write_text(f"{HEADER}{more[0]}\n{source},{ROW}{more[1]}\n")
    refuse(read_folder(Path("cases.csv")))


def of_pie(file: Path) -> None:
    folder = Path("pie")
    shutil.copytree(Path(__file__).parents[1] / "bench/pie", folder)
    entries = json.loads((folder / "mapping_file.json").read_text())
    for entry in entries.values():
        shutil.copy(file, folder / "annotation_images" / entry["image_path"])
    refuse(read_pie(folder).entries)


def with_surroundings(kit: Kit, file: Path) -> None:
    frame = nulltext.Inversion.load(kit.inverted).frame
    images.Frame.read(frame.record(), file.read_bytes())


def over_http(file: Path) -> None:
    never_looked_at: Any = None
    open_small_mask(decode_base64(base64.b64encode(file.read_bytes()).decode()), never_looked_at, Limits())


WAYS: dict[str, Callable[[Kit, Path], object]] = {
    "invert": lambda kit, file: kit.command("invert", file, "a red ball", "--model", kit.tiny),
    "edit --mask": lambda kit, file: kit.command("edit", kit.inverted, "a cat", "--mask", file, "--model", kit.tiny),
    "open_image": lambda kit, file: nulltext.open_image(file, kit.model),
    "open_image of bytes": lambda kit, file: nulltext.open_image(file.read_bytes(), kit.model),
    "open_mask": lambda _, file: open_mask(file),
    "a blend's mask": lambda kit, file: nulltext.PromptToPrompt(blend=nulltext.Blend(mask=file))(
        kit.model, nulltext.Inversion.load(kit.inverted), "a blue ball"
    ),
    "a folder's image": lambda kit, file: of_a_folder(kit, file, "file"),
    "a folder's mask": lambda kit, file: of_a_folder(kit, file, "mask"),
    "a folder's truth": lambda kit, file: of_a_folder(kit, file, "truth"),
    "PIE-Bench": lambda _, file: of_pie(file),
    "the page": lambda _, file: Limits().check_image(file.read_bytes()),
    "a mask over HTTP": lambda _, file: over_http(file),
}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.eps"])
@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_an_eps_is_named_and_not_run(way, name, kit, ran, here):
    (here / name).write_bytes(EPS)
    with pytest.raises(NulltextError, match=r"an EPS/PostScript file.*(\s*)PNG or JPEG"):
        way(kit, here / name)
    assert not ran.exists()


def test_surroundings_that_are_an_eps_are_not_run(kit, ran, here):
    (here / "a.eps").write_bytes(EPS)
    with pytest.raises((ValueError, OSError)):
        with_surroundings(kit, here / "a.eps")
    assert not ran.exists()
