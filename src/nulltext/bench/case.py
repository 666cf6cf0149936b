"""What a benchmark runs on: images with their prompts, and what is known of the right answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from PIL import Image

from nulltext.errors import CaseError, PromptError
from nulltext.models.base import Model, check_prompts
from nulltext.types import OnePixels

IN_KEY: Final = "key"
"""False in the metadata of a field that no figure depends on; all others are part of the key that rows are kept by."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One edit to be tried.

    Attributes:
        name: Unique in its set, the same on every machine, and safe as a file name.
        kind: The category it is counted in; "" for none.
        image: The source image, as `nulltext.images.open_image` takes it.
        source, target: The source prompt, and that of the edit.
        changed: A mask of the image's size, white where the edit belongs; None if that is not known.
        blend: The words of the source and of the target whose places may change; None if the edit is not local.
        truth: The true edited image, of the source's size, where it is known; as pixels, it is of the model's size.
        words: What the judges have to read in the edit, a word for each of their heads that changes; empty where that
            is not known.
        seed: Of every random draw that is made for this case.
        where: The file and row that it was read from; "" for none.
    """

    name: str
    kind: str = ""
    image: Image.Image | Path
    source: str
    target: str
    changed: Image.Image | None = None
    blend: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    truth: Image.Image | OnePixels | None = None
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    seed: int = 0
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


@final
@dataclass(frozen=True, eq=False)
class CaseSet:
    """What a study runs on.

    Attributes:
        entries: The cases; neighbours that share image and prompt are inverted once.
        remarks: What a reader of the figures has to know of them.
    """

    entries: Sequence[Entry]
    remarks: Sequence[str] = ()


def checked(model: Model, entries: Iterable[Entry]) -> list[Entry]:
    """The entries, those refused whose prompts the model cannot read, or that blend by words they do not have."""
    faults: dict[str, PromptError | None] = {}
    return [entry if isinstance(entry, Refused) else _checked(model, entry, faults) for entry in entries]


def _checked(model: Model, case: Case, faults: dict[str, PromptError | None]) -> Entry:
    prompts = case.source, case.target
    for prompt in prompts:
        if prompt not in faults:
            faults[prompt] = _fault(model, prompt)
    found = next((error for prompt in prompts if (error := faults[prompt]) is not None), None)
    found = found or _missing_word(model, case)
    if found is None:
        return case
    error = CaseError(f"{case.where or case.name}: {found}")
    return Refused(
        name=case.name, where=case.where, error=error, kind=case.kind, source=case.source, target=case.target
    )


def _fault(model: Model, prompt: str) -> PromptError | None:
    try:
        check_prompts(model, [prompt])
    except PromptError as error:
        return error
    return None


def _missing_word(model: Model, case: Case) -> PromptError | None:
    for prompt, words in zip((case.source, case.target), case.blend or ((), ()), strict=True):
        tokens = model.tokenize(prompt)
        for word in words:
            try:
                tokens.find(word)
            except PromptError as error:
                return error
    return None
