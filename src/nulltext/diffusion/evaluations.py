"""Methods as coroutines, so that many pictures can share one batch.

A method is written for one picture, line by line as in its paper, and yields each evaluation of the network that it
needs. `alone` answers the questions of one picture. `together` gathers those of many into batches: each picture goes
at its own pace, one that is finished leaves, and one that waits takes its place.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Final, Generic, Protocol, TypeVar, final, runtime_checkable

import torch
from torch import Tensor

from nulltext.checks import Count, checked
from nulltext.diffusion.levels import Prediction
from nulltext.errors import CaptionError, ImageError, InversionError, NulltextError, OutOfMemoryError
from nulltext.types import Embeddings, Latents, Times

Result = TypeVar("Result")

OF_ONE_PICTURE: Final = (CaptionError, ImageError, InversionError, OutOfMemoryError)
"""What can go wrong with one picture while others beside it are well."""


@runtime_checkable
class Denoiser(Protocol):
    """Anything that predicts the noise in latents."""

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        ...

    def predict(self, x: Latents, t: int | Times, text: Embeddings) -> Latents:
        """The network's output for latents `x` at time `t` under `text`, all with the same batch size."""
        ...


@final
@dataclass(frozen=True, eq=False, slots=True)
class Predict:
    """A question: what does the network say? Answered by its output, [B, C, h, w], without a gradient.

    Attributes:
        x: [B, C, h, w] latents.
        t: The time the network is told, or one for each of the B.
        text: [B, L, D] embeddings.
    """

    x: Latents
    t: int | Times
    text: Embeddings


@final
@dataclass(frozen=True, eq=False, slots=True)
class Descend:
    """A question: which way is down? Answered by the error, a scalar, and its gradient with respect to `text`.

    Attributes:
        x: [B, C, h, w] latents.
        t: The time the network is told, or one for each of the B.
        text: [B, L, D] embeddings.
        error: What is to become less: of the network's output, [B, C, h, w], a scalar.
    """

    x: Latents
    t: int | Times
    text: Embeddings
    error: Callable[[Latents], Tensor]


Question = Predict | Descend
Evaluations = Generator[Question, Any, Result]
"""A method at work: yields questions, is sent their answers, and returns its result."""


def predict(x: Latents, t: int | Times, text: Embeddings) -> Evaluations[Latents]:
    """Asks what the network says, see `Predict`."""
    output: Latents = yield Predict(x, t, text)
    return output


def descend(
    x: Latents, t: int | Times, text: Embeddings, error: Callable[[Latents], Tensor]
) -> Evaluations[tuple[Tensor, Embeddings]]:
    """Asks which way is down, see `Descend`."""
    answer: tuple[Tensor, Embeddings] = yield Descend(x, t, text, error)
    return answer


def alone(model: Denoiser, work: Evaluations[Result]) -> Result:
    """The result of a method at work on one picture."""
    ((_, result),) = together(model, [work], 1)
    return result


def together(model: Denoiser, works: Iterable[Evaluations[Result]], at_once: int) -> Iterator[tuple[int, Result]]:
    """The results of methods at work, up to so many of them at once, as they come.

    What a picture's result is does not depend on its neighbours, but for the rounding of the kernels that a batch's
    size chooses. Latents of one size share a batch; any others have their own.

    Args:
        model: What answers.
        works: The methods at work; one that waits is not begun.
        at_once: At most so many are under way. Where the device has no memory for so many in one batch, batches are
            halved, and stay so.

    Yields:
        Which of the works it is, from 0, and its result.

    Raises:
        SettingError: `at_once` is less than 1.
        OutOfMemoryError: There is no memory for one alone.
    """
    with closing(settled(model, works, at_once)) as results:
        for index, result in results:
            if isinstance(result, NulltextError):
                raise result
            yield index, result


