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
from nulltext.errors import SettingError, UnsupportedScheduleError, shown

FLOW_SCHEDULER: Final = "FlowMatchEulerDiscreteScheduler"
_UNUSABLE: Final = (
    "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling"
)  # fmt: skip
CONFIG: Final = "the scheduler's config"
FEWEST_TIMES: Final = 50
"""No model was trained at fewer times; 1000 are usual."""
_SHIFTS: Final = Range(least=0.01, most=100)
_LOGARITHMS: Final = Range(least=-10, most=10)
"""Of shifts by the image's size."""
_MOST_MU: Final = 40
"""Of such a shift: float64 still tells its levels apart."""


def check_entry(where: str, name: str, number: float, taken: Range) -> None:
    """Makes sure of a number of a scheduler's config.

    Args:
        where: What to call the config in errors.
        name: The entry.
        number: What it says.
        taken: Which numbers it takes.

    Raises:
        UnsupportedScheduleError: It is none of these.
    """
    if not taken.takes(number):
        raise UnsupportedScheduleError(
            f"{where} has {name}={shown(number)}; expected a number{taken}. Correct it, or fetch the model again."
        )


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
    def read(cls, config: Mapping[str, Any], where: str = CONFIG) -> "FlowConfig":
        """Takes the keys it knows from a scheduler's config; those that are missing have the scheduler's defaults.

        Args:
            config: The content of a ``scheduler_config.json``.
            where: What to call it in errors.

        Raises:
            UnsupportedScheduleError: The config asks for levels that are not supported.
        """
        asked = [name for name in _UNUSABLE if config.get(name)]
        if asked:
            raise UnsupportedScheduleError(
                f"{where} has {asked[0]}=true; expected levels that are shifted and nothing else. Set it to false."
            )
        known = {field.name for field in fields(cls)}
        read = cls(**{key: value for key, value in config.items() if key in known})
        read.check_numbers(where)
        if read.shift_terminal:
            raise UnsupportedScheduleError(
                f"{where} has shift_terminal={read.shift_terminal!r}; expected null. Remove it."
            )
        if read.use_dynamic_shifting and read.time_shift_type != "exponential":
            raise UnsupportedScheduleError(
                f"{where} has time_shift_type={read.time_shift_type!r}; expected 'exponential'."
            )
        return read

    def check_numbers(self, where: str) -> None:
        """Makes sure that the numbers make levels.

        Args:
            where: What to call the config in errors.

        Raises:
            UnsupportedScheduleError: One does not.
        """
        check_entry(where, "num_train_timesteps", float(self.num_train_timesteps), Range(least=FEWEST_TIMES))
        if not self.use_dynamic_shifting:
            check_entry(where, "shift", self.shift, _SHIFTS)
            return
        check_entry(where, "base_shift", self.base_shift, _LOGARITHMS)
        check_entry(where, "max_shift", self.max_shift, _LOGARITHMS)
        check_entry(where, "base_image_seq_len", float(self.base_image_seq_len), Range(least=1))
        check_entry(where, "max_image_seq_len", float(self.max_image_seq_len), Range(above=self.base_image_seq_len))

    def sigmas(self, steps: int, tokens: int | None = None) -> Tensor:
        """[T + 1] the levels in sampling order, float32; the last is 0.

        With a shift of its own a config's levels are those of ``set_timesteps(steps)``; with one by the image's size
        those that the pipelines ask for, evenly from 1 to 1 / T before the shift.

        Args:
            steps: T, 1 to ``num_train_timesteps``.
            tokens: How many tokens the network makes of the latents, for a config with ``use_dynamic_shifting``.

        Raises:
            SettingError: `steps` is out of range, or `tokens` is missing or far out of the config's range.
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
        mu = self.base_shift + slope * (tokens - self.base_image_seq_len)
        if abs(mu) > _MOST_MU:
            raise SettingError(
                f"got an image of {tokens} tokens, whose levels the scheduler's config shifts by the exponential of "
                f"{mu:g}; expected at most {_MOST_MU}. Take a smaller image, or correct the config."
            )
        return mu


def _shifted(sigmas: Tensor, shift: float) -> Tensor:
    """Levels moved towards noise: arXiv 2403.03206, eq. 23."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)
