"""A row: what is told of one method on one case, measured or not."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import torch
from PIL import Image

from nulltext import __version__
from nulltext.bench.candidate import Candidate, Measure, Outcome
from nulltext.bench.case import Case, Entry
from nulltext.bench.cost import Cost
from nulltext.bench.editing import Edited
from nulltext.bench.kept import FAILED, MEASURED, Row
from nulltext.bench.keys import LIBRARIES, instruments
from nulltext.editing.base import in_force
from nulltext.editing.masks import HALF
from nulltext.errors import DivergedError
from nulltext.images import SourceImage, open_image
from nulltext.inversion.base import Inversion
from nulltext.metrics import Missing
from nulltext.models.base import Model
from nulltext.models.precision import precision_of

COSTS: Final = (
    "invert_seconds",
    "invert_forwards",
    "invert_backwards",
    "edit_seconds",
    "edit_forwards",
    "edit_backwards",
    "seconds",
    "peak_bytes",
)
TIMED: Final = tuple(name for name in COSTS if name.endswith(("seconds", "bytes")))
"""Columns that no two runs have alike."""
_FREE: Final = Cost(forwards=0, backwards=0, seconds=0, peak_bytes=0)


def measured_row(
    model: Model,
    case: Case,
    candidate: Candidate,
    *,
    image: SourceImage,
    inverted: tuple[Inversion, Cost],
    output: tuple[Edited, Cost],
    key: str,
    measures: Mapping[str, Measure],
) -> Row:
    """The row of what a method made of a case, its figures taken.

    Raises:
        DivergedError: The image is not finite.
    """
    made, edit_cost = output
    if not torch.isfinite(made.pixels).all():
        raise DivergedError("the edited image became infinite or not-a-number. Take dtype float32 or less guidance.")
    outcome = Outcome(
        case=case,
        image=image,
        inversion=inverted[0],
        inverted=inverted[1],
        output=made.pixels,
        edited=candidate.editor is not None,
        truth=open_image(case.truth, model).pixels if isinstance(case.truth, Image.Image) else case.truth,
        mask=None if made.mask is None else made.mask[0, 0] > HALF,
        changed=None if case.changed is None else image.frame.fit_mask(case.changed)[0, 0] > HALF,
    )
    figures = {name: measure(outcome) for name, measure in measures.items()}
    cost = inverted[1] if candidate.inverts else _FREE
    return {
        **_named(case, candidate, status=MEASURED, reason=""),
        **{name: None if isinstance(x, Missing) else x for name, x in figures.items()},
        "missing": json.dumps({name: x.reason for name, x in figures.items() if isinstance(x, Missing)}),
        "invert_seconds": cost.seconds,
        "invert_forwards": cost.forwards,
        "invert_backwards": cost.backwards,
        "edit_seconds": edit_cost.seconds,
        "edit_forwards": edit_cost.forwards,
        "edit_backwards": edit_cost.backwards,
        "seconds": edit_cost.seconds + cost.seconds,
        "peak_bytes": edit_cost.peak,
        "inverted_under": candidate.prompt_of(case),
        "inverter": repr(candidate.inverter(case)),
        "editor": "" if candidate.editor is None else repr(in_force(candidate.editor(case), model)),
        "key": key,
        "sha256": image.sha256,
        **_circumstances(model, measures),
        "seed": case.seed,
    }


def failed_row(model: Model, entry: Entry, candidate: Candidate, reason: str, measures: Mapping[str, Measure]) -> Row:
    """The row of what could not be measured: the columns of any other, no figure, and why."""
    placed = reason if not entry.where or entry.where in reason else f"{entry.where}: {reason}"
    return {
        **_named(entry, candidate, status=FAILED, reason=placed),
        **dict.fromkeys((*measures, *COSTS, "inverted_under", "inverter", "editor", "key", "sha256")),
        "missing": "{}",
        **_circumstances(model, measures),
        "seed": entry.seed if isinstance(entry, Case) else None,
    }


def _named(entry: Entry, candidate: Candidate, *, status: str, reason: str) -> Row:
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
