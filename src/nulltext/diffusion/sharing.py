"""Many images in one batch of the network.

A method is written for one image, line by line as in its paper, and calls `predict` and `descend`. Alone, these are
plain calls. Where images share a batch, each method runs in a greenlet of its own: what it calls puts the request down
and pauses it until a batch with that request has been answered. Each image goes at its own pace, one that is finished
leaves, and one that waits takes its place. All of it is one thread, in which one greenlet runs at a time.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Generic, Protocol, TypeVar, final, runtime_checkable

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor

from nulltext.checks import Count, checked
from nulltext.diffusion.conditioning import Conditioning, Shapes
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import OutOfMemoryError, SettingError
from nulltext.types import Embeddings, Latents, Times

Result = TypeVar("Result")
Error = Callable[[Latents], Tensor]
"""What is to become less: of the network's output, [B, C, h, w], a scalar."""


@runtime_checkable
class Denoiser(Protocol):
    """Anything that predicts the noise in latents."""

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        ...

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """The network's raw output (see `prediction`), differentiable with respect to the text embeddings.

        Args:
            x: [B, C, h, w] latents.
            t: The time given to the network, or one for each of the B.
            conditioning: What else the network is told, B rows.
            attention: For the B rows, in order: so many, and what is done to their attention; empty leaves all alone.
        """
        ...


def descend(
    denoiser: Denoiser, x: Latents, t: float | Times, conditioning: Conditioning, error: Error
) -> tuple[Tensor, Embeddings]:
    """The error of the network's output, a scalar, and its gradient with respect to the text embeddings.

    Args:
        denoiser: The network, or the share of one that `share` gives.
        x: [B, C, h, w] latents.
        t: The time given to the network, or one for each of the B.
        conditioning: What else the network is told, B rows.
        error: What is to become less.
    """
    if isinstance(denoiser, _Descends):
        return denoiser.descend(x, t, conditioning, error)
    ((loss, gradient),) = _descend_all(denoiser, [_Request(x, t, conditioning, error)], t)
    return loss, gradient


@runtime_checkable
class _Descends(Protocol):
    """A denoiser that answers by itself what `descend` asks."""

    def descend(
        self, x: Latents, t: float | Times, conditioning: Conditioning, error: Error
    ) -> tuple[Tensor, Embeddings]:
        """See `nulltext.diffusion.sharing.descend`."""
        ...


@contextmanager
def saying_what_fits(x: Tensor, kind: str = "latents") -> Generator[None]:
    """Turns a device's want of memory into an error that says what would help.

    Args:
        x: [B, C, height, width] what is being worked on, on the device.
        kind: What it is.

    Raises:
        OutOfMemoryError: There is no memory for one image alone.
    """
    try:
        yield
    except RuntimeError as error:
        if not _wants_memory(error):
            raise
        raise _too_large(x, kind) from error.with_traceback(None)  # whose frames hold all that the network had computed


@final
class SharedDenoiser:
    """What a method sees of a network that others use at the same time.

    Attributes:
        forwards: Samples that the network was asked about.
        backwards: Those of them with a gradient.
    """

    def __init__(self, prediction: Prediction) -> None:
        self._prediction: Prediction = prediction
        self.forwards = self.backwards = 0

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        return self._prediction

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """See `Denoiser.predict`; without a gradient."""
        self.forwards += len(x)
        return self._ask(_Request(x, t, conditioning, attention=attention))

    def descend(
        self, x: Latents, t: float | Times, conditioning: Conditioning, error: Error
    ) -> tuple[Tensor, Embeddings]:
        """See `descend`."""
        self.forwards += len(x)
        self.backwards += len(x)
        return self._ask(_Request(x, t, conditioning, error))

    def _ask(self, request: "_Request") -> Any:  # noqa: ANN401  the answer to either kind of request
        """Pauses the method until its request has been answered."""
        scheduler = getcurrent().parent
        if scheduler is None:
            raise SettingError("a shared denoiser was asked outside of `share`; expected the method it was given to.")
        graded = torch.is_grad_enabled()
        try:
            return scheduler.switch(request)
        finally:
            torch.set_grad_enabled(graded)  # another method may have left it otherwise


