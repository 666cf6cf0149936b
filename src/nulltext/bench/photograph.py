"""Candidates on one photograph: it is inverted once for all that share an inversion, edited, and measured."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import final

import torch

from nulltext import __version__
from nulltext.bench.attempts import Failed, attempt
from nulltext.bench.candidates import Candidate, Measure, Outcome
from nulltext.bench.cases import Case, Refused
from nulltext.bench.cost import Cost, measured, measured_together
from nulltext.bench.kept import FAILED, MEASURED, Row, read_sample, write_kept, write_sample
from nulltext.bench.keys import LIBRARIES, digest, instruments
from nulltext.diffusion.sharing import SharedDenoiser
from nulltext.editing.base import Editor, in_force
from nulltext.editing.blending import HALF
from nulltext.errors import DivergedError
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import reconstruct
from nulltext.inversion.together import inverting
from nulltext.metrics import Missing
from nulltext.models.base import Model
from nulltext.models.precision import precision_of
from nulltext.models.shared import sharing
from nulltext.pictures import Photo, open_image, to_image
from nulltext.progress import OnProgress
from nulltext.types import OnePixels

_Key = tuple[str, str]
_Inverted = Mapping[_Key, tuple[Inversion, Cost] | Failed]
"""A photograph's inversions and what they cost, by inverter and caption."""
_Drawn = Mapping[str, tuple[OnePixels, Cost] | Failed]
"""What a candidate made of the cases and what it cost, by the case's name."""


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """A candidate to be tried on the cases of a photograph.

    Attributes:
        candidate: The candidate.
        key: Of its rows.
        path: Where they are kept.
    """

    candidate: Candidate
    key: str
    path: Path


def try_photograph(
    model: Model,
    one: tuple[Sequence[Case], Sequence[Task]],
    on_progress: OnProgress,
    *,
    measures: Mapping[str, Measure],
    folder: Path,
    shown: frozenset[str],
    at_once: int,
) -> list[list[Row]]:
    """Candidates on one photograph; the rows of each are kept, in one piece, if none of them failed.

    Args:
        model: The model.
        one: Cases that share a photograph and its caption, and what is to be done with them.
        on_progress: Told of every step.
        measures: The figures, by the name of their column.
        folder: Where pictures to look at are kept.
        shown: Of which cases.
        at_once: How many inversions and reconstructions share the network's batch.

    Returns:
        For every task the rows of the cases.
    """
    group, tasks = one
    photo = attempt(lambda: open_image(group[0].picture, model))
    if isinstance(photo, Failed):
        return [[failed_row(model, case, task.candidate, photo.reason, measures) for case in group] for task in tasks]
    candidates = [task.candidate for task in tasks]
    inverted = _inverted(model, group, candidates, photo, at_once=at_once, on_progress=on_progress)
    again = _drawn_again(model, group, candidates, inverted, at_once)
    found: list[list[Row]] = []
    for task in tasks:
        drawn = (
            {case.name: again[task.candidate.name, case.name] for case in group}
            if task.candidate.editor is None
            else _edited(model, group, task.candidate, task.candidate.editor, inverted)
        )
        rows: list[Row] = []
        for case in group:
            made = (inverted[_inversion_key(task.candidate, case)], drawn[case.name])
            row = _measured_row(model, case, task, photo, made, measures=measures)
            if isinstance(row, Failed):
                row = failed_row(model, case, task.candidate, row.reason, measures)
            elif case.name in shown and not isinstance(made[1], Failed):
                keep_samples(folder, row, photo, made[1][0])
            rows.append(row)
        if all(row["status"] == MEASURED for row in rows):
            write_kept(task.path, task.key, rows)
        found.append(rows)
    return found


def failed_row(
    model: Model, entry: Case | Refused, candidate: Candidate, reason: str, measures: Mapping[str, Measure]
) -> Row:
    """The row of what could not be measured: the columns of any other, no figure, and why."""
    seed = entry.seed if isinstance(entry, Case) else None
    empty: Row = dict.fromkeys((*measures, *COSTS, "inverted_under", "inverter", "editor", "key", "sha256"))
    return {
        **_named(entry, candidate, status=FAILED, reason=_with_place(reason, entry.where)),
        **empty,
        "missing": "{}",
        **_circumstances(model, measures),
        "seed": seed,
    }


