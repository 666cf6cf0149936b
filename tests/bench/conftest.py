"""A set in PIE-Bench's format made of rendered scenes: one image after another of its ten kinds of edits.

In a scene the content of a thing is its pattern, its pose how it stands to another, its material the finish, and the
background is the ground.
"""

import dataclasses
import difflib
import io
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from nulltext.bench.case import Case, Entry, Refused
from nulltext.bench.cases.folder import read_folder
from nulltext.bench.cases.pie import CATEGORIES, IMAGES, MAPPING, SIDE, PieSet, read_pie
from nulltext.bench.cases.run_length import Cells
from nulltext.bench.cases.scenes import unchanged
from nulltext.errors import SettingError
from nulltext.files import check_output, write_file
from nulltext.images import to_image
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, MOST_THINGS, Scene, sample_scene

FIRST = 30_000
"""The first held-out seed, apart from those of the other measurements."""
QUALITY = 80
"""Of the images, as JPEG counts it."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "0": ("shape", "color", "pattern", "finish", "ground", "time"),
    "1": ("shape",),
    "4": ("pattern",),
    "5": ("relation",),
    "6": ("color",),
    "7": ("finish",),
    "8": ("ground",),
    "9": ("style",),
}
"""The kinds of words that an edit of each kind changes one of; 2 and 3 add and delete a thing."""
_LOCAL = ("shape", "color", "pattern", "finish")


def write_pie_set(
    folder: str | os.PathLike[str], *, images: int = 10, first: int = FIRST, overwrite: bool = False
) -> Path:
    """Writes a set in the format of PIE-Bench, the same one for the same seeds.

    The nth image is of the kind n modulo 10. Its mask is where the renderer draws the edited scene otherwise, but for
    edits of style the whole image, as there.

    Args:
        folder: Where to; it is made if need be.
        images: How many.
        first: The held-out seed of the first.
        overwrite: Whether files already there may be replaced.

    Returns:
        The mapping file.

    Raises:
        SettingError: There are no such scenes.
        OutputExistsError: There are files and `overwrite` is off.
        OutputWriteError: The system refused.
    """
    if images < 1 or not 0 <= first <= first + images <= len(HELD_OUT_SEEDS):
        raise SettingError(
            f"got {images} images from seed {first}; expected at least one, and seeds from 0 to "
            f"{len(HELD_OUT_SEEDS) - 1}."
        )
    mapping = check_output(Path(folder) / MAPPING, overwrite=overwrite, make_folder=True)
    entries: dict[str, dict[str, object]] = {}
    for number in range(images):
        category = str(number % len(CATEGORIES))
        name = f"{category}{number:011d}"
        path = f"{category}_{CATEGORIES[category].replace(' ', '_')}/{name}.jpg"
        before, after, word = _edit(category, first + number)
        old, new = render([before, after], height=SIDE, width=SIDE).pixels
        whole = np.ones((SIDE, SIDE), dtype=bool)
        jpeg = io.BytesIO()
        to_image(old[None]).save(jpeg, "JPEG", quality=QUALITY)
        (mapping.parent / IMAGES / path).parent.mkdir(parents=True, exist_ok=True)
        write_file(mapping.parent / IMAGES / path, jpeg.getvalue(), overwrite=overwrite)
        source, target, instruction = _marked(caption(before), caption(after))
        entries[name] = {
            "image_path": path,
            "original_prompt": source,
            "editing_prompt": target,
            "editing_instruction": instruction,
            "editing_type_id": category,
            "blended_word": f"{before.things[0].shape} {after.things[0].shape}" if word in _LOCAL else "",
            "mask": encode_runs(whole if word == "style" else ~unchanged(old[None], new[None]).numpy()),
        }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    return write_file(mapping, f"{{\n{lines}\n}}\n".encode(), overwrite=overwrite)


def encode_runs(mask: Cells) -> list[int]:
    """The runs of a mask, in order; `decode_runs` undoes it."""
    edges = np.flatnonzero(np.diff(mask.reshape(-1).astype(np.int8), prepend=0, append=0))
    return [int(number) for start, end in edges.reshape(-1, 2) for number in (start, end - start)]


def _edit(category: str, seed: int) -> tuple[Scene, Scene, str]:
    """A scene, the same edited, and the kind of word that changes."""
    words = _WORDS.get(category)
    if words is None:  # the third thing stands behind the others, which stay where they are
        three = sample_scene(HELD_OUT_SEEDS[seed], things=MOST_THINGS, style="photo")
        two = dataclasses.replace(three, things=three.things[:-1])
        return (two, three, "thing") if CATEGORIES[category] == "add object" else (three, two, "thing")
    scene = sample_scene(HELD_OUT_SEEDS[seed], things=2 if "relation" in words else 1, style="photo")
    draw = random.Random(seed)
    word = draw.choice(words)
    return scene, draw.choice([after for kind, after in one_word_edits(scene) if kind == word]), word


def _marked(source: str, target: str) -> tuple[str, str, str]:
    """Both prompts with square brackets around what the other lacks, and the change as an instruction."""
    ours, theirs = source.split(), target.split()
    marked: tuple[list[str], list[str]] = ([], [])
    orders: list[str] = []
    for change, a, b, c, d in difflib.SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        parts = (" ".join(ours[a:b]), " ".join(theirs[c:d]))
        for words, part in zip(marked, parts, strict=True):
            if part:
                words.append(part if change == "equal" else f"[{part}]")
        if change != "equal":
            orders.append(
                {"replace": "change {} to {}", "insert": "add {1}", "delete": "remove {}"}[change].format(*parts)
            )
    return " ".join(marked[0]), " ".join(marked[1]), " and ".join(orders)


@pytest.fixture(scope="session", name="write_pie_set")
def _write_pie_set() -> Callable[..., Path]:
    """The function of this name."""
    return write_pie_set


@pytest.fixture(scope="session", name="encode_runs")
def _encode_runs() -> Callable[[Cells], list[int]]:
    """The function of this name."""
    return encode_runs


@pytest.fixture(scope="session")
def all_good() -> Callable[[Sequence[Entry]], list[Case]]:
    """The cases of a set in which nothing is wrong; else what is wrong with its first entry is raised."""

    def cases(entries: Sequence[Entry]) -> list[Case]:
        for entry in entries:
            if isinstance(entry, Refused):
                raise entry.error
        return [entry for entry in entries if isinstance(entry, Case)]

    return cases


@pytest.fixture(scope="session")
def load_pie(all_good: Callable[[Sequence[Entry]], list[Case]]) -> Callable[..., PieSet]:
    """`read_pie` of a set in which nothing is wrong."""

    def load(folder: Path, *, lenient: bool = False) -> PieSet:
        found = read_pie(folder, lenient=lenient)
        all_good(found.entries)
        return found

    return load


@pytest.fixture(scope="session")
def folder_cases(all_good: Callable[[Sequence[Entry]], list[Case]]) -> Callable[[Path], list[Case]]:
    """`read_folder` of a folder in which nothing is wrong."""
    return lambda path: all_good(read_folder(path))