def settled(
    model: Denoiser, works: Iterable[Evaluations[Result]], at_once: int
) -> Generator[tuple[int, Result | NulltextError]]:
    """As `together`, but what goes wrong with one picture alone stops no other: its error stands for its result.

    Args:
        model: See `together`.
        works: See `together`.
        at_once: See `together`.

    Yields:
        Which of the works it is, from 0, and its result, or one of `OF_ONE_PICTURE`.

    Raises:
        SettingError: `at_once` is less than 1.
    """
    at_once = checked("at_once", at_once, Count)
    waiting, lanes, width = enumerate(works), list[_Lane[Result]](), at_once
    try:
        while True:
            done, lanes = [lane for lane in lanes if lane.done], [lane for lane in lanes if not lane.done]
            yield from ((lane.index, lane.result) for lane in done)
            lanes += [_Lane(index, work) for index, work in islice(waiting, at_once - len(lanes))]
            if not lanes:
                return
            batch = _next_batch(lanes)[:width]
            try:
                answers = _answer_if_it_fits(model, [lane.question for lane in batch]) if batch else ()
            except OutOfMemoryError as error:
                batch[0].fail(error)
                continue
            if answers is None:
                width = len(batch) // 2
                continue
            for lane, answer in zip(batch, answers, strict=True):
                lane.resume(answer)
    finally:
        for lane in lanes:
            lane.work.close()


class _Lane(Generic[Result]):
    """A place in the batch, and the work that has it."""

    result: Result | NulltextError
    question: Question

    def __init__(self, index: int, work: Evaluations[Result]) -> None:
        self.index, self.work, self.done = index, work, False
        self.resume(None)

    def resume(self, answer: object) -> None:
        """Lets the work go on to its next question, or its end."""
        try:
            with torch.enable_grad():
                self.question = self.work.send(answer)
        except StopIteration as end:
            self.result, self.done = end.value, True
        except OF_ONE_PICTURE as error:
            self.fail(error)

    def fail(self, error: NulltextError) -> None:
        """Ends the work with an error in its result's place."""
        self.work.close()
        self.result, self.done = error, True


def _next_batch(lanes: Sequence[_Lane[Result]]) -> list[_Lane[Result]]:
    """Whose questions are answered next: the most that are of one kind and one shape; none where all are done.

    Small batches leave a device idle; so the few wait for more to ask the same. Of as many, those without a gradient go
    first, so that those with one, which cost the most, fill their batch.
    """

    def kind(lane: _Lane[Result]) -> tuple[bool, torch.Size, torch.Size]:
        question = lane.question
        return isinstance(question, Descend), question.x.shape[1:], question.text.shape[1:]

    asking = sorted((lane for lane in lanes if not lane.done), key=kind)
    groups = [list(group) for _, group in groupby(asking, key=kind)]
    return max(groups, key=len) if groups else []


def _answer_if_it_fits(model: Denoiser, asked: Sequence[Question]) -> Sequence[object] | None:
    """The answers, or None if there is no memory for so many questions.

    Raises:
        OutOfMemoryError: There is none for one.
    """
    try:
        return _answer(model, asked)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        if len(asked) == 1:
            raise OutOfMemoryError(
                f"the memory of {asked[0].x.device} does not suffice for one picture with latents of "
                f"{list(asked[0].x.shape[1:])}. Load the model with dtype bfloat16, or with low_memory=True, or take a "
                "smaller picture."
            ) from error.with_traceback(None)  # whose frames hold all that the network had computed
    if asked[0].x.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _answer(model: Denoiser, asked: Sequence[Question]) -> Sequence[object]:
    """The answers to questions of one kind and one shape, from one pass of the network."""
    x, text = torch.cat([one.x for one in asked]), torch.cat([one.text for one in asked]).detach()
    sizes = [len(one.x) for one in asked]
    times = {one.t for one in asked if isinstance(one.t, int)}
    if len(times) == 1 and all(isinstance(one.t, int) for one in asked):
        (t,) = times
    else:
        t = torch.cat([torch.as_tensor(one.t, device=x.device).expand(len(one.x)) for one in asked])
    descents = [one for one in asked if isinstance(one, Descend)]
    if not descents:
        with torch.no_grad():
            return torch.split(model.predict(x, t, text), sizes)
    with torch.enable_grad():
        text.requires_grad_()
        outputs = torch.split(model.predict(x, t, text), sizes)
        errors = torch.stack([one.error(output) for one, output in zip(descents, outputs, strict=True)])
        (gradient,) = torch.autograd.grad(errors.sum(), text)
    return list(zip(errors.detach(), torch.split(gradient, sizes), strict=True))
