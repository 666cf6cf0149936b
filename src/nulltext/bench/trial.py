"""Methods on one image: it is inverted once for all that share an inversion, edited, and measured."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, final

from nulltext.bench.attempts import Failed, attempt
from nulltext.bench.candidate import Candidate, Measure
from nulltext.bench.case import Case
from nulltext.bench.cost import Cost, measured, measured_batch
from nulltext.bench.editing import Edited, Job, edit_all
from nulltext.bench.kept import MEASURED, Row, keep_samples, write_kept
from nulltext.bench.keys import digest
from nulltext.bench.rows import failed_row, measured_row
from nulltext.diffusion.sharing import Denoiser
from nulltext.images import SourceImage, open_image
from nulltext.inversion.base import Inversion
from nulltext.inversion.many import inverting
from nulltext.inversion.reconstruct import reconstruct
from nulltext.models.base import Model
from nulltext.models.shared import sharing
from nulltext.progress import OnProgress

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

_Inversions = Mapping[tuple[str, str], tuple[Inversion, Cost] | Failed]
"""An image's inversions and what they cost, by inverter and prompt."""
_Images = dict[tuple[str, str], tuple[Edited, Cost] | Failed]
"""What the methods made of the cases and what it cost, by their names."""


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """A method to be tried on the cases of an image.

    Attributes:
        candidate: The method.
        key: Of its rows.
        path: Where they are kept.
    """

    candidate: Candidate
    key: str
    path: Path


def try_image(
    model: Model,
    one: tuple[Sequence[Case], Sequence[Task]],
    on_progress: OnProgress,
    *,
    measures: Mapping[str, Measure],
    folder: Path,
    shown: frozenset[str],
    at_once: int,
    edits_at_once: int,
) -> list[list[Row]]:
    """Methods on one image; the rows of each are kept, in one piece, if none of them failed.

    Args:
        model: The model.
        one: Cases that share an image and its prompt, and what is to be done with them.
        on_progress: Called for every step.
        measures: The figures, by the name of their column.
        folder: Where images to look at are kept.
        shown: Of which cases.
        at_once: How many inversions and reconstructions share the network's batch.
        edits_at_once: How many edits, of all methods; if 1, only those that one method makes alike.

    Returns:
        For every task the rows of the cases.
    """
    group, tasks = one
    source_image = attempt(lambda: open_image(group[0].image, model))
    if isinstance(source_image, Failed):
        return [
            [failed_row(model, case, task.candidate, source_image.reason, measures) for case in group] for task in tasks
        ]
    pairs = [(task.candidate, case) for task in tasks for case in group]
    inversions = _invert(model, source_image, pairs, at_once, on_progress)
    images = _reconstruct(model, pairs, inversions, at_once)
    if edits_at_once > 1:
        images |= _edit(model, pairs, inversions, edits_at_once)
    found: list[list[Row]] = []
    for task in tasks:
        if edits_at_once == 1:  # its rows are kept before the next method is tried
            images |= _edit(model, [(task.candidate, case) for case in group], inversions, 1)
        rows: list[Row] = []
        for case in group:
            inverted, image = inversions[_inversion(task.candidate, case)], images[task.candidate.name, case.name]
            row = _row(model, case, task, source_image, inverted, image, measures)
            if isinstance(row, Failed):
                row = failed_row(model, case, task.candidate, row.reason, measures)
            elif case.name in shown and not isinstance(image, Failed):
                keep_samples(folder, row, source_image, image[0].pixels)
            rows.append(row)
        if all(row["status"] == MEASURED for row in rows):
            write_kept(task.path, task.key, rows)
        found.append(rows)
    return found


def _row(  # noqa: PLR0917  all that a row tells of
    model: Model,
    case: Case,
    task: Task,
    source_image: SourceImage,
    inverted: tuple[Inversion, Cost] | Failed,
    image: tuple[Edited, Cost] | Failed,
    measures: Mapping[str, Measure],
) -> Row | Failed:
    if isinstance(inverted, Failed):
        return inverted
    if isinstance(image, Failed):
        return image
    given = {"image": source_image, "inverted": inverted, "output": image, "key": task.key, "measures": measures}
    return attempt(partial(measured_row, model, case, task.candidate, **given))


