"""A queue: one job at a time on the device, the others wait in the order they came."""

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar, final

from PIL import Image

from nulltext.errors import Cancelled, JobNotFoundError, NulltextError, TooManyJobsError
from nulltext.progress import Progress

Result = TypeVar("Result")
State = Literal["waiting", "running", "done", "failed", "cancelled"]
OVER: frozenset[State] = frozenset({"done", "failed", "cancelled"})
UNFORESEEN = "Something unforeseen went wrong; the server's log says what. Try again, or with another picture."

_log = logging.getLogger(__name__)
_KEPT = 3600.0
"""For how many seconds a job that is over can still be asked about."""
_MOST_KEPT = 20
"""Of how many of a person's jobs that are over the results are held, pictures in memory."""
_MOST_WAITING = 100
"""So many jobs of all people may wait."""


@final
class Job(Generic[Result]):
    """Some work for a person.

    Attributes:
        number: What it is called; cannot be guessed.
        person: Whose it is.
        state: How far it is.
        progress: The last event of its progress, if there was one.
        losses: The objective after every step that has one.
        preview: What the picture looks like so far, if anything can be seen.
        result: What it made, once it is done.
        message: What went wrong, in a sentence, if it failed.
    """

    def __init__(
        self,
        person: str,
        work: Callable[["Job[Result]"], Result],
        plan: Mapping[str, float] | None = None,
        private: str = "",
    ) -> None:
        """Prepares it.

        Args:
            person: Whose it is.
            work: What to do; it is given the job, to tell of its progress.
            plan: The phases to come, with what each costs altogether, in any one unit.
            private: The folder of all files; a message names none in it.
        """
        self.number, self.person = secrets.token_urlsafe(16), person
        self.state: State = "waiting"
        self.progress: Progress | None = None
        self.losses: list[float] = []
        self.preview: Image.Image | None = None
        self.result: Result | None = None
        self.message: str | None = None
        self.ended: float | None = None
        self._work, self._plan = work, dict(plan or {})
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
            if self.over:
                return
            self.state = "running"
        try:
            result = self._work(self)
        except Cancelled:
            self._end("cancelled")
        except NulltextError as error:
            said = str(error)
            self._end("failed", message=said if self._private is None else self._private.sub("the file", said))
        except Exception:  # noqa: BLE001  nobody waits for this thread: the log and a sentence are all there is
            _log.exception("a job failed")
            self._end("failed", message=UNFORESEEN)
        else:
            self._end("done", result)

    def _end(self, state: State, result: Result | None = None, message: str | None = None) -> None:
        """Ends it in one way, whoever comes first: its work, or who stops it."""
        with self._changing:
            if not self.over:
                self.state, self.result, self.message, self.ended = state, result, message, time.monotonic()
                self._over.set()

    def _done(self, event: Progress) -> float:
        """How much of the plan is done by an event."""
        if event.phase not in self._plan:
            return 0.0
        phases = list(self._plan)
        now = phases.index(event.phase)
        share = event.step / max(1, event.total)
        return sum(self._plan[phase] for phase in phases[:now]) + share * self._plan[phases[now]]


@final
class Jobs:
    """The jobs of all people, and the thread that does them.

    Attributes:
        most: How many jobs a person may have waiting and under way.
    """

    def __init__(self, most: int, *, private: str = "") -> None:
        self.most, self._private = most, private
        self._jobs: dict[str, Job[Any]] = {}
        self._waiting: list[Job[Any]] = []
        self._running: Job[Any] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._serve, name="nulltext jobs", daemon=True)
        self._worker.start()

    def submit(
        self, person: str, work: Callable[[Job[Result]], Result], plan: Mapping[str, float] | None = None
    ) -> Job[Result]:
        """Puts work at the end of the queue; see `Job`.

        Raises:
            TooManyJobsError: The person has as many jobs as one may have.
        """
        job = Job(person, work, plan, self._private)
        with self._changed:
            now = time.monotonic()
            recent = [
                old.number
                for old in self._jobs.values()
                if old.person == person and old.ended is not None and now - old.ended < _KEPT
            ]
            kept = set(recent[-_MOST_KEPT:])
            self._jobs = {
                number: old
                for number, old in self._jobs.items()
                if not old.over or number in kept or (old.person != person and now - (old.ended or now) < _KEPT)
            }
            self._waiting = [waiting for waiting in self._waiting if not waiting.over]
            if len(self._waiting) >= _MOST_WAITING:
                raise TooManyJobsError(
                    f"{len(self._waiting)} jobs are waiting; expected fewer than {_MOST_WAITING}. Try again in a while."
                )
            own = [other for other in self._jobs.values() if other.person == person and not other.over]
            if len(own) >= self.most:
                raise TooManyJobsError(
                    f"{len(own)} of your jobs are waiting or under way; expected fewer than {self.most}. Wait for one "
                    "of them, or cancel it."
                )
            self._jobs[job.number] = job
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def get(self, person: str, number: str) -> Job[Any]:
        """A person's own job.

        Raises:
            JobNotFoundError: There is none of that number, or it is another's.
        """
        with self._changed:
            job = self._jobs.get(number)
        if job is None or job.person != person:
            raise JobNotFoundError(
                f"there is no job {number[:64]!r} of yours; expected the number of one that you started within the "
                "last hour. Start it again."
            )
        return job

    def position(self, job: Job[Result]) -> int:
        """How many jobs are before it; 0 while it runs, or once it is over."""
        with self._changed:
            waiting = [other.number for other in self._waiting if not other.over]
            busy = self._running is not None and self._running.number != job.number
            return waiting.index(job.number) + busy if job.number in waiting else 0

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
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                self._running = self._waiting.pop(0)
            self._running.run()
