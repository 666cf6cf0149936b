"""How the source branch of an inversion is sampled again: the value that a method of inversion ends with.

Methods differ in two things only: what conditions the source, and what is done to the rows of a batch where a step has
led the source off its pivot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor

from nulltext.checks import Guidance, Share, check_finite, check_numbers
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.rule import CLASSIFIER_FREE, Rule
from nulltext.diffusion.sampling import AfterStep, sample
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import Denoiser
from nulltext.diffusion.steering import Steering
from nulltext.errors import SettingError, shown
from nulltext.progress import OnProgress, silent
from nulltext.showing import brief
from nulltext.types import Embedding, Latents, Nulls, Trajectory, Vector

Corrected = Literal["nobody", "source", "all"]
"""Which rows of a batch are given what the source is off the pivot after each step."""


@final
@dataclass(frozen=True, kw_only=True)
class ReplayForm:
    """What a replay has: a method of inversion says it of its own, and its files are held against it."""

    corrected: Corrected = "nobody"
    nulls: bool = False
    cond: bool = False
    eta: bool = False
    source_guidance: bool = False

    def __str__(self) -> str:
        parts = {"nulls": self.nulls, "cond": self.cond, "eta": self.eta, "source_guidance": self.source_guidance}
        return ", ".join(
            [f"corrected {self.corrected}", *(f"{name} {'yes' if has else 'no'}" for name, has in parts.items())]
        )


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Replay:
    """How the source branch is sampled again.

    Attributes:
        nulls: [T, L, D] the null embedding of each step, ``nulls[0]`` for t = T; None for the null text's.
        cond: [L, D] the embedding in the source prompt's place; None for the prompt's own.
        pooled: [P] the pooled text beside `nulls`, where a family has such; None for the null text's.
        corrected: Which rows are given what the source is off the pivot after each step. "source" is direct inversion,
            arXiv 2310.01506; "all" gives the edits the same, as edit-friendly inversion does, arXiv 2304.06140.
        eta: Stochasticity of a step, DDIM, arXiv 2010.02502, eq. 16. The noise that steps leave room for is in what the
            source is off the pivot, so that with more than 0 all rows have to be corrected.
        source_guidance: The guidance scale of the source row; None for that of the edits.
        skip: Of the steps, the first share that is skipped: all rows begin on the pivot where it ends.

    Raises:
        SettingError: A number is out of range, steps leave room for noise that nothing adds, or `pooled` is alone.
    """

    nulls: Nulls | None = None
    cond: Embedding | None = None
    pooled: Vector | None = None
    corrected: Corrected = "nobody"
    eta: Share = 0.0
    source_guidance: Guidance | None = None
    skip: Share = 0.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.corrected not in get_args(Corrected):
            raise SettingError(f"got corrected={shown(self.corrected)}; expected {', '.join(get_args(Corrected))}.")
        if self.eta > 0 and self.corrected != "all":
            raise SettingError(
                f"got eta={self.eta:g} with corrected={self.corrected!r}, so that edits would lack the noise that the "
                "steps leave room for; expected 'all', or eta=0."
            )
        if self.pooled is not None and self.nulls is None:
            raise SettingError("got pooled text without null embeddings; expected both. Give nulls as well.")

    __repr__ = brief

    @property
    def form(self) -> ReplayForm:
        """What it has."""
        return ReplayForm(
            corrected=self.corrected,
            nulls=self.nulls is not None,
            cond=self.cond is not None,
            eta=self.eta > 0,
            source_guidance=self.source_guidance is not None,
        )

    def first(self, steps: int) -> int:
        """The step that sampling begins with, of T."""
        return round(self.skip * steps)

    @property
    def exact(self) -> bool:
        """Whether the source comes back to the pivot's end whatever the model says, so that nothing need be sampled."""
        return self.corrected != "nobody"

    def after(self, pivot: Trajectory, i: int, x: Latents) -> Latents:
        """The rows after step i, corrected: ``off = pivot[i + 1] - x[:1]``, and the source is ``pivot[i + 1]``.

        Args:
            pivot: [T+1, C, h, w] on the device of `x`.
            i: The step, 0 for the first.
            x: [P, C, h, w] where the step has led, the source first.
        """
        target = pivot[i + 1 : i + 2]
        match self.corrected:
            case "nobody":
                return x
            case "source":
                return torch.cat([target, x[1:]])
            case "all":
                return torch.cat([target, x[1:] + (target - x[:1])])

    def sample(
        self,
        denoiser: Denoiser,
        schedule: Schedule,
        pivot: Trajectory,
        cond: Conditioning,
        *,
        null: Conditioning,
        guidance: float,
        rule: Rule = CLASSIFIER_FREE,
        on_progress: OnProgress = silent,
        after: AfterStep | None = None,
        steering: Steering | None = None,
    ) -> Latents:
        """Samples from z_T, or from where the skipped steps end, everything on one device.

        Args:
            denoiser: The network.
            schedule: T steps.
            pivot: [T+1, C, h, w] the trajectory.
            cond: What conditions each of P rows, the source first.
            null: What stands for no prompt, one row.
            guidance: The scale w.
            rule: How the two outputs are made one.
            on_progress: Called for every step that is taken, phase "sample".
            after: Called after every step and its correction; what it returns is sampled on.
            steering: What is done to the attention of all rows.

        Returns:
            [P, C, h, w] z_0 of every row.

        Raises:
            SettingError: There are null embeddings, and the denoiser has no null prompt.
        """
        if self.nulls is not None and cond.distilled:
            raise SettingError(
                "got null embeddings with a distilled model, which has no null prompt; expected a replay without. "
                "Invert the image again, by direct inversion."
            )
        own = self.to(pivot.device)
        null = null if own.pooled is None else replace(null, pooled=own.pooled[None])
        nulls = [null] * len(schedule) if own.nulls is None else [null.with_text(each[None]) for each in own.nulls]

        def corrected(done: int, x: Latents) -> Latents:
            x = own.after(pivot, done - 1, x)
            return x if after is None else after(done, x)

        first = self.first(len(schedule))
        start = pivot[first : first + 1].expand(len(cond), -1, -1, -1)
        guided = Guided(denoiser, cond, rule.at(self._scale(guidance, cond)))
        return sample(
            guided, schedule, start, nulls, on_progress, after=corrected, steering=steering, eta=self.eta, first=first
        )

    def _scale(self, guidance: float, cond: Conditioning) -> float | Tensor:
        """The guidance scale, [P, 1, 1, 1] of each row if they differ."""
        if self.source_guidance is None or self.source_guidance == guidance:
            return guidance
        if len(cond) == 1:
            return self.source_guidance
        return cond.text.new_tensor([self.source_guidance, *[guidance] * (len(cond) - 1)])[:, None, None, None]

    def to(self, device: torch.device | str) -> "Replay":
        """The same with its tensors on a device."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return replace(self, **moved) if moved else self

    def check_finite(self, **settings: Any) -> None:  # noqa: ANN401  those of `nulltext.checks.check_finite`
        """Makes sure that its tensors have neither infinities nor not-a-number."""
        names = {"nulls": "null embeddings", "cond": "conditional embedding", "pooled": "pooled text"}
        for name, tensor in self.tensors().items():
            check_finite(names[name], tensor, **settings)

    def tensors(self) -> dict[str, Tensor]:
        """Those it has, by name."""
        own = {"nulls": self.nulls, "cond": self.cond, "pooled": self.pooled}
        return {name: tensor for name, tensor in own.items() if tensor is not None}

    def record(self) -> dict[str, Any]:
        """All the rest, as JSON holds it."""
        own = {"corrected": self.corrected, "eta": self.eta, "source_guidance": self.source_guidance}
        return own | ({"skip": self.skip} if self.skip else {})

    @classmethod
    def read(cls, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Replay":
        """A replay of its `record` and its `tensors`, as a stranger may have written them.

        Raises:
            SettingError: Something is missing, too much, or out of range.
        """
        fields: dict[str, Any] = {**record, **tensors}
        try:
            return cls(**fields)
        except TypeError as error:
            raise SettingError(f"the replay is not as expected: {error}") from error


RECORD = Replay().record()
"""The plain fields of every replay, with what they are where nothing is said; one that skips steps has `skip`, too."""
