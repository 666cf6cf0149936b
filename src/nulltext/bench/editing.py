"""Many edits at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from nulltext.editing.base import Editor, EditsEach
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent
from nulltext.types import Mask, OnePixels

Job = tuple[Editor, Inversion, str]
"""An editor, what it edits, and the target prompt."""


@final
@dataclass(frozen=True, eq=False)
class Edited:
    """What was made of a case.

    Attributes:
        pixels: [1, 3, H, W] in [-1, 1].
        mask: [1, 1, H, W] in [0, 1] where the method allowed a change; None if it has no mask.
    """

    pixels: OnePixels
    mask: Mask | None = None


def edit_all(model: Model, jobs: Iterable[Job], *, at_once: int = 16, on_progress: OnProgress = silent) -> list[Edited]:
    """Images of target prompts, each by an editor of its own, sampled together where that is possible and none twice.

    Args:
        model: The model that everything was inverted with.
        jobs: What is edited. Edits of one inversion share a batch if their editors differ in what prompts
            may have for themselves at most.
        at_once: At most so many share a batch.
        on_progress: Called for every step.

    Returns:
        One for each job, in their order.
    """
    asked = list(jobs)
    waiting: list[Job] = []
    for job in asked:
        if not any(_same(job, other) for other in waiting):
            waiting.append(job)
    made: list[tuple[Job, Edited]] = []
    while waiting:
        batch = [job for job in waiting if _share(waiting[0], job)][:at_once]
        made += zip(batch, _batch(model, batch, on_progress), strict=True)
        waiting = [job for job in waiting if not any(job is one for one in batch)]
    return [next(edited for other, edited in made if _same(job, other)) for job in asked]


def _batch(model: Model, batch: Sequence[Job], on_progress: OnProgress) -> Sequence[Edited]:
    editor, inversion, _ = batch[0]
    prompts = [prompt for _, _, prompt in batch]
    if isinstance(editor, EditsEach):
        changes = [(prompt, each) for each, _, prompt in batch]
        edit = editor.run.each(model, inversion, changes, on_progress)
    else:
        edit = editor(model, inversion, prompts, on_progress)
    return [Edited(edit.pixels[i : i + 1], edit.mask_of(i)) for i in range(len(batch))]


def _share(one: Job, other: Job) -> bool:
    return one[1] is other[1] and _run(one[0]) == _run(other[0])


def _run(editor: Editor) -> Editor:
    """What has to agree within a batch."""
    return editor.run if isinstance(editor, EditsEach) else editor


def _same(one: Job, other: Job) -> bool:
    return one[1] is other[1] and (one[0], one[2]) == (other[0], other[2])
