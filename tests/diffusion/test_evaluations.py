import pytest
import torch

from nulltext.diffusion.evaluations import alone, descend, predict, together
from nulltext.errors import OutOfMemoryError, SettingError


class Small:
    """A network that says its text's mean, and has memory for so many at once."""

    prediction = "epsilon"

    def __init__(self, room):
        self.room, self.batches = room, []

    def predict(self, x, t, text):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("no room")
        self.batches.append((len(x), text.requires_grad, t if isinstance(t, int) else t.tolist()))
        return x * 0 + text.mean(dim=(1, 2))[:, None, None, None]


def work(value, times, *, t=5):
    """Asks once without and some times with a gradient."""
    x, text = torch.zeros(1, 1, 2, 2), torch.full((1, 2, 3), float(value))
    (yield from predict(x, t, text))
    for _ in range(times):
        loss, gradient = yield from descend(x, t, text, lambda output: output.square().mean())
        text = text - gradient
    return loss.item(), text


@pytest.mark.parametrize(("room", "most"), [(8, 4), (3, 2), (2, 2), (1, 1)])
def test_batches_are_halved_until_they_fit_and_results_stay(room, most):
    small = Small(room)
    results = dict(together(small, [work(value, 3) for value in range(5)], 4))
    for value in range(5):
        loss, text = alone(Small(8), work(value, 3))
        assert results[value][0] == pytest.approx(loss)
        torch.testing.assert_close(results[value][1], text)
    assert max(size for size, *_ in small.batches) == most


def test_one_that_does_not_fit_says_what_would_help():
    with pytest.raises(OutOfMemoryError, match=r"bfloat16.*low_memory.*smaller"):
        alone(Small(0), work(1, 1))


def test_other_errors_pass():
    class Broken(Small):
        def predict(self, x, t, text):
            raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        alone(Broken(1), work(1, 1))


def test_pictures_at_different_times_share_a_batch():
    small = Small(8)
    list(together(small, [work(1, 2, t=7), work(2, 2, t=3)], 2))
    assert small.batches == [(2, False, [7, 3]), (2, True, [7, 3]), (2, True, [7, 3])]


def test_one_that_is_finished_leaves_and_one_that_waits_takes_its_place():
    small, begun = Small(8), []

    def works():
        for index, times in enumerate((1, 4, 2)):
            begun.append(index)
            yield work(index, times)

    order = [index for index, _ in together(small, works(), 2)]
    assert order == [0, 2, 1]
    assert begun == [0, 1, 2]
    assert [size for size, gradient, _ in small.batches if gradient] == [2, 2, 2, 1]


def test_works_that_are_left_are_closed():
    closed = []

    def careful(index):
        try:
            yield from work(index, 3)
        finally:
            closed.append(index)

    results = together(Small(8), (careful(index) for index in range(3)), 2)
    next(results)
    results.close()
    assert closed == [0, 1]


def test_a_work_that_asks_nothing_is_done_at_once():
    def idle():
        return 3
        yield

    assert dict(together(Small(8), [idle(), work(1, 1), idle()], 1)).keys() == {0, 1, 2}


def test_no_room_for_any_is_an_error():
    with pytest.raises(SettingError, match="at_once=0"):
        list(together(Small(1), [], 0))
