"""The training loop: budget, schedule, average, and going on from a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
import torch
from torch import Tensor, nn

from nulltext.errors import SettingError
from nulltext.progress import OnProgress, Progress, silent
from nulltext.training.loop import HOLD, WARMUP_STEPS, Run, fit, learning_rate


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    assert learning_rate(0, 0.0) == pytest.approx(1 / WARMUP_STEPS)
    assert learning_rate(WARMUP_STEPS, HOLD) == 1
    assert learning_rate(10_000, (1 + HOLD) / 2) == pytest.approx(0.5)
    assert learning_rate(10_000, 1.0) == pytest.approx(0)


def _run(folder: Path, seconds: float, on_progress: OnProgress = silent, begun: str = "seed 0") -> Run:
    return Run(folder=folder, seconds=seconds, device=torch.device("cpu"), begun=begun, on_progress=on_progress)


def _loss(steps: list[int]) -> Callable[[nn.Linear, int], Tensor]:
    def loss(module: nn.Linear, step: int) -> Tensor:
        steps.append(step)
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
    steps: list[int] = []
    trained = fit(_run(tmp_path, 0.3), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)
    again = fit(_run(tmp_path, 0.3), "toy", nn.Linear(2, 1), _loss(steps), lr=0.05)
    assert steps == []
    assert torch.equal(again.weight, trained.weight)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    before = module.bias.clone()
    fit(_run(tmp_path, 0.2), "toy", module, _loss([]), lr=0.05)
    assert torch.equal(module.bias, before)


def test_a_step_draws_the_same_batch_again(tmp_path: Path) -> None:
    run = _run(tmp_path, 1.0)
    assert torch.equal(torch.rand(3, generator=run.generator(7)), torch.rand(3, generator=run.generator(7)))
    assert not torch.equal(torch.rand(3, generator=run.generator(7)), torch.rand(3, generator=run.generator(8)))
    assert run.random(7).random() == run.random(7).random()


@pytest.mark.parametrize("stopped_at", [0, 7])
def test_what_was_trained_before_ctrl_c_is_kept(tmp_path: Path, stopped_at: int) -> None:
    def loss(module: nn.Linear, step: int) -> Tensor:
        if step == stopped_at:
            raise KeyboardInterrupt
        return module(torch.ones(1, 2)).square().sum()

    module = nn.Linear(2, 1)
    run = _run(tmp_path / "states", 100.0)
    with pytest.raises(KeyboardInterrupt):
        fit(run, "toy", module, loss, lr=0.05)
    state = run.state("toy")
    if stopped_at == 0:
        assert state is None
        return
    assert state is not None
    assert state["step"] == stopped_at
    assert torch.equal(state["module"]["weight"], module.weight)
    assert [path.name for path in (tmp_path / "states").iterdir()] == ["toy.state.pt"]


def test_a_full_disk_leaves_the_state_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(_run(tmp_path, 0.1), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)
    before = (tmp_path / "toy.state.pt").read_bytes()

    def full(_: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        fit(_run(tmp_path, 0.2), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)
    assert (tmp_path / "toy.state.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["toy.state.pt"]


@pytest.mark.parametrize("field", ["begun", None])
def test_the_state_of_another_training_is_an_error(tmp_path: Path, field: str | None) -> None:
    fit(_run(tmp_path, 0.1), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)
    if field is None:  # as before states said what they were begun with
        state = torch.load(tmp_path / "toy.state.pt", weights_only=True)
        torch.save({key: value for key, value in state.items() if key != "begun"}, tmp_path / "toy.state.pt")
    message = "begun with an earlier version" if field is None else r"begun with seed 0; got seed 1\..*another --work"
    with pytest.raises(SettingError, match=message):
        fit(_run(tmp_path, 0.2, begun="seed 1"), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)


def test_matrices_are_trained_by_muon_and_the_rest_by_adamw(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    run = _run(tmp_path, 0.1)
    fit(run, "toy", module, lambda net, _: net(torch.eye(2)).square().sum(), lr=0.05, matrices=[module.weight])
    assert not torch.equal(module.weight, before)
    state = run.state("toy")
    assert state is not None
    adamw, muon = (optimizer["state"] for optimizer in state["optimizers"])
    assert set(adamw[0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert set(muon[0]) == {"momentum_buffer"}
    assert len(adamw) == len(muon) == 1


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(b"hello"), "is damaged"),
        (lambda path: path.replace(path.with_name("other.state.pt")), "is the state of the stage toy"),
    ],
    ids=["truncated", "empty", "something else", "of another stage"],
)
def test_a_state_that_cannot_be_gone_on_from_is_an_error_and_stays(tmp_path: Path, damage, expected: str) -> None:
    fit(_run(tmp_path, 0.05), "toy", nn.Linear(2, 1), _loss([]), lr=0.05)
    damage(tmp_path / "toy.state.pt")
    (path,) = tmp_path.iterdir()
    left = path.read_bytes()
    with pytest.raises(SettingError, match=expected):
        fit(_run(tmp_path, 0.1), path.name.partition(".")[0], nn.Linear(2, 1), _loss([]), lr=0.05)
    assert path.read_bytes() == left
