"""The training loop: budget, schedule, average, and going on from a checkpoint."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nulltext.progress import Progress
from nulltext.training.loop import HOLD, WARMUP_STEPS, fit, learning_rate


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    assert learning_rate(0, 0.0) == pytest.approx(1 / WARMUP_STEPS)
    assert learning_rate(WARMUP_STEPS, HOLD) == 1
    assert learning_rate(10_000, (1 + HOLD) / 2) == pytest.approx(0.5)
    assert learning_rate(10_000, 1.0) == pytest.approx(0)


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
    fit("toy", nn.Linear(2, 1), _loss(first), folder=tmp_path, seconds=0.5, lr=0.05)
    torch.manual_seed(1)  # other first weights: what goes on is the checkpoint
    average = fit(
        "toy", nn.Linear(2, 1), _loss(second), folder=tmp_path, seconds=1.5, lr=0.05, on_progress=events.append
    )
    assert second[0] == first[-1] + 1
    assert torch.allclose(average.weight, torch.ones(1, 2), atol=0.05)
    assert events
    assert events[-1].phase == "toy"
    assert not average.training


def test_a_spent_budget_only_gives_back_the_average(tmp_path: Path) -> None:
    seen: list[int] = []
    trained = fit("toy", nn.Linear(2, 1), _loss([]), folder=tmp_path, seconds=0.3, lr=0.05)
    again = fit("toy", nn.Linear(2, 1), _loss(seen), folder=tmp_path, seconds=0.3, lr=0.05)
    assert seen == []
    assert torch.equal(again.weight, trained.weight)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    module.bias.requires_grad_(requires_grad=False)
    before = module.bias.clone()
    fit("toy", module, _loss([]), folder=tmp_path, seconds=0.2, lr=0.05)
    assert torch.equal(module.bias, before)
