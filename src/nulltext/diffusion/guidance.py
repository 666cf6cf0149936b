"""Guidance: what a step follows, of the outputs for a prompt and for none."""

from dataclasses import dataclass
from typing import Annotated, Final, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.sharing import Denoiser
from nulltext.diffusion.steering import AttentionPlan, Steered
from nulltext.errors import SettingError
from nulltext.spelling.fields import Option
from nulltext.types import Latents, Scales

SCALE: Final = Option(local=True)
"""Notes that a field is the guidance scale: it is told apart from the settings of a rule, and no part of its record."""


def guide(null: Latents, cond: Latents, guidance: float | Scales) -> Latents:
    """Classifier-free guidance: Ho and Salimans, arXiv 2207.12598, eq. 6, as written in arXiv 2211.09794, section 3.1.

    Since it is linear, and v and a flow's velocity are linear in epsilon, it holds for every kind of prediction.

    Args:
        null: [B, C, h, w] the network's output for no prompt.
        cond: The output for the prompt, same shape.
        guidance: The scale w, or one for each of the B. 1 follows the prompt alone, 0 ignores it; 7.5 is usual.

    Returns:
        ``null + w * (cond - null)``.
    """
    return null + guidance * (cond - null)


@runtime_checkable
class GuidanceRule(Protocol):
    """How the two outputs make the one that a step follows."""

    def __call__(self, out_null: Latents, out_cond: Latents, step: int, steps: int) -> Latents:
        """The guided output of step i = 0 ... T-1, counted from t = T.

        Args:
            out_null: [B, C, h, w] the network's output for no prompt.
            out_cond: The output for the prompt, same shape.
            step: i.
            steps: T.
        """
        ...

    def needs_null(self, step: int, steps: int) -> bool:
        """Whether the rule looks at the output for no prompt; where not, it is neither computed nor asked."""
        ...


@final
@dataclass(frozen=True, eq=False)
class ClassifierFree:
    """Classifier-free guidance, see `guide`.

    Attributes:
        scale: w, or one for each row.

    Equation:
        out = out_null + w (out_cond - out_null)
    """

    scale: Annotated[float | Scales, SCALE] = 1.0

    def __call__(self, out_null: Latents, out_cond: Latents, step: int, steps: int) -> Latents:  # noqa: ARG002
        """The same at every step."""
        return guide(out_null, out_cond, self.scale)

    def needs_null(self, step: int, steps: int) -> bool:  # noqa: ARG002
        """Not at w = 1, which follows the prompt alone."""
        return isinstance(self.scale, Tensor) or self.scale != 1


@final
@dataclass(frozen=True, eq=False)
class Guided:
    """A denoiser under prompts and guidance.

    A network into which guidance is distilled is told of the scale, and never asked about no prompt: Meng et al., arXiv
    2210.03142.

    Attributes:
        model: What predicts.
        cond: What the prompts tell it, B rows.
        guidance: The scale of classifier-free guidance, one for all or one for each of B rows; or another rule.
    """

    model: Denoiser
    cond: Conditioning
    guidance: float | Scales | GuidanceRule

    def predict(
        self,
        x: Latents,
        t: float,
        null: Conditioning,
        step: int = 0,
        attention: Steered | None = None,
        *,
        steps: int = 1,
    ) -> Latents:
        """The guided output, of all null rows and then all conditional rows in one pass, or of these alone.

        Args:
            x: [B, C, h, w] latents.
            t: The time given to the network.
            null: What stands for no prompt, one row for the whole batch or B.
            step: Which step of the schedule it is, 0 for the first that is sampled.
            attention: What is done to the attention, if anything.
            steps: Of how many.

        Raises:
            SettingError: Another rule than classifier-free guidance with a distilled network.
        """
        if self.cond.distilled:
            return self.model.predict(x, t, self.cond.with_guidance(self._distilled_scale), _plan(len(x), attention))
        rule = ClassifierFree(self.guidance) if isinstance(self.guidance, float | int | Tensor) else self.guidance
        if not rule.needs_null(step, steps):
            return self.model.predict(x, t, self.cond, _plan(len(x), attention))
        conditioning = Conditioning.cat([null.expand(len(self.cond)), self.cond])
        both = self.model.predict(torch.cat([x, x]), t, conditioning, _plan(2 * len(x), attention))
        return rule(both[: len(x)], both[len(x) :], step, steps)

    @property
    def _distilled_scale(self) -> float | Scales:
        if isinstance(self.guidance, float | int | Tensor):
            return self.guidance
        if not isinstance(self.guidance, ClassifierFree):
            raise SettingError(
                f"got {type(self.guidance).__name__}, which weighs what a model says of a prompt against what it says "
                "of none; this model is told of a guidance scale and has no null prompt. Leave the guidance rule out."
            )
        return self.guidance.scale


def _plan(rows: int, attention: Steered | None) -> AttentionPlan:
    return () if attention is None else [(rows, attention)]