def _inversion(candidate: Candidate, case: Case) -> tuple[str, str]:
    """What tells an image's inversions apart."""
    return digest(candidate.inverter(case)), candidate.prompt_of(case)


def _all(
    keys: Sequence[Key],
    batched: Callable[[Sequence[Key]], Sequence[tuple[Result, Cost]]] | None,
    single: Callable[[Key], tuple[Result, Cost]],
) -> dict[Key, tuple[Result, Cost] | Failed]:
    """Pieces of work done together, or each by itself if there is one, they are not to be, or some of them fail."""
    if batched is not None and len(keys) > 1:
        made = attempt(partial(batched, keys))
        if not isinstance(made, Failed):
            return dict(zip(keys, made, strict=True))
    return {key: attempt(partial(single, key)) for key in keys}


def _invert(
    model: Model,
    source_image: SourceImage,
    pairs: Sequence[tuple[Candidate, Case]],
    at_once: int,
    on_progress: OnProgress,
) -> _Inversions:
    wanted = {_inversion(method, case): (method.inverter(case), method.prompt_of(case)) for method, case in pairs}

    def single(key: tuple[str, str]) -> tuple[Inversion, Cost]:
        inverter, prompt = wanted[key]
        return measured(model, partial(inverter, model, source_image, prompt, on_progress))

    def batched(keys: Sequence[tuple[str, str]]) -> list[tuple[Inversion, Cost]]:
        asked = [wanted[key] for key in keys]
        works = [inverting(model, inverter, source_image, prompt, on_progress) for inverter, prompt in asked]
        return measured_batch(model, works, at_once)

    return _all(list(wanted), batched if at_once > 1 else None, single)


def _reconstruct(
    model: Model, pairs: Sequence[tuple[Candidate, Case]], inversions: _Inversions, at_once: int
) -> _Images:
    """What the methods without an editor make."""
    found: _Images = {}
    wanted: dict[tuple[str, str], tuple[Inversion, float | None]] = {}
    for method, case in pairs:
        if method.editor is None:
            made = inversions[_inversion(method, case)]
            if isinstance(made, Failed):
                found[method.name, case.name] = made
            else:
                wanted[method.name, case.name] = made[0], method.guidance

    def work(key: tuple[str, str], denoiser: Denoiser | None = None) -> Edited:
        return Edited(reconstruct(model if denoiser is None else sharing(model, denoiser), *wanted[key]))

    def single(key: tuple[str, str]) -> tuple[Edited, Cost]:
        return measured(model, partial(work, key))

    def batched(keys: Sequence[tuple[str, str]]) -> list[tuple[Edited, Cost]]:
        return measured_batch(model, [partial(work, key) for key in keys], at_once)

    return found | _all(list(wanted), batched if at_once > 1 else None, single)


def _edit(
    model: Model, pairs: Sequence[tuple[Candidate, Case]], inversions: _Inversions, edits_at_once: int
) -> _Images:
    """What the editors make.

    Edits that share a batch cost each its share of the evaluations and of the seconds, the source's among them; the
    peak is that of all. Where that fails each is made alone, so that those that can be made are.
    """
    found: _Images = {}
    jobs: dict[tuple[str, str], Job] = {}
    alike: dict[object, list[tuple[str, str]]] = {}
    for method, case in pairs:
        if method.editor is not None:
            key, inversion = (method.name, case.name), _inversion(method, case)
            made = inversions[inversion]
            if isinstance(made, Failed):
                found[key] = made
            else:
                editor = method.editor(case)
                jobs[key] = editor, made[0], case.target
                alike.setdefault(None if edits_at_once > 1 else (inversion, digest(editor)), []).append(key)

    def single(key: tuple[str, str]) -> tuple[Edited, Cost]:
        (image,), cost = measured(model, lambda: edit_all(model, [jobs[key]]))
        return image, cost

    def batched(keys: Sequence[tuple[str, str]]) -> list[tuple[Edited, Cost]]:
        at_once = edits_at_once if edits_at_once > 1 else len(keys)
        images, cost = measured(model, lambda: edit_all(model, [jobs[key] for key in keys], at_once=at_once))
        return [(image, cost.share(len(keys))) for image in images]

    for keys in alike.values():
        found |= _all(keys, batched, single)
    return found
