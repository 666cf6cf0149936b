"""PIE-Bench: its images in their published format, and the protocol that they are edited by.

Ju et al., "Direct Inversion: Boosting Diffusion-based Editing with 3 Lines of Code", ICLR 2024, arXiv 2310.01506; the
data is had from its authors (github.com/cure-lab/PnPInversion). A folder holds ``mapping_file.json`` and, below
``annotation_images``, the images, 512 x 512. For every image the mapping file has an entry under its id:

    {"image_path": "1_change_object_80/...", "original_prompt": "a cat on a mat", "editing_prompt": "a [dog] on a mat",
     "editing_instruction": "...", "editing_type_id": "1", "blended_word": "cat dog", "mask": [start, length, ...]}

What is done as in the authors' programs (``run_editing_p2p.py`` and ``evaluation/evaluate.py``):

- Captions are the prompts without any square bracket, wherever those stand.
- A mask's runs are laid over the image row by row; then a border of one pixel is set, "to avoid annotation errors in
  boundary".
- Where that leaves nothing outside the mask, the metrics outside of it are left out; `PieSet.whole` names these cases.
- Every image is begun with the seed 1234.
- Prompt-to-Prompt always refines, keeps cross-attention in 40 % and self-attention in 60 % of 50 steps under guidance
  7.5, blends by the blended words above 0.3 of their maps' maximum, in the latents only, and weights the second of
  them by 2. Without blended words it neither blends nor weights.
- The model is Stable Diffusion 1.4 in single precision.

What is done otherwise: a word is also found in other capitals or beside punctuation, and images of another size than
their masks are refused, not cropped.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

import numpy as np
from PIL import Image

from nulltext.bench.case import Case, Entry, Refused
from nulltext.bench.cases.files import (
    check_name,
    check_words,
    distinct,
    find_file,
    open_upright,
    parse_json,
    read_text,
)
from nulltext.bench.cases.run_length import cut_runs, decode_runs
from nulltext.errors import CaseError, CaseNotFoundError, SettingError
from nulltext.models import embedded

MAPPING, IMAGES = "mapping_file.json", "annotation_images"
SIDE = 512
"""Of every image and mask, pixels."""
SEED = 1234
MODEL = "CompVis/stable-diffusion-v1-4"
CATEGORIES: Mapping[str, str] = {
    "0": "random",
    "1": "change object",
    "2": "add object",
    "3": "delete object",
    "4": "change content",
    "5": "change pose",
    "6": "change color",
    "7": "change material",
    "8": "change background",
    "9": "change style",
}
"""The kinds of edits, by their number in the mapping file."""

WHITE = 255
_WORDS = re.compile(r"[^\W\d_]+|\d")
"""What a word list has: words, and digits one by one."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PieSet:
    """What a folder holds.

    Attributes:
        entries: The cases, in the order of the mapping file, named by their ids, their kinds by `CATEGORIES`; each
            entry that cannot be used in its place.
        remarks: What was amiss in entries, and how it was taken; empty unless read leniently.
    """

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...]

    @property
    def cases(self) -> tuple[Case, ...]:
        """The entries that can be used."""
        return tuple(entry for entry in self.entries if isinstance(entry, Case))

    @property
    def whole(self) -> tuple[str, ...]:
        """The names of the cases whose mask is the whole image: see `is_whole`."""
        return tuple(case.name for case in self.cases if is_whole(case))


def is_whole(case: Case) -> bool:
    """Whether nothing is outside of the mask: the metrics of what is preserved leave such cases out."""
    return case.changed is not None and case.changed.getextrema()[0] == WHITE


def read_pie(folder: str | os.PathLike[str], *, lenient: bool = False) -> PieSet:
    """Reads PIE-Bench, or any set in its format, and checks every entry before anything is measured.

    Args:
        folder: Where the mapping file and the images are.
        lenient: Whether to take as the authors' programs do what is amiss in an entry, and remark on it: a run beyond
            the end of a mask is cut off there, a blended word that its caption does not have is left out.

    Raises:
        CaseNotFoundError: There is no mapping file.
        CaseError: The mapping file cannot be used.
    """
    file, entries = _mapping(Path(folder))
    remarks: list[str] | None = [] if lenient else None
    read: list[Entry] = []
    for name, entry in entries.items():
        where = f"{file}, entry {name!r}"
        try:
            read.append(_case(file.parent / IMAGES, where, name, entry, remarks))
        except CaseError as error:
            read.append(Refused(name=name, where=where, error=error, **_fields(entry)))
    return PieSet(entries=tuple(distinct(read)), remarks=tuple(remarks or ()))


def check_model(given: Mapping[str, Any]) -> None:
    """Makes sure, before anything is loaded, that the embedded model knows every word of a set if no other is given.

    Args:
        given: The options of the command.

    Raises:
        SettingError: It does not; says which model to take.
        CaseNotFoundError: There is no mapping file.
        CaseError: The mapping file cannot be used.
    """
    if given["model"] is not None:
        return
    known, folder = embedded.words(), given["data"]
    _, entries = _mapping(Path(folder))
    fields = [cast("dict[str, object]", entry) for entry in entries.values() if isinstance(entry, dict)]
    prompts = [entry.get(name) for entry in fields for name in ("original_prompt", "editing_prompt")]
    captions = [plain_caption(prompt) for prompt in prompts if isinstance(prompt, str)]
    strange = [caption for caption in captions if not known.issuperset(_WORDS.findall(caption.lower()))]
    if strange:
        raise SettingError(
            f"got no --model, and the embedded one does not know all words of {len(strange)} of the {len(captions)} "
            f"captions in {folder}, such as {strange[0]!r}; expected a model for real captions: give --model {MODEL}, "
            "or a folder of one."
        )


