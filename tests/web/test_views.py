import re
import threading

import pytest

from nulltext.progress import Progress
from nulltext.web import views
from nulltext.web.jobs import Jobs
from nulltext.web.limits import Limits

SOON = 5.0


@pytest.fixture
def jobs():
    made = Jobs(Limits(jobs=9))
    yield made
    made.close()


class Stepwise:
    """Tells of an event whenever it is given one; ends with None."""

    def __init__(self):
        self._event, self._given, self._ready = None, threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, job):
        self._ready.release()
        while self._given.acquire(timeout=SOON) and self._event is not None:
            job.tell(self._event)
            self._ready.release()

    def wait(self):
        assert self._ready.acquire(timeout=SOON)

    def give(self, event):
        self._event = event
        self._given.release()
        if event is not None:
            self.wait()


@pytest.fixture
def work():
    made = Stepwise()
    yield made
    made.give(None)


def test_where_a_job_is(jobs, work):
    job = jobs.submit("ann", work, {"invert": 10, "optimise": 90})
    work.wait()
    assert "Getting ready." in views.progress(jobs, job)
    assert "value=" not in views.progress(jobs, job)
    work.give(Progress("invert", 5, 10))
    assert "Looking for the noise that the image comes from: step 5 of 10." in views.progress(jobs, job)
    work.give(Progress("optimise", 1, 4, 0.00012))
    html = views.progress(jobs, job)
    assert 'value="0.250"' in html
    assert "step 1 of 4, loss 1.2e-04, about " in html
    assert html.count('role="status"') == 1
    assert 'aria-label="Progress"' in html
    work.give(Progress("<b>", 0, 0))
    assert "&lt;b&gt;: step 0 of 0" in views.progress(jobs, job)
    job.stop()
    assert views.progress(jobs, job) == ""


def test_how_many_wait(jobs, work):
    jobs.submit("ann", work)
    work.wait()
    first, second = (jobs.submit("ben", print) for _ in range(2))
    assert "Waiting: 1 job before yours." in views.progress(jobs, first)
    assert "Waiting: 2 jobs before yours." in views.progress(jobs, second)
    first.stop()
    assert "Waiting: 1 job before yours." in views.progress(jobs, second)


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, "1 s"), (59.4, "59 s"), (60, "1 min"), (150, "2 min")])
def test_times(seconds, expected):
    assert views._time(seconds) == expected


def test_sentences():
    assert views.alert("") == views.note("") == ""
    assert views.alert("No & <b>") == '<p role="alert" class="alert">No &amp; &lt;b&gt;</p>'
    assert views.note("Well <b>") == '<p role="status">Well &lt;b&gt;</p>'


def test_links():
    html = views.links([("a.png", 'x"><script>.png', "The <image>"), ("b.png", "y.png", "Other")])
    assert html.count("<li>") == 2
    assert 'href="api/files/a.png" download="x&quot;&gt;&lt;script&gt;.png"' in html
    assert "The &lt;image&gt;" in html
    assert set(re.findall(r"<(\w+)", html)) == {"ul", "li", "a"}


def test_the_words_of_a_model():
    assert views.word_list(None) == "<p>This model takes any words.</p>"
    assert views.word_list({"cat", "ant", "<b>"}) == "<p>&lt;b&gt; · ant · cat</p>"
