"""What is checked of every case before the first is inverted: that the model can read its captions."""

from collections.abc import Iterable, Sequence

from nulltext.bench.cases import Case, Entry, Refused
from nulltext.errors import CaptionError, CaseError
from nulltext.models.base import Model, check_captions


def checked(model: Model, entries: Iterable[Entry]) -> list[Entry]:
    """The entries, those refused whose captions the model cannot read, or that blend by words they do not have.

    Args:
        model: The model.
        entries: Cases, and entries that are refused already.
    """
    faults: dict[str, CaptionError | None] = {}
    return [entry if isinstance(entry, Refused) else _checked(model, entry, faults) for entry in entries]


def _checked(model: Model, case: Case, faults: dict[str, CaptionError | None]) -> Entry:
    captions = case.source, case.target
    for caption in captions:
        if caption not in faults:
            faults[caption] = _fault(model, caption)
    found = [error for caption in captions if (error := faults[caption]) is not None]
    found += [] if found or case.blend is None else _missing(model, captions, case.blend)
    if not found:
        return case
    place = case.where or case.name
    return Refused(
        name=case.name,
        where=case.where,
        error=CaseError(f"{place}: {found[0]}"),
        kind=case.kind,
        source=case.source,
        target=case.target,
    )


def _fault(model: Model, caption: str) -> CaptionError | None:
    try:
        check_captions(model, [caption])
    except CaptionError as error:
        return error
    return None


def _missing(model: Model, captions: Sequence[str], blend: Sequence[Sequence[str]]) -> list[CaptionError]:
    found: list[CaptionError] = []
    for caption, words in zip(captions, blend, strict=True):
        tokens = model.tokenize(caption)
        for word in words:
            try:
                tokens.find(word)
            except CaptionError as error:
                found.append(error)
    return found