COSTS = (
    "invert_seconds",
    "invert_forwards",
    "invert_backwards",
    "edit_seconds",
    "edit_forwards",
    "edit_backwards",
    "seconds",
    "peak_bytes",
)


def _with_place(reason: str, where: str) -> str:
    return reason if not where or where in reason else f"{where}: {reason}"


def _named(entry: Case | Refused, candidate: Candidate, *, status: str, reason: str) -> Row:
    return {
        "case": entry.name,
        "kind": entry.kind,
        "method": candidate.name,
        "source": entry.source,
        "target": entry.target,
        "status": status,
        "reason": reason,
        "where": entry.where,
    }


def _circumstances(model: Model, measures: Mapping[str, Measure]) -> Row:
    return {
        "instruments": ", ".join(instruments(measures)),
        "model": model.identity.id,
        "revision": model.identity.revision,
        "dtype": precision_of(model),
        "device": str(model.device),
        "python": platform.python_version(),
        "nulltext": __version__,
        **{library: version(library) for library in LIBRARIES},
    }


def _measured_row(
    model: Model,
    case: Case,
    task: Task,
    photo: Photo,
    made: tuple[tuple[Inversion, Cost] | Failed, tuple[OnePixels, Cost] | Failed],
    *,
    measures: Mapping[str, Measure],
) -> Row | Failed:
    inverted, drawn = made
    if isinstance(inverted, Failed):
        return inverted
    if isinstance(drawn, Failed):
        return drawn
    return attempt(partial(_row, model, case, task, photo, *inverted, *drawn, measures))


def _row(  # noqa: PLR0917  all that a row tells of
    model: Model,
    case: Case,
    task: Task,
    photo: Photo,
    inversion: Inversion,
    spent: Cost,
    pixels: OnePixels,
    cost: Cost,
    measures: Mapping[str, Measure],
) -> Row:
    candidate = task.candidate
    if not torch.isfinite(pixels).all():
        raise DivergedError("the edited picture became infinite or not-a-number. Take dtype float32 or less guidance.")
    outcome = Outcome(
        case=case,
        photo=photo,
        inversion=inversion,
        drawn=pixels,
        truth=None if case.truth is None else open_image(case.truth, model).pixels,
        changed=None if case.changed is None else photo.frame.fit_mask(case.changed)[0, 0] > HALF,
    )
    figures = {name: measure(outcome) for name, measure in measures.items()}
    own = candidate.inverts
    return {
        **_named(case, candidate, status=MEASURED, reason=""),
        **{name: None if isinstance(x, Missing) else x for name, x in figures.items()},
        "missing": json.dumps({name: x.reason for name, x in figures.items() if isinstance(x, Missing)}),
        "invert_seconds": spent.seconds if own else 0,
        "invert_forwards": spent.forwards if own else 0,
        "invert_backwards": spent.backwards if own else 0,
        "edit_seconds": cost.seconds,
        "edit_forwards": cost.forwards,
        "edit_backwards": cost.backwards,
        "seconds": cost.seconds + (spent.seconds if own else 0),
        "peak_bytes": None if isinstance(cost.peak_bytes, Missing) else cost.peak_bytes,
        "inverted_under": candidate.prompt(case),
        "inverter": repr(candidate.inverter(case)),
        "editor": "" if candidate.editor is None else repr(in_force(candidate.editor(case), model)),
        "key": task.key,
        "sha256": photo.sha256,
        **_circumstances(model, measures),
        "seed": case.seed,
    }


def _inversion_key(candidate: Candidate, case: Case) -> _Key:
    return digest(candidate.inverter(case)), candidate.prompt(case)


def _inverted(
    model: Model,
    group: Sequence[Case],
    candidates: Sequence[Candidate],
    photo: Photo,
    *,
    at_once: int,
    on_progress: OnProgress,
) -> _Inverted:
    """One photograph's inversions, each once."""
    wanted = {
        _inversion_key(candidate, case): (candidate.inverter(case), candidate.prompt(case))
        for candidate in candidates
        for case in group
    }
    if at_once > 1:
        works = [inverting(model, inverter, photo, caption, on_progress) for inverter, caption in wanted.values()]
        made = attempt(lambda: measured_together(model, works, at_once))
        if not isinstance(made, Failed):
            return dict(zip(wanted, made, strict=True))
    return {
        key: attempt(partial(measured, model, partial(inverter, model, photo, caption, on_progress)))
        for key, (inverter, caption) in wanted.items()
    }


