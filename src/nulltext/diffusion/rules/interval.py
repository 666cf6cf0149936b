"""Guidance in an interval of the steps: Kynkäänniemi et al., arXiv 2404.07724."""

from dataclasses import dataclass
from typing import Annotated, final

from nulltext.checks import Share, check_numbers
from nulltext.diffusion.guidance import SCALE, ClassifierFree
from nulltext.errors import SettingError
from nulltext.types import Latents, Scales


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class IntervalGuidance:
    """Classifier-free guidance between two shares of the steps, and the prompt alone before and after.

    The paper's ``w(sigma)`` (eq. 5) is w within an interval of noise levels and 1 elsewhere; here the interval is of
    steps, which are counted from the noise. Early guidance takes variety and moves the layout, late guidance changes
    little. Where there is none, the output for no prompt is not computed.

    Attributes:
        scale: w, or one for each row.
        start: The share of the steps before which there is none.
        end: The share of the steps after which there is none.

    Raises:
        SettingError: A share is out of range, or the interval ends before it begins.

    Equation:
        w(i) = w where start T <= i < end T, else 1
    """

    scale: Annotated[float | Scales, SCALE] = 1.0
    start: Share = 0.0
    end: Share = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.start > self.end:
            raise SettingError(f"got start={self.start:g} and end={self.end:g}; expected start <= end.")

    def __call__(self, out_null: Latents, out_cond: Latents, step: int, steps: int) -> Latents:
        """See `nulltext.diffusion.guidance.GuidanceRule`."""
        return ClassifierFree(self.scale)(out_null, out_cond, step, steps) if self._within(step, steps) else out_cond

    def needs_null(self, step: int, steps: int) -> bool:
        """Within the interval, where classifier-free guidance does."""
        return self._within(step, steps) and ClassifierFree(self.scale).needs_null(step, steps)

    def _within(self, step: int, steps: int) -> bool:
        return round(self.start * steps) <= step < round(self.end * steps)
