import logging
import threading
import time

import pytest

from nulltext.errors import JobNotFoundError, SettingError, TooManyJobsError
from nulltext.progress import Progress
from nulltext.web.clients import Client
from nulltext.web.jobs import UNFORESEEN, Jobs
from nulltext.web.limits import Limits

SOON = 5.0
"""Far more seconds than anything here takes."""


def one(job):
    return 1


def seven(job):
    return 7


@pytest.fixture
def jobs():
    made = Jobs(Limits(jobs=3))
    yield made
    made.close()


class Work:
    """Runs until it is let go, and looks now and then whether it shall stop."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, job):
        self.begun.set()
        while not self.go.wait(0.01):
            job.check()
        return "made"


class Deaf(Work):
    """Never looks whether it shall stop."""

    def __call__(self, job):
        self.begun.set()
        self.go.wait(SOON)
        return "made"


@pytest.fixture
def busy(jobs):
    """A job of somebody else's under way."""
    work = Work()
    job = jobs.submit("zoe", work)
    assert work.begun.wait(SOON)
    yield job
    work.go.set()


def test_what_it_makes(jobs):
    job = jobs.submit("ann", seven)
    assert job.wait(SOON)
    assert (job.state, job.result, job.message, job.over) == ("done", 7, None, True)


def test_one_at_a_time_in_order(jobs, busy):
    order, at_once = [], []

    def work(number):
        def call(job):
            at_once.append(number)
            time.sleep(0.01)
            order.append((number, len(at_once)))
            at_once.clear()

        return call

    given = [jobs.submit(person, work(number)) for number, person in enumerate(["ann", "ben", "ann", "cat"])]
    assert [job.state for job in given] == ["waiting"] * 4
    assert [jobs.position(job) for job in (busy, *given)] == [0, 1, 2, 3, 4]
    given[1].stop()
    assert [jobs.position(job) for job in given] == [1, 0, 2, 3]
    jobs.get("zoe", busy.number)._work.go.set()
    assert all(job.wait(SOON) for job in given)
    assert order == [(0, 1), (2, 1), (3, 1)]
    assert jobs.position(given[-1]) == 0


def test_a_waiting_job_is_cancelled_at_once(jobs, busy):
    done = []
    job = jobs.submit("ann", done.append)
    start = time.monotonic()
    job.stop()
    assert job.wait(0)
    assert time.monotonic() - start < 0.5
    assert job.state == "cancelled"
    busy._work.go.set()
    assert jobs.submit("ann", one).wait(SOON)
    assert done == []


def test_a_running_job_is_cancelled_at_once_and_the_next_one_runs(jobs):
    work = Work()
    job = jobs.submit("ann", work)
    assert work.begun.wait(SOON)
    start = time.monotonic()
    job.stop()
    assert job.over
    assert time.monotonic() - start < 0.5
    following = jobs.submit("ann", one)
    assert following.wait(2)
    assert (job.state, job.result, following.state) == ("cancelled", None, "done")


def test_what_a_deaf_job_still_makes_is_dropped(jobs):
    work = Deaf()
    job = jobs.submit("ann", work)
    assert work.begun.wait(SOON)
    job.stop()
    assert job.wait(0)
    work.go.set()
    assert jobs.submit("ann", one).wait(SOON)
    assert (job.state, job.result, job.message) == ("cancelled", None, None)


def test_stopping_what_is_over_changes_nothing(jobs):
    job = jobs.submit("ann", seven)
    assert job.wait(SOON)
    job.stop()
    assert (job.state, job.result) == ("done", 7)


def test_a_job_that_is_stopped_as_it_begins_or_ends_is_one_or_the_other(jobs):
    for _ in range(300):
        job = jobs.submit("ann", seven)
        job.stop()
        assert job.wait(SOON)
        assert jobs.submit("ben", one).wait(SOON)
        assert (job.state, job.result) in {("cancelled", None), ("done", 7)}


def test_progress_stops_a_job(jobs):
    ready = threading.Event()

    def work(job):
        while True:
            job.tell(Progress("sample", 1, 2))
            ready.set()

    job = jobs.submit("ann", work)
    assert ready.wait(SOON)
    job.stop()
    assert jobs.submit("ann", one).wait(2)


def test_a_failure_of_the_packages_own_says_what_it_is(jobs):
    def work(job):
        raise SettingError("got 3; expected 2.")

    job = jobs.submit("ann", work)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("failed", "got 3; expected 2.")


def test_a_failure_names_no_file_of_the_servers():
    def work(job):
        raise SettingError("cannot write /srv/my files/people/1f/a.png: there is no folder /srv/my files/people/1f.")

    jobs = Jobs(Limits(jobs=3), private="/srv/my files")
    job = jobs.submit("ann", work)
    assert job.wait(SOON)
    assert job.message == "cannot write the file: there is no folder the file."
    jobs.close()


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, MemoryError, OSError])
def test_an_unforeseen_failure_tells_nothing_of_the_machine(jobs, caplog, kind):
    def work(job):
        raise kind("/home/secret/place")

    with caplog.at_level(logging.ERROR):
        job = jobs.submit("ann", work)
        assert job.wait(SOON)
    assert (job.state, job.message, job.result) == ("failed", UNFORESEEN, None)
    assert "/home/secret/place" in caplog.text  # the log does
    assert jobs.submit("ann", one).wait(SOON)


