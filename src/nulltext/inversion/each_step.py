"""What the methods share that optimise a null embedding for each step under fresh or fixed noise."""

from dataclasses import dataclass
from typing import ClassVar

from nulltext.checks import Count, Seed
from nulltext.inversion.invert import Inverter
from nulltext.inversion.replay import ReplayForm
from nulltext.inversion.solvers import check_null_guidance
from nulltext.inversion.stopping import PUBLISHED, Preset


@dataclass(frozen=True, kw_only=True)
class EachStep(Inverter):
    """A null embedding for each step, optimised from noise of a seed.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, at most so many steps of Adam for each.
        guidance: The guidance scale w, of the optimisation and of every use of the result; None is the model's own.
        descent: Learning rate and early stop.
        seed: Of all noise.

    Raises:
        SettingError: A setting is out of range.
    """

    replays: ClassVar[ReplayForm] = ReplayForm(nulls=True)

    inner_steps: Count = 10
    descent: Preset = PUBLISHED
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_null_guidance(self.guidance)
        self.descent.check(self.steps)
