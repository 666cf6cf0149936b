"""The one training loop that all stages share: time budget, schedule, EMA, checkpoints to go on from."""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from nulltext.errors import SettingError
from nulltext.files import writing
from nulltext.progress import OnProgress, Progress, silent

WARMUP_STEPS: Final = 200
HOLD: Final = 0.55
"""Share of the budget at the full learning rate; the rest falls along a cosine to zero."""
SAVE_EVERY_S: Final = 120.0
Trained = TypeVar("Trained", bound=nn.Module)


def learning_rate(step: int, share: float) -> float:
    """Factor on the peak learning rate: a short warm-up, a plateau, a cosine down.

    Args:
        step: Optimiser steps taken so far.
        share: Share of the time budget used, 0 to 1.

    Returns:
        A factor in [0, 1].
    """
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    fall = max(0.0, share - HOLD) / (1 - HOLD)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a stage is trained, whatever it trains.

    Attributes:
        folder: Where the states of the stages lie.
        seconds: Training time of the stage in all, over all resumptions.
        device: Where to train.
        seed: Of the initial weights and of every batch.
        start: A checkpoint folder to go on from, or None for random weights. What its UNet was trained against (the
            encoder) stays as it is.
        begun: What tells the states of one training from those of another, in words; kept in each.
        on_progress: Told the loss and the share of the time used, in percent.
    """

    folder: Path
    seconds: float
    device: torch.device
    seed: int = 0
    start: Path | None = None
    begun: str = ""
    on_progress: OnProgress = silent

    def path(self, name: str) -> Path:
        """Where the state of a stage is kept."""
        return self.folder / f"{name}.state.pt"

    def state(self, name: str) -> dict[str, Any] | None:
        """The state that an earlier run of a stage left, on the CPU, or None.

        Raises:
            SettingError: It is that of another training or stage, or damaged.
        """
        if not self.path(name).exists():
            return None
        try:
            state = torch.load(self.path(name), map_location="cpu", weights_only=True)
            stage = state.get("name", name)
        except Exception as error:  # torch's reader raises whatever it comes upon
            raise SettingError(
                f"work: the state {self.path(name)} is damaged ({error!r}); expected what an earlier run of this stage "
                "left. Delete that file to train the stage from its beginning, or give another --work."
            ) from error
        if stage != name:
            raise SettingError(
                f"work: {self.path(name)} is the state of the stage {stage}; expected that of {name}. Give the file "
                "back its name, or delete it to train the stage from its beginning."
            )
        begun = state.get("begun", "an earlier version of this program")
        if begun != self.begun:
            raise SettingError(
                f"work: {self.folder} was begun with {begun}; got {self.begun}. Repeat what it was begun with to go on "
                "there, or give another --work."
            )
        return state

    def generator(self, step: int) -> torch.Generator:
        """The source of all that a step draws; a resumed run sees the batches that an undisturbed one would."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + step)

    def random(self, step: int) -> random.Random:
        """The same for choices that are no tensors."""
        return random.Random(self.seed * 1_000_003 + step)  # noqa: S311  batches, not secrets


@dataclass(kw_only=True)
class _State(Generic[Trained]):
    """How far the training of a module is: all that a run needs to go on from there."""

    module: Trained
    average: Trained
    optimizers: Sequence[torch.optim.Optimizer]
    step: int = 0
    spent: float = 0.0

    def go_on(self, run: Run, name: str) -> None:
        """Takes over the state that an earlier run of a stage left, if there is one."""
        state = run.state(name)
        if state is None:
            return
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        for optimizer, kept_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept_state)
        self.step, self.spent = state["step"], state["spent"]

    def save(self, run: Run, name: str) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "begun": run.begun,
            "name": name,
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
        }
        with writing(run.path(name), overwrite=True) as file:
            torch.save(state, file)

    def tell(self, run: Run, name: str, loss: float) -> None:
        share = min(100, int(100 * self.spent / run.seconds))
        run.on_progress(Progress(phase=name, step=share, total=100, loss=loss))

    def descend(self, loss: Tensor, rate: float, clip: float) -> None:
        """One step of every optimiser, at one learning rate, along the gradient of norm `clip` at most."""
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.module.parameters() if p.requires_grad], clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()


def fit(
    run: Run,
    name: str,
    module: Trained,
    loss: Callable[[Trained, int], Tensor],
    *,
    lr: float,
    matrices: Iterable[Tensor] = (),
    weight_decay: float = 1e-2,
    ema_decay: float = 0.999,
    clip: float = 1.0,
) -> Trained:
    """Train a module for a time budget, going on from its last state if there is one.

    However it ends, Ctrl-C included, the state is kept.

    Args:
        run: Where, how long, and from what.
        name: Names the state's file, ``name.state.pt``.
        module: What to train, in place. Parameters with requires_grad False stay.
        loss: (module, step) -> scalar. It draws its own batch, from the run's generator for that step.
        lr: Peak learning rate.
        matrices: Parameters that Muon trains (orthogonalised momentum: Jordan et al., 2024, its updates scaled to
            AdamW's size); hidden matrices of transformers, which learn twice as fast by it. AdamW trains the rest.
        weight_decay: Decoupled, on parameters of more than one dimension.
        ema_decay: Of the exponential moving average of the weights.
        clip: Largest norm of the gradient.

    Returns:
        The averaged module (EMA), in eval mode.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    at = _State(
        module=module,
        average=copy.deepcopy(module).eval().requires_grad_(requires_grad=False),
        optimizers=_optimizers(trained, {id(p) for p in matrices}, lr, weight_decay),
    )
    at.go_on(run, name)
    module.train()
    last, saved, smooth = time.monotonic(), time.monotonic(), math.nan
    try:
        while at.spent < run.seconds:
            module.zero_grad(set_to_none=True)
            value = loss(module, at.step)
            at.descend(value, lr * learning_rate(at.step, at.spent / run.seconds), clip)
            _average(at.average, module, min(ema_decay, (1 + at.step) / (10 + at.step)))
            at.step += 1
            now = time.monotonic()
            at.spent += now - last
            last = now
            smooth = value.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * value.item()
            if at.step % 20 == 0:
                at.tell(run, name, smooth)
            if now - saved > SAVE_EVERY_S:
                at.save(run, name)
                saved = now
    finally:
        if at.step:  # without one there is nothing to go on from, and a first step cut short left half an optimiser
            at.save(run, name)
    return at.average


def _optimizers(
    trained: list[nn.Parameter], matrices: set[int], lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    rest = [p for p in trained if id(p) not in matrices]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), fused=True)]
    hidden = [p for p in trained if id(p) in matrices]
    if hidden:
        muon = torch.optim.Muon(hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    return optimizers


@torch.no_grad()
def _average(average: nn.Module, module: nn.Module, decay: float) -> None:
    old, new = list(average.parameters()), [p.detach() for p in module.parameters()]
    for kept, kept_state in zip(old, new, strict=True):
        kept.lerp_(kept_state, 1 - decay)
    for kept, kept_state in zip(average.buffers(), module.buffers(), strict=True):
        kept.copy_(kept_state)