def test_nobody_has_too_many(jobs, busy):
    own = [jobs.submit("ann", one) for _ in range(3)]
    with pytest.raises(TooManyJobsError, match="3 of your jobs"):
        jobs.submit("ann", one)
    jobs.submit("ben", one)
    own[0].stop()
    own.append(jobs.submit("ann", one))
    busy._work.go.set()
    assert all(job.wait(SOON) for job in own)
    assert jobs.submit("ann", one).wait(SOON)


def test_a_job_is_its_persons_alone(jobs):
    job = jobs.submit("ann", one)
    assert jobs.get("ann", job.number) is job
    with pytest.raises(JobNotFoundError) as another:
        jobs.get("ben", job.number)
    with pytest.raises(JobNotFoundError) as guessed:
        jobs.get("ben", "A" * 22)
    assert str(another.value).replace(job.number, "") == str(guessed.value).replace("A" * 22, "")
    assert len(job.number) == 22
    assert job.number != jobs.submit("ann", one).number


def test_a_long_made_up_number_is_not_said_back(jobs):
    with pytest.raises(JobNotFoundError) as error:
        jobs.get("ann", "x" * 100_000)
    assert len(str(error.value)) < 400


def test_a_job_that_is_over_is_kept_for_an_hour(jobs, monkeypatch):
    old, new = jobs.submit("ann", one), jobs.submit("ann", one)
    assert old.wait(SOON)
    assert new.wait(SOON)
    old.ended -= 3601
    jobs.submit("ben", one)
    assert jobs.get("ann", new.number) is new
    with pytest.raises(JobNotFoundError):
        jobs.get("ann", old.number)


def test_the_last_twenty_jobs_of_a_person_are_kept(jobs):
    other = jobs.submit("ben", one)
    given = []
    for _ in range(22):
        given.append(jobs.submit("ann", one))
        assert given[-1].wait(SOON)
    jobs.submit("ann", one)
    for old in given[:2]:
        with pytest.raises(JobNotFoundError):
            jobs.get("ann", old.number)
    assert [jobs.get("ann", job.number) for job in given[2:]] == given[2:]
    assert jobs.get("ben", other.number) is other


def test_no_more_than_a_hundred_jobs_wait(jobs, busy):
    waiting = [jobs.submit(f"person {number}", one, client=Client(address=f"10.0.0.{number}")) for number in range(100)]
    with pytest.raises(TooManyJobsError, match="100 jobs are waiting"):
        jobs.submit("ann", one)
    waiting[7].stop()
    last = jobs.submit("ann", one)
    assert waiting[7] not in jobs._waiting
    assert jobs.position(last) == 100
    with pytest.raises(TooManyJobsError):
        jobs.submit("ben", one)


@pytest.mark.parametrize("kind", [Work, Deaf])
def test_closing_takes_no_longer_than_it_may(kind):
    jobs, work = Jobs(Limits(jobs=3)), kind()
    running = jobs.submit("ann", work)
    assert work.begun.wait(SOON)
    waiting = jobs.submit("ann", work)
    start = time.monotonic()
    jobs.close(timeout=0.3)
    assert time.monotonic() - start < 1
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    work.go.set()
    jobs._worker.join(SOON)
    assert not jobs._worker.is_alive()


def test_seconds_left(jobs, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    steps, checked = threading.Semaphore(0), threading.Semaphore(0)
    events = [Progress("invert", 0, 10), Progress("invert", 5, 10), Progress("optimise", 1, 10, 0.5)]

    def work(job):
        for event in events:
            steps.acquire(timeout=SOON)
            job.tell(event)
            checked.release()
        steps.acquire(timeout=SOON)

    job = jobs.submit("ann", work, {"invert": 10, "optimise": 90})

    def after(seconds):
        now[0] += seconds
        steps.release()
        assert checked.acquire(timeout=SOON)
        return job.seconds_left

    assert job.seconds_left is None  # before it has said anything
    assert after(0) is None  # nothing done yet
    assert after(5) == pytest.approx(95)  # 5 of 100 in 5 seconds
    assert after(14) == pytest.approx(19 / 19 * 81)
    assert job.losses == [0.5]
    steps.release()
    job._over.wait(SOON)
    assert job.seconds_left is None


def test_nobody_can_tell_how_long_it_takes_at_the_first_word(jobs):
    """Steps may have been done before the first event, which is when the clock begins."""
    ready, go = threading.Event(), threading.Event()

    def work(job):
        job.tell(Progress("sample", 1, 50))
        ready.set()
        go.wait(SOON)

    job = jobs.submit("ann", work, {"sample": 1.0})
    assert ready.wait(SOON)
    left = job.seconds_left
    go.set()
    assert left is None


def test_a_phase_outside_of_the_plan_or_no_steps(jobs):
    ready, go = threading.Event(), threading.Event()

    def work(job):
        job.tell(Progress("sample", 0, 0))
        job.tell(Progress("other", 1, 2))
        ready.set()
        go.wait(SOON)

    job = jobs.submit("ann", work, {"sample": 1.0})
    assert ready.wait(SOON)
    assert job.seconds_left is None
    go.set()


def test_a_job_that_is_used_is_among_the_last_again(jobs):
    first = jobs.submit("ann", lambda _: 1)
    assert first.wait(SOON)
    for _ in range(2 * Limits().results):
        jobs.use(first)
        assert jobs.submit("ann", lambda _: 2).wait(SOON)
    jobs.forget()
    assert jobs.get("ann", first.number) is first


def test_a_place_is_asked_for_before_anything_is_done(jobs, busy):
    jobs.check("ann")
    for _ in range(Limits().jobs):
        jobs.submit("ann", lambda _: 1)
    with pytest.raises(TooManyJobsError, match="of your jobs"):
        jobs.check("ann")
    jobs.check("ben")
