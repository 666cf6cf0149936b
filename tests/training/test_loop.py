"""The training loop: budget, schedule, average, and going on from a checkpoint."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nulltext.progress import OnProgress, Progress, silent
from nulltext.training.loop import HOLD, WARMUP_STEPS, Run, fit, learning_rate


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    assert learning_rate(0, 0.0) == pytest.approx(1 / WARMUP_STEPS)
    assert learning_rate(WARMUP_STEPS, HOLD) == 1
    assert learning_rate(10_000, (1 + HOLD) / 2) == pytest.approx(0.5)
    assert learning_rate(10_000, 1.0) == pytest.approx(0)


def _run(folder: Path, seconds: float, on_progress: OnProgress = silent) -> Run:
    return Run(folder=folder, seconds=seconds, device=torch.device("cpu"), on_progress=on_progress)


def _loss(seen: list[int]) -> "object":
    def loss(module: nn.Linear, step: int) -> Tensor:
        seen.append(step)
        x = torch.randn(64, 2, generator=torch.Generator().manual_seed(step))
        return (module(x) - x.sum(1, keepdim=True)).square().mean()

    return loss


def test_it_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first: list[int] = []
    second: list[int] = []
    events: list[Progress] = []
    torch.manual_seed(0)
    fit(_run(tmp_path, 0.5), "toy", nn.Linear(2, 1), _loss(first), lr=0.05)
    torch.manual_seed(1)  # other first weights: what goes on is the checkpoint
    average = fit(_run(tmp_path, 1.5, events.append), "toy", nn.Linear(2, 1), _loss(second), lr=0.05)
    assert second[0] == first[-1] + 1
    assert torch.allclose(average.weight, torch.ones(1, 2), atol=0.05)
    assert events
    assert events[-1].phase == "toy"
    assert not average.training


def test_a_spent_budget_only_gives_back_the_average(tmp_path: Path) -> None:
    seen: list[int] = []
    trained = fit(_run(tmp_path, 0.3), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)
    again = fit(_run(tmp_path, 0.3), "toy", nn.Linear(2, 1), _loss(seen), lr=0.05)
    assert seen == []
    assert torch.equal(again.weight, trained.weight)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    module.bias.requires_grad_(requires_grad=False)
    before = module.bias.clone()
    fit(_run(tmp_path, 0.2), "toy", module, _loss([]), lr=0.05)
    assert torch.equal(module.bias, before)


def test_a_step_draws_the_same_batch_again(tmp_path: Path) -> None:
    run = _run(tmp_path, 1.0)
    assert torch.equal(torch.rand(3, generator=run.generator(7)), torch.rand(3, generator=run.generator(7)))
    assert not torch.equal(torch.rand(3, generator=run.generator(7)), torch.rand(3, generator=run.generator(8)))
    assert run.random(7).random() == run.random(7).random()
