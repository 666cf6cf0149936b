"""A grid of methods over cases: a row for every edited picture, kept as it is made, so that a killed run goes on."""

import hashlib
import io
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TypeVar, final

import torch
from jaxtyping import Bool
from torch import Tensor

from nulltext import __version__
from nulltext.bench.cases import Case
from nulltext.bench.cost import Cost, measured, measured_together
from nulltext.bench.each import each
from nulltext.bench.extras import extra
from nulltext.editing.base import Editor, in_force
from nulltext.editing.blend import HALF
from nulltext.errors import OutputWriteError
from nulltext.files import write_file
from nulltext.inversion.base import Inversion, Inverter
from nulltext.inversion.reconstruct import reconstruct, reconstructing
from nulltext.metrics import Missing
from nulltext.models.base import Model
from nulltext.models.precision import precision_of
from nulltext.pictures import Photo, open_image, to_image
from nulltext.progress import OnProgress, silent
from nulltext.types import OnePixels

LIBRARIES = ("torch", "diffusers", "transformers")
ROWS, SAMPLES = "rows", "pictures"
"""Folders of a run: a file for every picture done, and the pictures of the first few."""
TIMED = ("invert_seconds", "edit_seconds", "seconds", "peak_bytes")
"""Columns that no two runs have alike."""

Method = TypeVar("Method", Inverter, Editor)

Value = str | int | float | bool | None
Row = dict[str, Value]


@final
@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method to be measured.

    Attributes:
        name: What its rows are called.
        inverter: How it inverts a case; candidates with an equal one share its inversions.
        editor: How it edits a case; None draws the source again.
        caption: Under which caption a case is inverted; None is the case's own.
        guidance: The weight w at which the source is drawn again; None is the inversion's own.
        inverts: Whether the inversion belongs to the method: SDEdit, for one, only takes the picture from it.
    """

    name: str
    inverter: Callable[[Case], Inverter]
    editor: Callable[[Case], Editor] | None
    caption: Callable[[Case], str] | None = None
    guidance: float | None = None
    inverts: bool = True


def always(method: Method) -> Callable[[Case], Method]:
    """The same method for every case."""
    return partial(_given, method=method)


def _given(_: Case, *, method: Method) -> Method:
    return method


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a method made of a case, for the measures.

    Attributes:
        case: The case.
        photo: The photograph, fitted to the model.
        inversion: Its inversion.
        drawn: [1, 3, H, W] in [-1, 1] the edited picture.
        truth: [1, 3, H, W] the true edited picture, where it is known.
        changed: [H, W] where the edit belongs, where that is known.
    """

    case: Case
    photo: Photo
    inversion: Inversion
    drawn: OnePixels
    truth: OnePixels | None
    changed: Bool[Tensor, "height width"] | None


Measure = Callable[[Outcome], float | Missing]
"""One figure of one edited picture. For several workers a function of a module, or a `partial` of one."""


