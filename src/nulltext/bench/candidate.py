"""The methods of a run, what each makes of a case, and the figures that are taken of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, final

from jaxtyping import Bool
from torch import Tensor

from nulltext.bench.case import Case
from nulltext.bench.cost import Cost
from nulltext.editing.base import Editor
from nulltext.images import SourceImage
from nulltext.inversion.base import Inversion
from nulltext.inversion.invert import Inverter
from nulltext.metrics import Missing
from nulltext.types import OnePixels

Method = TypeVar("Method", Inverter, Editor)


@final
@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method to be measured.

    Attributes:
        name: What its rows are called.
        inverter: How it inverts a case; candidates with an equal one share its inversions.
        editor: How it edits a case; None reconstructs the source.
        prompt: The prompt that a case is inverted under; None is the case's own.
        guidance: The guidance scale of a reconstruction; None is the inversion's own.
        inverts: Whether the inversion belongs to the method: SDEdit, for one, only takes the image from it.
    """

    name: str
    inverter: Callable[[Case], Inverter]
    editor: Callable[[Case], Editor] | None
    prompt: Callable[[Case], str] | None = None
    guidance: float | None = None
    inverts: bool = True

    def prompt_of(self, case: Case) -> str:
        """The prompt that a case is inverted under."""
        return case.source if self.prompt is None else self.prompt(case)


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
        image: The source image, fitted to the model.
        inversion: Its inversion.
        inverted: What that cost.
        output: [1, 3, H, W] in [-1, 1] the edited image, or the reconstruction.
        edited: Which of the two.
        truth: [1, 3, H, W] the true edited image, where it is known.
        changed: [H, W] where the edit belongs, where that is known.
        mask: [H, W] where the method allowed a change; None if it has no mask.
    """

    case: Case
    image: SourceImage
    inversion: Inversion
    inverted: Cost
    output: OnePixels
    edited: bool
    truth: OnePixels | None
    changed: Bool[Tensor, "height width"] | None
    mask: Bool[Tensor, "height width"] | None = None


Measure = Callable[[Outcome], float | Missing]
"""One figure of one image: a function of a module, or a `partial` of one that is given all it asks.

What it is given goes into the key of every row, and networks among it into the report.
"""
