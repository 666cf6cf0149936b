"""The noise levels of flow matching, as diffusers' ``FlowMatchEulerDiscreteScheduler`` walks them.

There ``x = (1 - sigma) * x0 + sigma * eps``, and the network predicts the velocity ``eps - x0``: Lipman et al., arXiv
2210.02747; Esser et al., arXiv 2403.03206. A step of Euler's method is the step of `nulltext.diffusion.levels` between
two such levels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, final

import torch
from torch import Tensor

from nulltext.checks import Range, checked
from nulltext.errors import SettingError, UnsupportedScheduleError

FLOW_SCHEDULER: Final = "FlowMatchEulerDiscreteScheduler"
_UNUSABLE: Final = (
    "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling"
)  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """What a scheduler's config says; names, meanings and defaults are ``FlowMatchEulerDiscreteScheduler``'s."""

    num_train_timesteps: int = 1000
    shift: float = 1.0
    use_dynamic_shifting: bool = False
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    shift_terminal: float | None = None
    time_shift_type: str = "exponential"

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "FlowConfig":
        """Takes the keys it knows from a scheduler's config; those that are missing have the scheduler's defaults.

        Raises:
            UnsupportedScheduleError: The config asks for levels that are not supported.
        """
        asked = [name for name in _UNUSABLE if config.get(name)]
        if asked:
            raise UnsupportedScheduleError(
                f"the scheduler's config has {asked[0]}=true; expected levels that are shifted and nothing else. Set "
                "it to false."
            )
        known = {field.name for field in fields(cls)}
        read = cls(**{key: value for key, value in config.items() if key in known})
        if read.shift_terminal:
            raise UnsupportedScheduleError(
                f"the scheduler's config has shift_terminal={read.shift_terminal!r}; expected null. Remove it."
            )
        if read.use_dynamic_shifting and read.time_shift_type != "exponential":
            raise UnsupportedScheduleError(
                f"the scheduler's config has time_shift_type={read.time_shift_type!r}; expected 'exponential'."
            )
        return read

    def sigmas(self, steps: int, tokens: int | None = None) -> Tensor:
        """[T + 1] the levels in sampling order, float32; the last is 0.

        With a shift of its own a config's levels are those of ``set_timesteps(steps)``; with one by the image's size
        those that the pipelines ask for, evenly from 1 to 1 / T before the shift.

        Args:
            steps: T, 1 to ``num_train_timesteps``.
            tokens: How many tokens the network makes of the latents, for a config with ``use_dynamic_shifting``.

        Raises:
            SettingError: `steps` is out of range, or `tokens` is missing.
        """
        count = self.num_train_timesteps
        steps = checked("steps", steps, Annotated[int, Range(least=1, most=count)])
        if self.use_dynamic_shifting:
            even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
            levels = _shifted(even, math.exp(self._mu(tokens)))
        else:
            # The scheduler shifts its own ends, and all levels between them once more.
            first, last = (_shifted(torch.tensor(end), self.shift).item() for end in (1.0, 1 / count))
            levels = _shifted(torch.linspace(first, last, steps, dtype=torch.float64), self.shift)
        return torch.cat([levels, torch.zeros(1)]).float()

    def _mu(self, tokens: int | None) -> float:
        """The logarithm of the shift: linear in the number of tokens."""
        if tokens is None:
            raise SettingError(
                "got no size of the image, on which this model's schedule depends; expected one. Give model.schedule "
                "a size."
            )
        slope = (self.max_shift - self.base_shift) / (self.max_image_seq_len - self.base_image_seq_len)
        return self.base_shift + slope * (tokens - self.base_image_seq_len)


def _shifted(sigmas: Tensor, shift: float) -> Tensor:
    """Levels moved towards noise: arXiv 2403.03206, eq. 23."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)