Work = Callable[[SharedDenoiser], Result]
"""A method at work: a function of its share of the network."""


def share(denoiser: Denoiser, works: Iterable[Work[Result]], at_once: int) -> Generator[tuple[int, Result]]:
    """The results of methods at work, up to so many of them at once, as they come.

    An image's result does not depend on its neighbours, but for the rounding of the kernels that a batch's size
    chooses. Latents of one size share a batch; any others have their own.

    Args:
        denoiser: The network.
        works: The methods at work; one that waits is not begun.
        at_once: At most so many are under way. Where the device has no memory for so many in one batch, batches are
            halved, and stay so.

    Yields:
        Which of the works it is, from 0, and its result.

    Raises:
        SettingError: `at_once` is less than 1.
        OutOfMemoryError: There is no memory for one alone; raised in the method that asked, as is what an image's own
            attention control raises.
    """
    at_once = checked("at_once", at_once, Count)
    waiting, lanes, width = enumerate(works), list[_Lane[Result]](), at_once
    try:
        while True:
            done, lanes = [lane for lane in lanes if lane.done], [lane for lane in lanes if not lane.done]
            yield from ((lane.index, lane.result) for lane in done)
            for index, work in islice(waiting, at_once - len(lanes)):
                lanes.append(_Lane(index, work, denoiser.prediction))
                lanes[-1].begin()
            if not lanes:
                return
            if batch := _next_batch(lanes)[:width]:
                width = _answer(denoiser, batch, width)
    finally:
        for lane in lanes:
            lane.close()


@final
@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    """A question to the network: for its output, or, with an error, for the error and its gradient."""

    x: Latents
    t: float | Times
    conditioning: Conditioning
    error: Error | None = None
    attention: AttentionPlan = ()


class _Lane(Generic[Result]):
    """A method at work."""

    result: Result
    request: _Request

    def __init__(self, index: int, work: Work[Result], prediction: Prediction) -> None:
        self.index, self.done, self._share, self._work = index, False, SharedDenoiser(prediction), greenlet(work)

    def begin(self) -> None:
        """Lets the method go to its first request, or its end."""
        self._go_on(lambda: self._work.switch(self._share))

    def resume(self, answer: object) -> None:
        """Lets the method go on to its next request, or its end."""
        self._go_on(lambda: self._work.switch(answer))

    def fail(self, error: BaseException) -> None:
        """Lets the method go on with an error in the place of an answer."""
        self._go_on(lambda: self._work.throw(error))

    def close(self) -> None:
        """Ends the method where it is; its `finally` blocks run."""
        if not self._work.dead:
            self._go_on(self._work.throw)

    def _go_on(self, switch: Callable[[], Any]) -> None:
        self._work.parent, graded = getcurrent(), torch.is_grad_enabled()
        try:
            answer = switch()
        finally:
            torch.set_grad_enabled(graded)
        if self._work.dead:
            self.result, self.done = answer, True
        else:
            self.request = answer


def _next_batch(lanes: Sequence[_Lane[Result]]) -> list[_Lane[Result]]:
    """Whose requests are answered next: the most that are of one kind and one shape; none where all are done.

    Small batches leave a device idle; so the few wait for more to ask the same. Of as many, those without a gradient go
    first, so that those with one, which cost the most, fill their batch.
    """

    def kind(lane: _Lane[Result]) -> tuple[bool, torch.Size, Shapes]:
        return lane.request.error is not None, lane.request.x.shape[1:], lane.request.conditioning.shapes

    asking = sorted((lane for lane in lanes if not lane.done), key=kind)
    groups = [list(group) for _, group in groupby(asking, key=kind)]
    return max(groups, key=len) if groups else []


