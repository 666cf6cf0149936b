import pytest
import torch

from nulltext import DescentSchedule, NullText
from nulltext.inversion.solvers import LBFGS, SOLVERS


def quadratic(seed=0, size=30):
    """A least-squares error whose curvatures span two orders, its gradient, and where it is least."""
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    curve = turn @ torch.diag(torch.logspace(-1, 1, size)) @ turn.T
    least = torch.randn(1, size // 3, 3, generator=generator)

    def error(x):
        off = (x - least).flatten()
        return 0.5 * off @ curve @ off, (curve @ off).view_as(x)

    return error, least


@pytest.mark.parametrize("name", SOLVERS)
def test_goes_down(name):
    error, least = quadratic()
    x = torch.zeros_like(least)
    solver, before = SOLVERS[name](x, 0.1), error(x)[0]
    for _ in range(60):
        x = solver.move(error(x)[1])
    assert error(x)[0] < before / 10


def test_lbfgs_solves_a_quadratic_to_the_end():
    error, least = quadratic()
    x, solver = torch.zeros_like(least), LBFGS(torch.zeros_like(least), 0.1)
    for _ in range(60):
        x = solver.move(error(x)[1])
    torch.testing.assert_close(x, least, rtol=0, atol=1e-3)


def test_lbfgs_begins_with_the_learning_rate_and_takes_no_leap():
    error, least = quadratic()
    x, solver = torch.zeros_like(least), LBFGS(torch.zeros_like(least), 1e-3)
    for number in range(8):
        moved = solver.move(error(x)[1])
        assert (moved - x).abs().max() <= (1.001e-3 if number == 0 else 1.001e-2)
        x = moved


def test_stands_still_where_there_is_no_slope():
    x = torch.ones(1, 2, 3)
    for solver in SOLVERS.values():
        assert torch.equal(solver(x, 0.1).move(torch.zeros_like(x)), x)


def test_does_not_change_where_it_started():
    x = torch.ones(1, 2, 3)
    for solver in SOLVERS.values():
        solver(x, 0.1).move(torch.ones_like(x))
    assert torch.equal(x, torch.ones(1, 2, 3))


def test_null_text_by_lbfgs_comes_nearer_in_as_many_iterations(model, source_image):
    descent = DescentSchedule(learning_rate=1e-2, decay=0.0, tolerance=0.0, tolerance_growth=0.0)
    last = {}
    for solver in SOLVERS:
        events = []
        method = NullText(steps=4, inner_steps=8, guidance=3.0, descent=descent, solver=solver)
        method(model, source_image, "a red ball on grass", events.append)
        last[solver] = sum(event.loss for event in events if event.phase == "optimise")
    assert last["lbfgs"] < last["adam"]