def _drawn_again(
    model: Model, group: Sequence[Case], candidates: Sequence[Candidate], inverted: _Inverted, at_once: int
) -> Mapping[tuple[str, str], tuple[OnePixels, Cost] | Failed]:
    """What the candidates without an editor draw and what it costs, by the candidate's name and the case's."""
    found: dict[tuple[str, str], tuple[OnePixels, Cost] | Failed] = {}
    wanted: dict[tuple[str, str], tuple[Inversion, float | None]] = {}
    for candidate in candidates:
        for case in group if candidate.editor is None else ():
            made = inverted[_inversion_key(candidate, case)]
            if isinstance(made, Failed):
                found[candidate.name, case.name] = made
            else:
                wanted[candidate.name, case.name] = made[0], candidate.guidance
    if at_once > 1:
        works = [partial(_drawn_by, model, *one) for one in wanted.values()]
        drawn = attempt(lambda: measured_together(model, works, at_once))
        if not isinstance(drawn, Failed):
            return found | dict(zip(wanted, drawn, strict=True))
    for key, one in wanted.items():
        found[key] = attempt(partial(measured, model, partial(reconstruct, model, *one)))
    return found


def _drawn_by(model: Model, inversion: Inversion, guidance: float | None, denoiser: SharedDenoiser) -> OnePixels:
    return reconstruct(sharing(model, denoiser), inversion, guidance)


def _edited(
    model: Model,
    group: Sequence[Case],
    candidate: Candidate,
    editor: Callable[[Case], Editor],
    inverted: _Inverted,
) -> _Drawn:
    """What an editor draws and what it costs, by the case's name.

    Cases of one inversion with an equal editor are drawn side by side, as one would draw several captions: each costs
    its share of the evaluations and of the seconds, the source's among them. The peak is that of all. Where that fails
    each is drawn alone, so that those that can be drawn are.
    """
    alike: dict[tuple[str, str, str], list[Case]] = {}
    for case in group:
        alike.setdefault((*_inversion_key(candidate, case), digest(editor(case))), []).append(case)
    edited: dict[str, tuple[OnePixels, Cost] | Failed] = {}
    for (inverter, caption, _), cases in alike.items():
        made = inverted[inverter, caption]
        if isinstance(made, Failed):
            edited |= dict.fromkeys([case.name for case in cases], made)
            continue
        together = _side_by_side(model, cases, editor, made[0])
        if isinstance(together, Failed):
            for case in cases:
                alone = together if len(cases) == 1 else _side_by_side(model, [case], editor, made[0])
                edited |= {case.name: alone} if isinstance(alone, Failed) else alone
        else:
            edited |= together
    return edited


def _side_by_side(
    model: Model, cases: Sequence[Case], editor: Callable[[Case], Editor], inversion: Inversion
) -> dict[str, tuple[OnePixels, Cost]] | Failed:
    made = attempt(
        lambda: measured(model, partial(editor(cases[0]), model, inversion, [case.target for case in cases]))
    )
    if isinstance(made, Failed):
        return made
    edit, cost = made
    share = Cost(
        forwards=round(cost.forwards / len(cases)),
        backwards=round(cost.backwards / len(cases)),
        seconds=cost.seconds / len(cases),
        peak_bytes=cost.peak_bytes,
    )
    drawn = torch.split(edit.pixels, 1)
    return {case.name: (pixels, share) for case, pixels in zip(cases, drawn, strict=True)}


def keep_samples(folder: Path, row: Row, photo: Photo, drawn: OnePixels) -> None:
    """Keeps the picture that a row tells of, and its source.

    Raises:
        OutputWriteError: The system refused.
    """
    for (path, stamp), pixels in zip(samples_of(folder, row), (photo.pixels, drawn), strict=True):
        write_sample(path, to_image(pixels), stamp)


def samples_of(folder: Path, row: Row) -> tuple[tuple[Path, str], tuple[Path, str]]:
    """Where the source of a row and the picture it tells of are kept, if they are, each with its stamp."""
    source = folder / f"{row['case']}.source.png", f"{row['sha256']} {row['revision']}"
    return source, (folder / f"{row['case']}.{row['method']}.png", str(row["key"]))


def has_samples(folder: Path, row: Row) -> bool:
    """Whether both are kept, whole and its own."""
    return all(read_sample(path, stamp) is not None for path, stamp in samples_of(folder, row))
