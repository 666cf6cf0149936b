"""The noise schedule: which levels an image passes, read once from a scheduler's config.

A `Schedule` walked forwards samples and walked backwards inverts; nothing else in the package knows about steps. It
holds the very numbers of diffusers' ``DDIMScheduler``, down to which level the last step ends on.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, cast, overload

import torch
from torch import Tensor

from nulltext.checks import Range, checked
from nulltext.diffusion.flow import CONFIG, FEWEST_TIMES, FLOW_SCHEDULER, FlowConfig, check_entry
from nulltext.diffusion.levels import Interval, NoiseLevel
from nulltext.errors import SettingError, UnsupportedScheduleError

_BETAS = Range(above=0, below=1)
"""The share of the variance that a step replaces by noise."""
_LEAST_LEFT = 1e-12
"""Of the image's variance; a cosine schedule ends at 2e-9."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """What a scheduler's config says about noise levels; names, meanings and defaults are ``DDIMScheduler``'s."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    prediction_type: str = "epsilon"
    thresholding: bool = False
    timestep_spacing: str = "leading"
    rescale_betas_zero_snr: bool = False

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "ScheduleConfig":
        """Takes the keys it knows from a scheduler's config; those that are missing have ``DDIMScheduler``'s defaults.

        ``clip_sample`` is left aside: it clips x0 to [-1, 1], which has no meaning for latents, and Stable Diffusion's
        pipelines switch it off.

        Args:
            config: The content of a ``scheduler_config.json``.

        Raises:
            UnsupportedScheduleError: The config describes no schedule that DDIM can walk both ways.
        """
        read = cls.known(config)
        read.check_numbers()
        if read.thresholding:
            raise UnsupportedScheduleError(
                "the scheduler's config has thresholding=true, which no inversion can undo and which is not meant for "
                "latents; set it to false."
            )
        if read.prediction_type not in ("epsilon", "v_prediction"):
            raise UnsupportedScheduleError(
                f"the scheduler's config has prediction_type={read.prediction_type!r}; expected 'epsilon' or "
                "'v_prediction'. Use a Stable Diffusion 1.x or 2.x checkpoint."
            )
        if read.rescale_betas_zero_snr and read.prediction_type == "epsilon":
            raise UnsupportedScheduleError(
                "the scheduler's config has rescale_betas_zero_snr=true with prediction_type='epsilon': at pure noise "
                "such a prediction tells nothing of the image. Use a v_prediction checkpoint or set it to false."
            )
        return read

    @classmethod
    def known(cls, config: Mapping[str, Any]) -> "ScheduleConfig":
        """As `read`, whatever the config describes."""
        names = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in config.items() if key in names})

    def check_numbers(self, where: str = CONFIG) -> None:
        """Makes sure that the numbers make noise that grows, step by step.

        Args:
            where: What to call the config in errors.

        Raises:
            UnsupportedScheduleError: One does not.
        """
        count, betas = self.num_train_timesteps, self.trained_betas
        check_entry(where, "num_train_timesteps", float(count), Range(least=FEWEST_TIMES))
        check_entry(where, "steps_offset", float(self.steps_offset), Range(least=0, most=count - 1))
        if betas is None:
            check_entry(where, "beta_start", self.beta_start, _BETAS)
            check_entry(where, "beta_end", self.beta_end, _BETAS)
            return
        if len(betas) != count:
            raise UnsupportedScheduleError(
                f"{where} has {len(betas)} trained_betas; expected {count}, its num_train_timesteps. "
                "Correct it, or fetch the model again."
            )
        for beta in betas:
            check_entry(where, "trained_betas", beta, _BETAS)

    def check_depth(self, where: str) -> None:
        """Makes sure that a network which predicts noise is never shown nothing else: of that no image is made.

        Raises:
            UnsupportedScheduleError: It is.
        """
        left = self.alphas_cumprod()[-1].item()
        if self.prediction_type == "epsilon" and left < _LEAST_LEFT:
            raise UnsupportedScheduleError(
                f"{where} has betas (beta_start, beta_end or trained_betas) that leave a share of {left:g} of the "
                f"image at its last step; expected at least {_LEAST_LEFT:g} where noise is predicted. Correct them, or "
                "fetch the model again."
            )

    def alphas_cumprod(self) -> Tensor:
        """[num_train_timesteps] share of the image's variance left after each training step, float32.

        Raises:
            UnsupportedScheduleError: The beta schedule is unknown.
        """
        count = self.num_train_timesteps
        if self.trained_betas is not None:
            betas = torch.tensor(self.trained_betas, dtype=torch.float32)
        elif self.beta_schedule == "linear":
            betas = torch.linspace(self.beta_start, self.beta_end, count, dtype=torch.float32)
        elif self.beta_schedule == "scaled_linear":
            betas = torch.linspace(self.beta_start**0.5, self.beta_end**0.5, count, dtype=torch.float32) ** 2
        elif self.beta_schedule == "squaredcos_cap_v2":
            bars = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
            betas = torch.tensor([min(1 - bars[i + 1] / bars[i], 0.999) for i in range(count)], dtype=torch.float32)
        else:
            raise UnsupportedScheduleError(
                f"the scheduler's config has beta_schedule={self.beta_schedule!r}; expected 'linear', 'scaled_linear' "
                "or 'squaredcos_cap_v2'."
            )
        product = (1 - betas).cumprod(0)
        if not self.rescale_betas_zero_snr:
            return product
        # Lin et al., arXiv 2305.08891, algorithm 1: shift sqrt(alphas_cumprod) to end on zero, keep its first value.
        root = product.sqrt()
        shifted = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        squared = shifted**2
        alphas = torch.cat([squared[:1], squared[1:] / squared[:-1]])  # by way of alphas, for the same rounding
        return (1 - (1 - alphas)).cumprod(0)

    def timesteps(self, steps: int) -> list[int]:
        """The times given to the network, in sampling order.

        Raises:
            SettingError: `steps` is not between 1 and the number of training steps.
            UnsupportedScheduleError: The spacing is unknown.
        """
        count = self.num_train_timesteps
        steps = checked("steps", steps, Annotated[int, Range(least=1, most=count)])  # as many as it was trained with
        if self.timestep_spacing == "leading":
            times = [i * (count // steps) + self.steps_offset for i in reversed(range(steps))]
        elif self.timestep_spacing == "trailing":
            # In the rounding of np.arange(count, 0, -count / steps), for the same ties; of exactly `steps` elements.
            delta = (count - count / steps) - count
            times = [round(count + i * delta) - 1 for i in range(steps)]
        elif self.timestep_spacing == "linspace":
            step = (count - 1) / max(1, steps - 1)
            times = [round(i * step) for i in reversed(range(steps))]
        else:
            raise UnsupportedScheduleError(
                f"the scheduler's config has timestep_spacing={self.timestep_spacing!r}; expected 'leading', "
                "'trailing' or 'linspace'."
            )
        if times[0] >= count:
            raise SettingError(
                f"got {steps} steps, which with steps_offset={self.steps_offset} begin at time {times[0]}; the model "
                f"knows times below {count}. Take fewer steps."
            )
        return times


@dataclass(frozen=True)
class Schedule(Sequence[Interval]):
    """The intervals that sampling passes, from noise to image. ``reversed(schedule)`` is the order of inversion.

    Attributes:
        intervals: One for each step, in sampling order.
    """

    intervals: tuple[Interval, ...]

    def __repr__(self) -> str:
        times = f", t = {self[0].t:g} to {self[-1].t:g}" if self.intervals else ""
        return f"Schedule({len(self.intervals)} steps{times})"

    @classmethod
    def from_config(cls, config: Mapping[str, Any], steps: int, tokens: int | None = None) -> "Schedule":
        """Reads the schedule that a scheduler walks in `steps` steps.

        For a config of ``FlowMatchEulerDiscreteScheduler`` it is that one's, see `FlowConfig.sigmas`. For any other it
        is what ``DDIMScheduler.from_config(config)`` walks. As there, every interval spans
        ``num_train_timesteps // steps`` training steps, and one that would end before the first ends on the first
        training step's level, or on no noise at all with ``set_alpha_to_one``.

        Args:
            config: The content of a ``scheduler_config.json``.
            steps: How many steps to take, 1 to ``num_train_timesteps``.
            tokens: How many tokens the network makes of the latents, see `FlowConfig.sigmas`.

        Raises:
            SettingError: `steps` is out of range, or the schedule depends on the image's size and there is none.
            UnsupportedScheduleError: DDIM cannot walk this schedule both ways.
        """
        if config.get("_class_name") == FLOW_SCHEDULER:
            return cls._of_flow(FlowConfig.read(config), steps, tokens)
        read = ScheduleConfig.read(config)
        products = read.alphas_cumprod()
        # Roots in float32, as diffusers takes them: then every step rounds as its schedulers' do.
        alphas, sigmas = (cast("list[float]", root.tolist()) for root in (products.sqrt(), (1 - products).sqrt()))

        def level(t: int) -> NoiseLevel:
            return NoiseLevel(alphas[t], sigmas[t])

        last = NoiseLevel(1.0, 0.0) if read.set_alpha_to_one else level(0)
        times = read.timesteps(steps)
        stride = read.num_train_timesteps // len(times)
        return cls(
            tuple(Interval(float(t), noisy=level(t), clean=level(t - stride) if t >= stride else last) for t in times)
        )

    @classmethod
    def _of_flow(cls, config: FlowConfig, steps: int, tokens: int | None) -> "Schedule":
        sigmas = config.sigmas(steps, tokens)
        times = cast("list[float]", (sigmas * config.num_train_timesteps).tolist())
        levels = [NoiseLevel(1 - sigma, sigma) for sigma in cast("list[float]", sigmas.tolist())]
        return cls(tuple(Interval(*each) for each in zip(times[:-1], levels[:-1], levels[1:], strict=True)))

    def __len__(self) -> int:
        return len(self.intervals)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    @overload
    def __getitem__(self, index: int) -> Interval: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Interval, ...]: ...
    def __getitem__(self, index: int | slice) -> Interval | tuple[Interval, ...]:
        return self.intervals[index]
