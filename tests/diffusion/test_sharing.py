from typing import Any, cast

import pytest
import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.sharing import descend, saying_what_fits, share
from nulltext.errors import OutOfMemoryError, SettingError


class Small:
    """A network that says its text's mean, and has memory for so many at once."""

    prediction = "epsilon"

    def __init__(self, room):
        self.room, self.batches = room, []

    def predict(self, x, t, conditioning, attention=()):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("no room")
        self.batches.append((len(x), conditioning.text.requires_grad, t if isinstance(t, float) else t.tolist()))
        return x * 0 + conditioning.text.mean(dim=(1, 2))[:, None, None, None]


def with_room(room: int) -> Any:
    return Small(room)


def work(value, times, *, t=5.0):
    """Asks once without and some times with a gradient."""

    def method(denoiser):
        x, own = torch.zeros(1, 1, 2, 2), Conditioning(text=torch.full((1, 2, 3), float(value)))
        denoiser.predict(x, t, own)
        for _ in range(times):
            loss, gradient = descend(denoiser, x, t, own, lambda output: output.square().mean())
            own = own.with_text(own.text - gradient)
        return loss.item(), own.text

    return method


@pytest.mark.parametrize(("room", "most"), [(8, 4), (3, 2), (2, 2), (1, 1)])
def test_batches_are_halved_until_they_fit_and_results_stay(room, most):
    small: Any = Small(room)
    results = dict(share(small, [work(value, 3) for value in range(5)], 4))
    for value in range(5):
        loss, text = work(value, 3)(Small(8))
        assert results[value][0] == pytest.approx(loss)
        torch.testing.assert_close(results[value][1], text)
    assert max(size for size, *_ in small.batches) == most


def test_one_that_does_not_fit_says_what_would_help():
    with pytest.raises(OutOfMemoryError, match=r"bfloat16.*low_memory.*smaller"):
        list(share(with_room(0), [work(1, 1)], 1))
    with (
        pytest.raises(OutOfMemoryError, match=r"bfloat16.*low_memory.*smaller"),
        saying_what_fits(torch.zeros(1, 1, 2, 2)),
    ):
        work(1, 1)(Small(0))


def test_other_errors_pass():
    class Broken(Small):
        def predict(self, x, t, conditioning, attention=()):
            raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        list(share(cast("Any", Broken(1)), [work(1, 1)], 1))
    with pytest.raises(RuntimeError, match="a shape is wrong"), saying_what_fits(torch.zeros(1, 1, 2, 2)):
        work(1, 1)(Broken(1))


def test_images_at_different_times_share_a_batch():
    small: Any = Small(8)
    list(share(small, [work(1, 2, t=7.0), work(2, 2, t=3.5)], 2))
    assert small.batches == [(2, False, [7.0, 3.5]), (2, True, [7.0, 3.5]), (2, True, [7.0, 3.5])]


def test_one_that_is_finished_leaves_and_one_that_waits_takes_its_place():
    small: Any = Small(8)
    begun = []

    def works():
        for index, times in enumerate((1, 4, 2)):
            begun.append(index)
            yield work(index, times)

    order = [index for index, _ in share(small, works(), 2)]
    assert order == [0, 2, 1]
    assert begun == [0, 1, 2]
    assert [size for size, gradient, _ in small.batches if gradient] == [2, 2, 2, 1]


def test_works_that_are_left_are_closed():
    closed = []

    def careful(index):
        def method(denoiser):
            try:
                work(index, 3 + index)(denoiser)
            finally:
                closed.append(index)

        return method

    results = share(with_room(8), (careful(index) for index in range(3)), 2)
    next(results)
    assert closed == [0]
    results.close()
    assert closed == [0, 1]


def test_a_work_that_asks_nothing_is_done_at_once():
    results = dict(share(with_room(8), [lambda _: 3, work(1, 1), lambda _: 3], 1))
    assert results.keys() == {0, 1, 2}
    assert results[0] == 3


def test_no_room_for_any_is_an_error():
    with pytest.raises(SettingError, match="at_once=0"):
        list(share(with_room(1), [], 0))


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_an_error_of_one_ends_all_and_their_cleaning_up_is_done(raised):
    cleaned = []

    def broken(denoiser):
        work(1, 1)(denoiser)
        raise raised

    def careful(denoiser):
        try:
            work(2, 5)(denoiser)
        finally:
            cleaned.append(2)

    with pytest.raises(raised):
        list(share(with_room(8), [careful, broken], 2))
    assert cleaned == [2]


def test_want_of_memory_for_one_alone_is_raised_where_it_asked():
    """So that one image can be given up, and the others go on."""

    def forgiving(denoiser):
        try:
            return work(1, 1)(denoiser)
        except OutOfMemoryError:
            return "too large"

    assert dict(share(with_room(0), [forgiving, forgiving], 2)) == {0: "too large", 1: "too large"}


@pytest.mark.parametrize("outside", [True, False])
def test_each_method_has_a_gradient_mode_of_its_own(outside):
    enabled = []

    def method(denoiser):
        with torch.set_grad_enabled(not outside):
            work(1, 2)(denoiser)
            enabled.append(torch.is_grad_enabled())
            work(1, 1)(denoiser)
        enabled.append(torch.is_grad_enabled())

    with torch.set_grad_enabled(outside):
        for _ in share(with_room(8), [method, work(1, 3), method], 3):
            assert torch.is_grad_enabled() == outside
    assert enabled.count(outside) == enabled.count(not outside) == 2


def test_a_share_counts_what_it_asked():
    counts = []

    def method(denoiser):
        work(1, 3)(denoiser)
        counts.append((denoiser.forwards, denoiser.backwards))

    list(share(with_room(8), [method, work(2, 1)], 2))
    assert counts == [(4, 3)]


def test_a_share_is_of_use_inside_only():
    kept = []
    list(share(with_room(8), [kept.append], 1))
    with pytest.raises(SettingError, match="outside"):
        kept[0].predict(torch.zeros(1, 1, 2, 2), 5.0, Conditioning(text=torch.zeros(1, 2, 3)))
