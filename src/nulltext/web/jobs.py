"""A queue: one job at a time on the device, the others wait in the order they came."""

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, final, get_args

from PIL import Image

from nulltext.errors import Cancelled, JobNotFoundError, NulltextError
from nulltext.progress import Progress
from nulltext.web.clients import NOBODY, Client
from nulltext.web.limits import Limits
from nulltext.web.queue_limits import Asked, Asking, check_queue
from nulltext.web.shelf import StoredItem, too_many
from nulltext.web.sizes import size_of

Result = TypeVar("Result")
State = Literal["waiting", "running", "done", "failed", "cancelled"]
UNFORESEEN = "Something unforeseen went wrong; the server's log says what. Try again, or with another image."

_log = logging.getLogger(__name__)
_LEAST = 2**16
"""As so many bytes a job counts that is over, however small its result is: so many jobs are not remembered for ever."""


@final
class Job(Generic[Result]):
    """Some work for a person.

    Attributes:
        number: What it is called; cannot be guessed.
        person: Whose it is.
        state: How far it is.
        progress: The last event of its progress, if there was one.
        losses: The objective after every step that has one.
        preview: What the image looks like so far, if anything can be seen.
        result: What it made, once it is done.
        message: What went wrong, in a sentence, if it failed.
        ended: When it ended, or was last used after that.
        client: Where it was asked for.
        size: Bytes of what it was given, as long as it holds them.
        weight: Bytes of what it made, once it is over.
        uses: Files that it needs until it is over.
    """

    def __init__(
        self,
        person: str,
        work: Callable[["Job[Result]"], Result],
        plan: Mapping[str, float] | None = None,
        private: str = "",
        client: Client = NOBODY,
    ) -> None:
        """Prepares it.

        Args:
            person: Whose it is.
            work: What to do; it is given the job, to tell of its progress.
            plan: The phases to come, with what each costs altogether, in any one unit.
            private: The folder of all files; a message names none in it.
            client: Where it was asked for.
        """
        self.number, self.person, self.client = secrets.token_urlsafe(16), person, client
        self.state: State = "waiting"
        self.progress: Progress | None = None
        self.losses: list[float] = []
        self.preview: Image.Image | None = None
        self.result: Result | None = None
        self.message: str | None = None
        self.ended: float | None = None
        self.size, self.weight = size_of(work), _LEAST
        self.uses: frozenset[Path] = frozenset()
        self._work: Callable[[Job[Result]], Result] | None = work
        self._plan = dict(plan or {})
        self._private = re.compile(re.escape(private) + r"(?:[^\s:;,]*[^\s:;,.])?") if private else None
        self._began: tuple[float, float] | None = None
        self._stop, self._over, self._changing = threading.Event(), threading.Event(), threading.Lock()

    @property
    def over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self._over.is_set()

    @property
    def seconds_left(self) -> float | None:
        """How long it will take from here, by what it has taken so far; None if that cannot be told yet."""
        if self.over or self.progress is None or self._began is None or self.progress.phase not in self._plan:
            return None
        then, before = self._began
        done = self._done(self.progress)
        if done <= before:
            return None
        return (sum(self._plan.values()) - done) * (time.monotonic() - then) / (done - before)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is over; false if that takes longer."""
        return self._over.wait(timeout)

    def stop(self) -> None:
        """Makes it end as cancelled, at once for who asks; what it still makes is dropped."""
        self._stop.set()
        self._end("cancelled")

    def check(self) -> None:
        """Raises `Cancelled` if it was stopped."""
        if self._stop.is_set():
            raise Cancelled("stopped, because somebody asked for it.")

    def tell(self, event: Progress) -> None:
        """Takes a progress event; the callback to hand to the core.

        Raises:
            Cancelled: The job was stopped.
        """
        self.check()
        # What was done before the first event took an unknown time.
        self._began = self._began or (time.monotonic(), self._done(event))
        self.progress = event
        if event.phase == "optimise" and event.loss is not None:
            self.losses.append(event.loss)

    def run(self) -> None:
        """Does the work; never raises."""
        with self._changing:
            work = self._work
            if self.over or work is None:
                return
            self.state = "running"
        try:
            result = work(self)
        except Cancelled:
            self._end("cancelled")
        except NulltextError as error:
            message = str(error)
            self._end("failed", message=message if self._private is None else self._private.sub("the file", message))
        except Exception:  # noqa: BLE001  nobody waits for this thread: the log and a sentence are all there is
            _log.exception("a job failed")
            self._end("failed", message=UNFORESEEN)
        else:
            self._end("done", result)
        with self._changing:
            self._let_go()

    def _end(self, state: State, result: Result | None = None, message: str | None = None) -> None:
        """Ends it in one way, whoever comes first: its work, or who stops it."""
        with self._changing:
            if not self.over:
                began, self.state = self.state == "running", state
                self.result, self.message, self.ended = result, message, time.monotonic()
                self.weight = _LEAST + size_of(result, self.losses)
                if not began:  # else what it does may still hold what it was given
                    self._let_go()
                self._over.set()

    def _let_go(self) -> None:
        """Drops what it was given, and what is seen only while it runs."""
        self._work, self.size, self.uses, self.preview = None, 0, frozenset(), None
        self.progress = None if self.progress is None else replace(self.progress, latents=None)

    def _done(self, event: Progress) -> float:
        """How much of the plan is done by an event."""
        if event.phase not in self._plan:
            return 0.0
        phases = list(self._plan)
        now = phases.index(event.phase)
        share = event.step / max(1, event.total)
        return sum(self._plan[phase] for phase in phases[:now]) + share * self._plan[phases[now]]


Then = Callable[[Any, Job[Any]], Any]
"""What a job goes on with: called with what it has made, and the job."""


def followed(work: Callable[[Job[Any]], Any], then: Then | None) -> Callable[[Job[Any]], Any]:
    """Some work, and what its job goes on with."""
    return work if then is None else partial(_go_on, work, then)


def _go_on(work: Callable[[Job[Any]], Any], then: Then, job: Job[Any]) -> Any:  # noqa: ANN401  whatever they make
    return then(work(job), job)


@final
class Jobs:
    """The jobs of all people, and the thread that does them."""

    def __init__(self, limits: Limits, *, private: str = "") -> None:
        """Begins with none.

        Args:
            limits: How many a person and an address may have waiting and under way, and what is kept of those that
                are over.
            private: The folder of all files; a job's message names none in it.
        """
        self._limits, self._private = limits, private
        self._jobs: dict[str, Job[Any]] = {}
        self._waiting: list[Job[Any]] = []
        self._running: Job[Any] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self.leaving = False
        self._worker = threading.Thread(target=self._serve, name="nulltext jobs", daemon=True)
        self._worker.start()

    def submit(
        self,
        person: str,
        work: Callable[[Job[Result]], Result],
        plan: Mapping[str, float] | None = None,
        *,
        client: Client = NOBODY,
        uses: frozenset[Path] = frozenset(),
    ) -> Job[Result]:
        """Puts work at the end of the queue; see `Job`.

        Raises:
            TooManyJobsError: The person, their address or all together have as many jobs as they may have, or these
                hold as much memory as they may.
        """
        job = Job(person, work, plan, self._private, client)
        job.uses = uses
        with self._changed:
            self._forget()
            self._check(job)
            self._jobs[job.number] = job
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def check(self, person: str, client: Client = NOBODY) -> None:
        """Refuses work for which there is no place as it is, before anything is done for it.

        Raises:
            TooManyJobsError: As for `submit`.
        """
        with self._changed:
            self._check(Asked(person=person, client=client))

    def _check(self, job: Asking) -> None:
        self._waiting = [waiting for waiting in self._waiting if not waiting.over]
        check_queue(self._limits, job, self._waiting, self._running)

    def used(self) -> frozenset[Path]:
        """Files that jobs which are not over need."""
        with self._changed:
            return frozenset(path for job in self._items() for path in job.uses)

    def forget(self) -> None:
        """Forgets jobs that are over and were kept for long enough."""
        with self._changed:
            self._forget()

    @property
    def states(self) -> dict[str, int]:
        """How many jobs in memory are in each state."""
        with self._changed:
            return {state: sum(job.state == state for job in self._jobs.values()) for state in get_args(State)}

    @property
    def size(self) -> tuple[int, int]:
        """Bytes that jobs hold: of what they were given, and of what they made."""
        with self._changed:
            jobs = self._items()
            return sum(job.size for job in jobs), sum(job.weight for job in jobs if job.over)

    def _items(self) -> list[Job[Any]]:
        """All jobs in memory: one that was stopped and forgotten may still be at work."""
        running = [] if self._running is None or self._running.number in self._jobs else [self._running]
        return [*self._jobs.values(), *running]

    def _forget(self) -> None:
        now, limits = time.monotonic(), self._limits
        by_person: dict[str, list[str]] = {}
        for job in sorted(self._jobs.values(), key=_ended):
            if job.ended is not None and now - job.ended < limits.result_seconds:
                by_person.setdefault(job.person, []).append(job.number)
        kept = {number for own in by_person.values() for number in own[-limits.results :]}
        over = [self._jobs[number] for number in self._jobs if number in kept]
        items = [StoredItem(job.number, job.client.address, job.weight) for job in sorted(over, key=_ended)]
        kept -= set(too_many(items, limits.part_bytes, limits.share))
        self._jobs = {number: job for number, job in self._jobs.items() if not job.over or number in kept}

    def get(self, person: str, number: str) -> Job[Any]:
        """A person's own job.

        Raises:
            JobNotFoundError: There is none of that number, or it is another's.
        """
        with self._changed:
            job = self._jobs.get(number)
        if job is None or job.person != person:
            raise JobNotFoundError(
                f"there is no job {number[:64]!r} of yours; expected the number of one of your last, which ended "
                "within the last hour. Start it again."
            )
        return job

    def use(self, job: Job[Any]) -> None:
        """Makes a job that is over the last of its person's again, as something goes on from it."""
        with self._changed:
            if job.ended is not None:
                job.ended = time.monotonic()

    def stop_using(self, person: str, stems: Collection[str]) -> None:
        """Stops a person's jobs that need files whose names begin with one of these."""
        with self._changed:
            jobs = [job for job in self._items() if job.person == person]
        for job in jobs:
            if any(path.name.partition(".")[0] in stems for path in job.uses):
                job.stop()

    def position(self, job: Job[Result]) -> int:
        """How many jobs are before it; 0 while it runs, or once it is over."""
        with self._changed:
            waiting = [other.number for other in self._waiting if not other.over]
            busy = self._running is not None and self._running.number != job.number
            return waiting.index(job.number) + busy if job.number in waiting else 0

    def leave(self) -> None:
        """The server was told to end: who follows a job is no longer told of it."""
        self.leaving = True

    def close(self, timeout: float = 3.0) -> None:
        """Stops all jobs and the thread.

        Args:
            timeout: How many seconds to wait for the one under way.
        """
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.stop()
            self._changed.notify_all()
        self._worker.join(timeout)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._running = None
                self._forget()
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                self._running = self._waiting.pop(0)
            self._running.run()


def _ended(job: Job[Any]) -> float:
    return job.ended or 0.0