def run(
    model: Model,
    cases: Sequence[Case],
    candidates: Sequence[Candidate],
    measures: Mapping[str, Measure],
    folder: Path,
    *,
    instruments: Sequence[object] = (),
    samples: int = 8,
    workers: int = 1,
    at_once: int = 1,
    on_progress: OnProgress = silent,
) -> list[Row]:
    """Tries every candidate on every case, and measures.

    A candidate's rows of a photograph are written as soon as its edits are drawn, under a name made of everything that
    they depend on. The same run in the same folder goes on where it was; another one, with more cases or candidates,
    keeps what they share. At the end ``rows.parquet`` has the rows of this run, in the order of cases and candidates.

    Args:
        model: The model.
        cases: What is tried; neighbours that share picture and caption are inverted once.
        candidates: The methods.
        measures: The figures, by the name of their column.
        folder: Where rows and pictures are kept; made if need be.
        instruments: What else the figures depend on, such as the CLIP that is asked; goes into the rows as it calls
            itself.
        samples: Of how many cases the pictures are kept, to look at.
        workers: How many pictures at a time; more than one needs a model on the CPU.
        at_once: How many inversions and reconstructions of a picture share the network's batch. With more than one,
            the seconds of each are its share by evaluations.
        on_progress: Told of every picture.

    Returns:
        The rows.

    Raises:
        NulltextError: A case cannot be opened, or a method fails.
        SettingError: A library that writes or measures is not installed.
        OutputWriteError: The folder cannot be written to.
    """
    extra("pyarrow.parquet")  # early: hours of work end with it
    for part in (ROWS, SAMPLES):
        try:
            (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputWriteError(f"cannot make {folder / part}: {error.strerror}. Choose another folder.") from error
    shown = {case.name for case in cases[:samples]}
    groups = [list(group) for _, group in groupby(cases, key=_photograph)]
    asked = ", ".join(map(repr, instruments))
    work = [
        (
            group,
            [(candidate, _kept_at(model, group, candidate, [*measures, asked], folder)) for candidate in candidates],
        )
        for group in groups
    ]
    missing = [(group, [one for one in tried if not one[1].exists()]) for group, tried in work]
    todo = [(group, tried) for group, tried in missing if tried]
    measure = partial(_try, measures=measures, asked=asked, folder=folder, shown=shown, at_once=at_once)
    each(model, todo, measure, workers=workers, on_progress=on_progress)
    read = [[json.loads(path.read_text(encoding="utf-8")) for _, path in tried] for _, tried in work]
    rows: list[Row] = [row for photograph in read for of_case in zip(*photograph, strict=True) for row in of_case]
    write_parquet(rows, folder / "rows.parquet")
    return rows


def _photograph(case: Case) -> tuple[Path | int, str]:
    """What cases that are inverted together share: the picture, one object or one file, and its caption."""
    return case.picture if isinstance(case.picture, Path) else id(case.picture), case.source


def write_parquet(rows: Sequence[Row], path: Path) -> Path:
    """Writes rows, one column for every key.

    Raises:
        SettingError: pyarrow is not installed.
        OutputWriteError: The system refused.
    """
    table, data = extra("pyarrow").Table.from_pylist(list(rows)), io.BytesIO()
    extra("pyarrow.parquet").write_table(table, data)
    return write_file(path, data.getvalue(), overwrite=True)


def _kept_at(model: Model, group: Sequence[Case], candidate: Candidate, measures: Sequence[str], folder: Path) -> Path:
    """Where a candidate's rows of one photograph are kept: a name that changes with everything they depend on."""
    record = {
        "version": __version__,
        "model": asdict(model.identity),
        "dtype": precision_of(model),
        "measures": measures,
        "cases": [(case.name, case.kind, case.source, case.target, case.seed) for case in group],
        "picture": _digest(group[0]),
        "method": (
            candidate.name,
            candidate.inverts,
            candidate.guidance,
            [_settings(model, candidate, case) for case in group],
        ),
    }
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return folder / ROWS / f"{group[0].name}-{digest[:16]}.json"


def _digest(case: Case) -> str:
    data = case.picture.read_bytes() if isinstance(case.picture, Path) else case.picture.tobytes()
    return hashlib.sha256(data).hexdigest()


def _settings(model: Model, candidate: Candidate, case: Case) -> Row:
    """The settings of a method for a case, as they stand in its row, with what is left to the model filled in."""
    return {
        "inverted_under": case.source if candidate.caption is None else candidate.caption(case),
        "inverter": repr(candidate.inverter(case)),
        "editor": "" if candidate.editor is None else repr(in_force(candidate.editor(case), model)),
    }


def _try(
    model: Model,
    one: tuple[Sequence[Case], Sequence[tuple[Candidate, Path]]],
    on_progress: OnProgress,
    *,
    measures: Mapping[str, Measure],
    asked: str,
    folder: Path,
    shown: set[str],
    at_once: int,
) -> None:
    """Candidates on one photograph; each one's rows are written in one piece."""
    group, tried = one
    photo = open_image(group[0].picture, model)
    inverted = _inverted(
        model, group, [candidate for candidate, _ in tried], photo, at_once=at_once, on_progress=on_progress
    )
    again = _drawn_again(model, group, [candidate for candidate, _ in tried], inverted, at_once)
    for candidate, path in tried:
        if candidate.editor is None:
            pictures = {case.name: again[candidate.name, case.name] for case in group}
        else:
            pictures = _edited(model, group, candidate, candidate.editor, inverted)
        rows: list[Row] = []
        for case in group:
            settings = _settings(model, candidate, case)
            inversion, spent = inverted[settings["inverter"], settings["inverted_under"]]
            drawn, cost = pictures[case.name]
            outcome = Outcome(
                case=case,
                photo=photo,
                inversion=inversion,
                drawn=drawn,
                truth=None if case.truth is None else open_image(case.truth, model).pixels,
                changed=None if case.changed is None else photo.frame.fit_mask(case.changed)[0, 0] > HALF,
            )
            figures = {name: measure(outcome) for name, measure in measures.items()}
            rows.append(
                {
                    "case": case.name,
                    "kind": case.kind,
                    "method": candidate.name,
                    "source": case.source,
                    "target": case.target,
                    **{name: None if isinstance(x, Missing) else x for name, x in figures.items()},
                    "missing": json.dumps({name: x.reason for name, x in figures.items() if isinstance(x, Missing)}),
                    **(spent if candidate.inverts else dict.fromkeys(spent, 0)),
                    "edit_seconds": cost.seconds,
                    "edit_forwards": cost.forwards,
                    "edit_backwards": cost.backwards,
                    "seconds": cost.seconds + (float(spent["invert_seconds"] or 0) if candidate.inverts else 0),
                    "peak_bytes": None if isinstance(cost.peak_bytes, Missing) else cost.peak_bytes,
                    **settings,
                    "instruments": asked,
                    "seed": case.seed,
                    "sha256": photo.sha256,
                    "model": model.identity.id,
                    "revision": model.identity.revision,
                    "dtype": precision_of(model),
                    "device": str(model.device),
                    "python": platform.python_version(),
                    "nulltext": __version__,
                    **{library: version(library) for library in LIBRARIES},
                }
            )
            if case.name in shown:
                _keep_sample(folder / SAMPLES, case, candidate, photo, drawn)
        write_file(path, json.dumps(rows, indent=1).encode(), overwrite=True)


def _inverted(
    model: Model,
    group: Sequence[Case],
    candidates: Sequence[Candidate],
    photo: Photo,
    *,
    at_once: int,
    on_progress: OnProgress,
) -> Mapping[tuple[Value, Value], tuple[Inversion, Row]]:
    """One photograph's inversions and what they cost, each once, by the inverter and the caption in its rows."""
    wanted: dict[tuple[Value, Value], tuple[Inverter, str]] = {}
    for candidate in candidates:
        for case in group:
            settings = _settings(model, candidate, case)
            key = settings["inverter"], settings["inverted_under"]
            wanted[key] = candidate.inverter(case), str(settings["inverted_under"])
    if at_once == 1:
        made = [
            measured(model, partial(inverter, model, photo, caption, on_progress))
            for inverter, caption in wanted.values()
        ]
    else:
        works = [inverter.inverting(model, photo, caption, on_progress) for inverter, caption in wanted.values()]
        made = measured_together(model, works, at_once)
    return {
        key: (
            inversion,
            {
                "invert_seconds": cost.seconds,
                "invert_forwards": cost.forwards,
                "invert_backwards": cost.backwards,
            },
        )
        for key, (inversion, cost) in zip(wanted, made, strict=True)
    }


def _drawn_again(
    model: Model,
    group: Sequence[Case],
    candidates: Sequence[Candidate],
    inverted: Mapping[tuple[Value, Value], tuple[Inversion, Row]],
    at_once: int,
) -> Mapping[tuple[str, str], tuple[OnePixels, Cost]]:
    """What the candidates without an editor draw and what it costs, by the candidate's name and the case's."""
    wanted: dict[tuple[str, str], tuple[Inversion, float | None]] = {}
    for candidate in candidates:
        for case in group if candidate.editor is None else ():
            settings = _settings(model, candidate, case)
            inversion, _ = inverted[settings["inverter"], settings["inverted_under"]]
            wanted[candidate.name, case.name] = inversion, candidate.guidance
    if at_once == 1:
        return {key: measured(model, partial(reconstruct, model, *one)) for key, one in wanted.items()}
    works = [reconstructing(model, *one) for one in wanted.values()]
    return dict(zip(wanted, measured_together(model, works, at_once), strict=True))


def _edited(
    model: Model,
    group: Sequence[Case],
    candidate: Candidate,
    editor: Callable[[Case], Editor],
    inverted: Mapping[tuple[Value, Value], tuple[Inversion, Row]],
) -> dict[str, tuple[OnePixels, Cost]]:
    """What an editor draws and what it costs, by the case's name.

    Cases of one inversion with an equal editor are drawn side by side, as one would draw several captions: each costs
    its share of the evaluations and of the seconds, the source's among them. The peak is that of all.
    """
    alike: dict[tuple[Value, Value, Value], list[Case]] = {}
    for case in group:
        settings = _settings(model, candidate, case)
        alike.setdefault((settings["inverter"], settings["inverted_under"], settings["editor"]), []).append(case)
    edited: dict[str, tuple[OnePixels, Cost]] = {}
    for (inverter, caption, _), cases in alike.items():
        inversion, _ = inverted[inverter, caption]
        work = partial(editor(cases[0]), model, inversion, [case.target for case in cases])
        edit, cost = measured(model, work)
        share = Cost(
            forwards=round(cost.forwards / len(cases)),
            backwards=round(cost.backwards / len(cases)),
            seconds=cost.seconds / len(cases),
            peak_bytes=cost.peak_bytes,
        )
        drawn = torch.split(edit.pixels, 1)
        edited |= {case.name: (pixels, share) for case, pixels in zip(cases, drawn, strict=True)}
    return edited


def _keep_sample(folder: Path, case: Case, candidate: Candidate, photo: Photo, drawn: OnePixels) -> None:
    for name, pixels in ((f"{case.name}.source", photo.pixels), (f"{case.name}.{candidate.name}", drawn)):
        data = io.BytesIO()
        to_image(pixels).save(data, "PNG")
        write_file(folder / f"{name}.png", data.getvalue(), overwrite=True)