def _answer(denoiser: Denoiser, batch: Sequence[_Lane[Result]], width: int) -> int:
    """Answers a batch if it fits into the memory; returns how wide the next may be."""
    requests = [lane.request for lane in batch]
    try:
        answers = _evaluate(denoiser, requests)
    except Exception as error:
        if not _wants_memory(error):
            failed = _whose(batch, error)
            if failed is None:
                raise
            failed.fail(error)  # the others' requests are still there to be answered
            return width
        if len(batch) == 1:
            short = _too_large(requests[0].x)
            short.__cause__ = error.with_traceback(None)  # whose frames hold all that the network had computed
            batch[0].fail(short)
            return width
        answers = None
    if answers is None:  # outside of the handler, which would keep the failed batch alive
        if requests[0].x.device.type == "cuda":
            torch.cuda.empty_cache()
        return len(batch) // 2
    for lane, answer in zip(batch, answers, strict=True):
        lane.resume(answer)
    return width


def _whose(batch: Sequence[_Lane[Result]], error: Exception) -> _Lane[Result] | None:
    """The method whose own attention control raised an error; None if it is the network's."""
    for lane in batch:
        if any(steered is not None and steered.error is error for _, steered in lane.request.attention):
            return lane
    return None


def _evaluate(denoiser: Denoiser, requests: Sequence[_Request]) -> Sequence[object]:
    """The answers to requests of one kind and one shape, from one pass of the network."""
    t = _common_time(requests)
    if requests[0].error is not None:
        return _descend_all(denoiser, requests, t)
    conditioning = Conditioning.cat([one.conditioning for one in requests])
    with torch.no_grad():
        output = denoiser.predict(torch.cat([one.x for one in requests]), t, conditioning, _joined(requests))
    return torch.split(output, [len(one.x) for one in requests])


def _joined(requests: Sequence[_Request]) -> AttentionPlan:
    """The plan of a batch; an image's part of it is its own, whatever is done to those beside it."""
    if not any(one.attention for one in requests):
        return ()
    return [part for one in requests for part in one.attention or [(len(one.x), None)]]


def _common_time(requests: Sequence[_Request]) -> float | Times:
    """The time of a whole batch, or one for each of its samples."""
    times = {one.t for one in requests if not isinstance(one.t, Tensor)}
    if len(times) == 1 and not any(isinstance(one.t, Tensor) for one in requests):
        return times.pop()
    each = ((torch.as_tensor(one.t, dtype=torch.float32, device=one.x.device), len(one.x)) for one in requests)
    return torch.cat([time.expand(count) for time, count in each])


def _descend_all(
    denoiser: Denoiser, requests: Sequence[_Request], t: float | Tensor
) -> Sequence[tuple[Tensor, Embeddings]]:
    """The errors and their gradients, from one pass of the network there and back; `t` is that of the whole batch."""
    sizes = [len(one.x) for one in requests]
    with torch.enable_grad():
        conditioning = Conditioning.cat([one.conditioning for one in requests])
        text = conditioning.text.detach().requires_grad_()
        x = torch.cat([one.x for one in requests])
        outputs = torch.split(denoiser.predict(x, t, conditioning.with_text(text)), sizes)
        pairs = zip(requests, outputs, strict=True)
        errors = torch.stack([one.error(output) for one, output in pairs if one.error is not None])
        (gradient,) = torch.autograd.grad(errors.sum(), text)
    return list(zip(errors.detach(), torch.split(gradient, sizes), strict=True))


def _wants_memory(error: Exception) -> bool:
    refused = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return refused or isinstance(error, torch.OutOfMemoryError)


def _too_large(x: Tensor, kind: str = "latents") -> OutOfMemoryError:
    return OutOfMemoryError(
        f"the memory of {x.device} does not suffice for one image with {kind} of {list(x.shape[1:])}. Load the "
        "model with dtype bfloat16, or with low_memory=True, or take a smaller image."
    )