def _mapping(folder: Path) -> tuple[Path, dict[str, object]]:
    file = folder / MAPPING
    if not file.is_file():
        raise CaseNotFoundError(
            f"there is no {file}; expected a folder with {MAPPING} and {IMAGES}, as PIE-Bench is published. Check "
            "the path."
        )
    entries = parse_json(read_text(file), str(file))
    if not isinstance(entries, dict) or not entries:
        raise CaseError(f"{file}: got no entries; expected an object with one for each image, under its id.")
    return file, cast("dict[str, object]", entries)


def plain_caption(prompt: str) -> str:
    """A prompt without its square brackets, and without the blanks that they leave behind."""
    return " ".join(prompt.replace("[", "").replace("]", "").split())


def _case(images: Path, where: str, name: str, entry: object, remarks: list[str] | None) -> Case:
    if not isinstance(entry, dict):
        raise CaseError(f"{where}: got {entry!r}; expected an object with {', '.join(_FIELDS)}.")
    fields = cast("dict[str, object]", entry)
    for field, kind in _FIELDS.items():
        if not isinstance(fields.get(field), kind):
            got = repr(fields[field])[:40] if field in fields else "none"
            raise CaseError(f"{where}: {field}: got {got}; expected {_MEANT[kind]}. Add or correct it.")
    texts = {field: str(fields[field]) for field, kind in _FIELDS.items() if kind is str}
    if texts["editing_type_id"] not in CATEGORIES:
        raise CaseError(
            f"{where}: editing_type_id: got {texts['editing_type_id']!r}; expected '0' to '9', one of "
            f"{', '.join(CATEGORIES.values())}. Correct it."
        )
    source, target = (plain_caption(texts[field]) for field in ("original_prompt", "editing_prompt"))
    if not source or not target:
        raise CaseError(f"{where}: got an empty prompt; expected words in original_prompt and editing_prompt.")
    image = find_file(images, texts["image_path"], where)
    size = open_upright(image, where).size
    if size != (SIDE, SIDE):
        raise CaseError(f"{where}: {image} is {size[0]} x {size[1]}; expected {SIDE} x {SIDE}, as its mask is.")
    return Case(
        name=check_name(name, where),
        kind=CATEGORIES[texts["editing_type_id"]],
        image=image,
        source=source,
        target=target,
        changed=_mask(cast("list[object]", fields["mask"]), where, remarks),
        blend=_blend(texts["blended_word"].split(), (source, target), where, remarks),
        truth=None,
        words={},
        seed=SEED,
        where=where,
    )


def _fields(entry: object) -> dict[str, str]:
    """The kind and the captions of an entry that cannot be used, as far as it has any."""
    fields = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    texts = {name: text if isinstance(text := fields.get(name), str) else "" for name in _FIELDS}
    return {
        "kind": CATEGORIES.get(texts["editing_type_id"], ""),
        "source": plain_caption(texts["original_prompt"]),
        "target": plain_caption(texts["editing_prompt"]),
    }


_FIELDS: Mapping[str, type] = {
    "image_path": str,
    "original_prompt": str,
    "editing_prompt": str,
    "editing_type_id": str,
    "blended_word": str,
    "mask": list,
}
_MEANT: Mapping[type, str] = {str: "text", list: "a list of numbers: start, length, start, length, ..."}


def _mask(values: list[object], where: str, remarks: list[str] | None) -> Image.Image:
    runs: list[int] = []
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool):
            raise CaseError(f"{where}: mask: got {value!r}; expected whole numbers only. Copy the list again.")
        runs.append(value)
    if remarks is not None and len(runs) % 2 == 0 and (cut := cut_runs(runs, size=SIDE * SIDE)) != runs:
        remarks.append(f"{where}: a run of the mask went beyond its end and was cut off there.")
        runs = cut
    try:
        cells = decode_runs(runs, height=SIDE, width=SIDE)
    except CaseError as error:
        raise CaseError(f"{where}: mask: {error}") from error
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    return Image.fromarray(cells.astype(np.uint8) * WHITE)


def _blend(
    words: list[str], captions: tuple[str, str], where: str, remarks: list[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    if not words:
        return None
    if len(words) != len(captions):
        raise CaseError(
            f"{where}: blended_word: got {' '.join(words)!r}; expected two words, one of each caption with a blank "
            "between them, or nothing. Correct it."
        )
    kept: list[tuple[str, ...]] = []
    for word, caption in zip(words, captions, strict=True):
        try:
            check_words([word], caption, f"{where}: blended_word")
        except CaseError as error:
            if remarks is None:
                raise
            remarks.append(f"{error} It was left out.")
            kept.append(())
        else:
            kept.append((word,))
    return (kept[0], kept[1]) if any(kept) else None
