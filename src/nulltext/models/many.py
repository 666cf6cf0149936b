"""Many jobs with one model, which share the batches of its network."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Literal, TypeVar, final, get_args

from nulltext.checks import Count, checked
from nulltext.diffusion.sharing import SharedDenoiser, Work, share
from nulltext.errors import ImagesFailedError, NulltextError, SettingError
from nulltext.models.base import Model
from nulltext.models.memory import images_at_once
from nulltext.models.shared import sharing
from nulltext.progress import OnProgress, Progress

Errors = Literal["raise", "return"]
Job = TypeVar("Job")
Made = TypeVar("Made")

_LISTED = 3
"""Errors that a message has, of more it says how many."""


@final
@dataclass(frozen=True, kw_only=True)
class Together(Generic[Job, Made]):
    """A kind of job of which many are done together, each as it would be done alone.

    Attributes:
        check: Raises what is known to be wrong with a job before any work.
        do: Does a job; it is given a view of the model that shares the network.
        of_one: What can go wrong with one job while others beside it are well.
        done: What becomes of the images, as in "could not be inverted".
    """

    check: Callable[[Model, Job], None]
    do: Callable[[Model, Job, OnProgress], Made]
    of_one: tuple[type[NulltextError], ...]
    done: str

    def __call__(
        self, model: Model, jobs: Iterable[Job], *, at_once: int | None, errors: str, on_progress: OnProgress
    ) -> Iterator[tuple[int, Made | NulltextError]]:
        """What was made of each job as it comes, or its error.

        Args:
            model: The model.
            jobs: A list is checked before any work; of anything else each is checked as it is taken.
            at_once: At most so many are under way; None is what the device takes.
            errors: Whether errors are raised, all as one at the end, or given in their jobs' places.
            on_progress: Called for every step of every job, with its number, from 1.

        Raises:
            SettingError: `at_once` or `errors` is out of range.
            ImagesFailedError: Some failed.
        """
        if errors not in get_args(Errors):
            raise SettingError(f"got errors={errors!r}; expected 'raise' or 'return'.")
        at_once = checked("at_once", at_once, Count | None)
        pace = images_at_once(model) if at_once is None else at_once
        wrong = self._wrong(model, jobs) if isinstance(jobs, Sequence) else {}
        if wrong and errors == "raise":
            raise self._failure(wrong, {})
        made = self._settled(model, jobs, wrong, pace, on_progress)
        return made if errors == "return" else self._raising(made)

    def single(self, model: Model, job: Job, on_progress: OnProgress) -> Work[Made]:
        """A job, checked first, as a work that shares the network's batches with others."""

        def work(denoiser: SharedDenoiser) -> Made:
            self.check(model, job)
            return self.do(sharing(model, denoiser), job, on_progress)

        return work

    def _wrong(self, model: Model, jobs: Sequence[Job]) -> dict[int, NulltextError]:
        """What is wrong with jobs, by their index."""
        wrong: dict[int, NulltextError] = {}
        for index, job in enumerate(jobs):
            try:
                self.check(model, job)
            except self.of_one as error:
                wrong[index] = error
        return wrong

    def _settled(
        self,
        model: Model,
        jobs: Iterable[Job],
        wrong: Mapping[int, NulltextError],
        at_once: int,
        on_progress: OnProgress,
    ) -> Generator[tuple[int, Made | NulltextError]]:
        """What was made of each job, or its error; of those that are known to be wrong at once."""
        yield from wrong.items()
        taken, broken = list[int](), list[NulltextError]()

        def works() -> Iterator[Work[Made | NulltextError]]:
            try:
                for index, job in enumerate(jobs):
                    if index not in wrong:
                        taken.append(index)
                        yield self._settling(self.single(model, job, partial(_numbered, on_progress, index + 1)))
            except self.of_one as error:  # of an iterator, which has no more
                broken.append(error)

        with closing(share(model, works(), at_once)) as results:
            yield from ((taken[at], made) for at, made in results)
        yield from enumerate(broken, start=len(taken))

    def _settling(self, work: Work[Made]) -> Work[Made | NulltextError]:
        """A work whose result is its error, where that is one job's own."""

        def settling(denoiser: SharedDenoiser) -> Made | NulltextError:
            try:
                return work(denoiser)
            except self.of_one as error:
                return error

        return settling

    def _raising(self, made: Generator[tuple[int, Made | NulltextError]]) -> Generator[tuple[int, Made]]:
        """What was made; when all are done, the errors as one."""
        failed, done = dict[int, NulltextError](), dict[int, Made]()
        with closing(made):
            for index, each in made:
                if isinstance(each, NulltextError):
                    failed[index] = each
                else:
                    done[index] = each
                    yield index, each
        if failed:
            raise self._failure(failed, done)

    def _failure(self, failed: Mapping[int, NulltextError], done: Mapping[int, Made]) -> ImagesFailedError:
        """One error of many."""
        reasons = [f"number {index}, {type(error).__name__}: {error}" for index, error in sorted(failed.items())]
        more = f" And {len(reasons) - _LISTED} more." if len(reasons) > _LISTED else ""
        rest = f"the {len(done)} others are done" if done else "no other is done"
        return ImagesFailedError(
            f"{len(failed)} could not be {self.done}, {rest} (counted from 0): {' '.join(reasons[:_LISTED])}{more}",
            dict(failed),
            dict(done),
        )


def _numbered(on_progress: OnProgress, number: int, event: Progress) -> None:
    on_progress(replace(event, image=number))
