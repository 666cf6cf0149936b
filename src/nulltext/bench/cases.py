"""What a benchmark runs on: photographs with their captions, and what is known of the right answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from PIL import Image


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
