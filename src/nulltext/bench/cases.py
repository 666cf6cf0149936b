"""What a benchmark runs on: photographs with their captions, and what is known of the right answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from PIL import Image

from nulltext.bench.edits import FIRST, SCENES, blend_of, ground_truth
from nulltext.errors import CaseError, SettingError
from nulltext.judges import words_of
from nulltext.pictures import to_image
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

IN_KEY: Final = "key"
"""False in the metadata of a field that no figure depends on; all others are part of the key that rows are kept by."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One edit to be tried.

    Attributes:
        name: Unique in its set, the same on every machine, and safe as a file name.
        kind: The category it is counted in; "" for none.
        picture: The photograph, as `nulltext.pictures.open_image` takes it.
        source: The caption of the photograph.
        target: The caption of the edit.
        changed: A mask of the photograph's size, white where the edit belongs; None if that is not known.
        blend: The words of the source and of the target whose places may change; None if the edit is not local.
        truth: The true edited picture, of the photograph's size, where it is known.
        words: What the judges have to read in the edit, a word for each of their heads that changes; empty where that
            is not known.
        seed: Of every random draw that is made for this case.
        where: The file and row that it was read from; "" for none.
    """

    name: str
    kind: str
    picture: Image.Image | Path
    source: str
    target: str
    changed: Image.Image | None
    blend: tuple[tuple[str, ...], tuple[str, ...]] | None
    truth: Image.Image | None
    words: Mapping[str, str]
    seed: int
    where: str = field(default="", metadata={IN_KEY: False})


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Refused:
    """An entry of a set that cannot be measured; it has a row nevertheless, which says why.

    Attributes:
        name: Of the case that it would have been, or where it stands.
        where: The file and row that it stands in.
        error: What is wrong with it.
        kind, source, target: As of a case, as far as they are known.
    """

    name: str
    where: str
    error: CaseError
    kind: str = ""
    source: str = ""
    target: str = ""


Entry = Case | Refused


def all_good(entries: Iterable[Entry]) -> list[Case]:
    """The cases of a set in which nothing is amiss.

    Raises:
        CaseError: What is wrong with its first entry that cannot be used.
    """
    cases: list[Case] = []
    for entry in entries:
        if isinstance(entry, Refused):
            raise entry.error
        cases.append(entry)
    return cases


def scene_cases(scenes: int = SCENES, *, first: int = FIRST, size: tuple[int, int] = (128, 128)) -> list[Case]:
    """Held-out scenes of one thing, each with one edit of every kind, drawn by the renderer: before, after, and where.

    They are the edits of `nulltext.bench.edits`: the same seeds give the same scenes and words there and here.

    Args:
        scenes: How many scenes; each makes five cases.
        first: The first held-out seed; a case's own seed is that of its scene.
        size: (height, width) of the pictures in pixels, a model's `default_size`.

    Returns:
        The cases of one scene after those of another; those of one scene share the very same picture and caption, so
        that it need be inverted once only.

    Raises:
        SettingError: There are no such scenes.
    """
    if scenes < 1 or not 0 <= first <= first + scenes <= len(HELD_OUT_SEEDS):
        raise SettingError(
            f"got {scenes} scenes from seed {first}; expected at least one, and seeds from 0 to "
            f"{len(HELD_OUT_SEEDS) - 1}."
        )
    height, width = size
    cases: list[Case] = []
    for seed in range(first, first + scenes):
        scene = sample_scene(HELD_OUT_SEEDS[seed], things=1)
        picture = to_image(render([scene], height=height, width=width).pixels)
        for edit in ground_truth(scene, seed, height=height, width=width):
            blend, wanted = blend_of(edit), words_of(edit.after)
            cases.append(
                Case(
                    name=f"scene-{seed}-{edit.kind}",
                    kind=edit.kind,
                    picture=picture,
                    source=caption(scene),
                    target=edit.caption,
                    changed=Image.fromarray((~edit.outside).byte().mul(255).numpy()),
                    blend=None if blend is None else (blend.source_words, blend.target_words),
                    truth=to_image(edit.truth),
                    words={head: wanted[head] for head in edit.words},
                    seed=seed,
                )
            )
    return cases
