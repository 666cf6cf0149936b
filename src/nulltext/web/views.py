"""Pieces of the page as HTML: where a job is, what went wrong, what may be downloaded."""

from collections.abc import Iterable
from html import escape
from typing import Any

from nulltext.web.jobs import Job, Jobs

PHASES = {
    "invert": "Looking for the noise that the image comes from",
    "optimise": "Fitting the null embeddings",
    "sample": "Drawing",
}
"""What a phase of the work is called."""
_MINUTE = 60


def progress(jobs: Jobs, job: Job[Any]) -> str:
    """Where a job is, as a bar and a sentence that is read out."""
    if job.over:
        return ""
    before = jobs.position(job)
    if before:
        return _bar(None, f"Waiting: {before} {'job' if before == 1 else 'jobs'} before yours.")
    if job.progress is None:
        return _bar(None, "Getting ready.")
    now = job.progress
    words = [f"{PHASES.get(now.phase, now.phase)}: step {now.step} of {now.total}"]
    words += [] if now.loss is None else [f"loss {now.loss:.1e}"]
    left = job.seconds_left
    words += [] if left is None else [f"about {_time(left)} left"]
    return _bar(now.step / max(1, now.total), ", ".join(words) + ".")


def alert(sentence: str) -> str:
    """What went wrong, read out at once; nothing for nothing."""
    return f'<p role="alert" class="alert">{escape(sentence)}</p>' if sentence else ""


def note(sentence: str) -> str:
    """Something to know."""
    return f'<p role="status">{escape(sentence)}</p>' if sentence else ""


def links(files: Iterable[tuple[str, str, str]]) -> str:
    """Files to download, named from where the page is, which may be below a path.

    Args:
        files: Of each its number, the name it is saved under, and what it is called.
    """
    each = "".join(
        f'<li><a href="api/files/{escape(number)}" download="{escape(name)}">{escape(words)}</a></li>'
        for number, name, words in files
    )
    return f'<ul class="downloads">{each}</ul>'


def word_list(words: Iterable[str] | None) -> str:
    """The words that a model knows."""
    if words is None:
        return "<p>This model takes any words.</p>"
    return f"<p>{escape(' · '.join(sorted(words)))}</p>"


def _bar(share: float | None, sentence: str) -> str:
    value = "" if share is None else f' value="{share:.3f}"'
    message = escape(sentence)
    bar = f'<progress max="1"{value} aria-label="Progress"></progress>'
    return f'<div class="progress">{bar}<p role="status">{message}</p></div>'


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / _MINUTE)} min"
