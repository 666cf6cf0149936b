"""Edits of many photographs together: one batch of the network serves several of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, overload

from nulltext.bars import teller
from nulltext.checks import Count
from nulltext.diffusion.sharing import Work
from nulltext.editing.base import Edit, Editor
from nulltext.errors import (
    AttentionError,
    ImageError,
    InversionError,
    MismatchError,
    NulltextError,
    OutOfMemoryError,
    PromptError,
    SettingError,
)
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, check_prompts
from nulltext.models.many import Errors, Together
from nulltext.progress import OnProgress, Telling, silent

Job = tuple[Editor, Inversion, str | Sequence[str]]
"""An editor with its settings, an inversion, and one target prompt or several."""


@overload
def edit_many(
    model: Model,
    jobs: Iterable[Job],
    *,
    at_once: Count | None = None,
    errors: Literal["raise"] = "raise",
    on_progress: Telling = silent,
) -> Iterator[tuple[int, Edit]]: ...
@overload
def edit_many(
    model: Model,
    jobs: Iterable[Job],
    *,
    at_once: Count | None = None,
    errors: Literal["return"],
    on_progress: Telling = silent,
) -> Iterator[tuple[int, Edit | NulltextError]]: ...
def edit_many(
    model: Model,
    jobs: Iterable[Job],
    *,
    at_once: Count | None = None,
    errors: Errors = "raise",
    on_progress: Telling = silent,
) -> Iterator[tuple[int, Edit | NulltextError]]:
    """Edits photographs, several at once, each with an editor of its own.

    Each edit is the one that ``editor(model, inversion, prompts)`` makes, but for rounding. Editors that do not ask the
    model's network, such as `VQGANCLIP`, run one after the other.

    What goes wrong with one edit (its prompts, its settings, its inversion, its mask) stops no other.

    Args:
        model: The model that all were inverted with.
        jobs: Editors, each with an inversion and its target prompts. A list is checked before any work. Anything else
            is taken one by one as there is room, so that inversions may be loaded on the way.
        at_once: At most so many are under way; None is 8, or on a GPU as many as its memory takes. Where there turns
            out to be no memory for so many, their batches are halved.
        errors: "raise" raises what went wrong when all others are done, with what was made of them; what is wrong with
            a list, before any work. "return" yields each error in its edit's place, and keeps nothing.
        on_progress: Called for every step of every edit, with its number.

    Yields:
        Which edit it is, from 0, and the edit, as they come; with "return" perhaps its error.

    Raises:
        SettingError: `at_once` or `errors` is out of range.
        ImagesFailedError: Some could not be edited; only with "raise".
    """
    on_progress = teller(on_progress)
    return _EDITING(model, jobs, at_once=at_once, errors=errors, on_progress=on_progress)


def editing(model: Model, job: Job, on_progress: OnProgress = silent) -> Work[Edit]:
    """The edit of one photograph, as a work that shares the network's batches with others."""
    return _EDITING.single(model, job, on_progress)


def _check(model: Model, job: Job) -> None:
    """Makes sure that an inversion can be edited.

    Raises:
        PromptError: A prompt is empty, too long, or has an unknown word.
        MismatchError: The inversion was made with another model.
    """
    _, inversion, prompts = job
    check_prompts(model, [prompts] if isinstance(prompts, str) else prompts)
    inversion.check(model)


def _edit(model: Model, job: Job, on_progress: OnProgress) -> Edit:
    editor, inversion, prompts = job
    return editor(model, inversion, prompts, on_progress)


_EDITING: Final = Together(
    check=_check,
    do=_edit,
    of_one=(
        AttentionError,
        PromptError,
        ImageError,
        InversionError,
        MismatchError,
        OutOfMemoryError,
        SettingError,
    ),
    done="edited",
)
