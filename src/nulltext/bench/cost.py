"""What a method costs: evaluations of the denoiser, seconds, memory."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final, TypeVar, final

import torch
from torch import Tensor, nn

from nulltext.diffusion.sharing import SharedDenoiser, Work, share
from nulltext.inversion.stopping import DescentSchedule
from nulltext.metrics.missing import Missing
from nulltext.models.base import Model

Result = TypeVar("Result")

NO_EARLY_STOP: Final = DescentSchedule(learning_rate=1e-2, decay=1e-2, tolerance=0.0, tolerance_growth=0.0)
"""The published constants, with a tolerance that no loss is below, so that a budget is a budget."""

_CLEAR: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")
_FORGET_THE_PEAK: Final = "5"
"""What to write there: see proc_pid_clear_refs(5)."""


@final
@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a piece of work cost.

    Attributes:
        forwards: Evaluations of the denoiser, one for every sample in a batch: under guidance a step of one image is
            two of them.
        backwards: Evaluations through which a gradient flowed back, counted likewise and as often as one did.
        seconds: Wall time. On a GPU, until all that was asked of it is done.
        peak_bytes: On CUDA the most that torch had allocated on the device at a time, the weights included. Elsewhere
            the largest resident set of this process during the work, all it had loaded before included; missing where
            the system keeps no such figure, as all but Linux.
    """

    forwards: int
    backwards: int
    seconds: float
    peak_bytes: int | Missing

    @property
    def peak(self) -> int | None:
        """The peak; None where it is missing."""
        return None if isinstance(self.peak_bytes, Missing) else self.peak_bytes

    def share(self, count: int) -> "Cost":
        """That of one of so many images in a batch; the peak is that of all."""
        forwards, backwards = round(self.forwards / count), round(self.backwards / count)
        return Cost(forwards=forwards, backwards=backwards, seconds=self.seconds / count, peak_bytes=self.peak_bytes)


def mean_of(costs: Sequence[Cost]) -> Cost:
    """That of one image of a batch, in the mean; the peak is that of all."""
    return Cost(
        forwards=round(fmean(cost.forwards for cost in costs)),
        backwards=round(fmean(cost.backwards for cost in costs)),
        seconds=fmean(cost.seconds for cost in costs),
        peak_bytes=costs[0].peak_bytes,
    )


def measured(model: Model, work: Callable[[], Result], *, network: nn.Module | None = None) -> tuple[Result, Cost]:
    """Does a piece of work with a model, and says what it cost: evaluations of its denoiser, or of `network` instead.

    Leaves no hook on the model, also if the work raises. Not to be nested: the memory of the outer one would be counted
    from where the inner one began.
    """
    counts = _Counts()
    cuda = model.device.type == "cuda"
    with ExitStack() as hooks:
        hooks.enter_context((network or model.denoiser).register_forward_hook(counts.forward, with_kwargs=True))
        hooks.callback(counts.forget)
        if cuda:
            torch.cuda.synchronize(model.device)
            torch.cuda.reset_peak_memory_stats(model.device)
            peak_known = True
        else:
            peak_known = _forget_the_peak()
        start = time.perf_counter()
        result = work()
        if cuda:
            torch.cuda.synchronize(model.device)
        seconds = time.perf_counter() - start
    if not peak_known:
        peak: int | Missing = Missing("this system does not say how much memory a process had at most. Linux does.")
    elif cuda:
        peak = torch.cuda.max_memory_allocated(model.device)
    else:
        peak = _peak()
    return result, Cost(forwards=counts.forwards, backwards=counts.backwards, seconds=seconds, peak_bytes=peak)


def measured_batch(model: Model, works: Sequence[Work[Result]], at_once: int) -> list[tuple[Result, Cost]]:
    """Does pieces of work that share the network's batches, at most so many under way, and says what each cost.

    That is its own evaluations, its share of the seconds by them, and the peak of all.
    """
    shares: list[SharedDenoiser] = []

    def counted(work: Work[Result], denoiser: SharedDenoiser) -> Result:
        shares.append(denoiser)  # in the order of the works, as they are begun
        return work(denoiser)

    results, cost = measured(model, lambda: dict(share(model, (partial(counted, work) for work in works), at_once)))
    evaluations = max(1, sum(own.forwards + own.backwards for own in shares))
    return [
        (
            results[index],
            Cost(
                forwards=own.forwards,
                backwards=own.backwards,
                seconds=cost.seconds * (own.forwards + own.backwards) / evaluations,
                peak_bytes=cost.peak_bytes,
            ),
        )
        for index, own in enumerate(shares)
    ]


class _Counts:
    def __init__(self) -> None:
        self.forwards = self.backwards = 0
        self._hooks: list[Any] = []

    def forward(self, _network: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:  # noqa: ANN401  a network returns what it likes
        samples = len(given[0] if given else named["sample"])
        self.forwards += samples
        answer: Tensor = output if isinstance(output, Tensor) else output[0]

        def backward(_gradient: Tensor) -> None:
            self.backwards += samples

        if answer.requires_grad:
            self._hooks.append(answer.register_hook(backward))

    def forget(self) -> None:
        """Takes the hooks off the outputs that are still there."""
        for hook in self._hooks:
            hook.remove()


def _forget_the_peak() -> bool:
    """Makes the largest resident set be counted from now on; false where the system has no such thing."""
    try:
        _CLEAR.write_text(_FORGET_THE_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int:
    """The largest resident set of this process, in bytes: proc_pid_status(5), VmHWM."""
    (line,) = [
        line for line in _STATUS.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024
