"""Work shared out among processes of this machine."""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.pool import Pool
from multiprocessing.process import BaseProcess
from types import FrameType


@contextmanager
def processes(count: int, begin: Callable[..., None] | None = None, *args: object) -> Generator[Pool]:
    """Fresh processes, stopped when the block ends, however it ends.

    A terminal's Ctrl-C reaches this process alone, which then stops them; none prints a stack trace of its own, and
    each tidies up what it was about to write.

    Args:
        count: How many.
        begin: What each calls before its first work.
        *args: What it is called with; copied into each.

    Yields:
        The pool that they are.
    """
    others = set(multiprocessing.active_children())
    with ExitStack() as stack:
        with _ctrl_c_deferred():
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(count, _begin, (begin, *args)))
        stack.callback(_kill_later, [one for one in multiprocessing.active_children() if one not in others])
        yield pool


GRACE = 2.0
"""Seconds that a process has to tidy up once it is told to end."""


def _kill_later(started: Sequence[BaseProcess]) -> None:
    """Kills what has not ended in time: a signal that comes just before Python waits for a lock does not wake it."""

    def kill() -> None:
        for one in started:
            one.kill()  # which leaves those alone that have ended

    timer = threading.Timer(2 * GRACE, kill)
    timer.daemon = True
    timer.start()


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends this process by an exception, past every `finally`; by the kernel where Python swallows that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.unraisablehook = lambda _: None  # it was tidying up, which prints what it swallows
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, GRACE)
    sys.exit(128 + number)


def _begin(begin: Callable[..., None] | None, *args: object) -> None:
    signal.signal(signal.SIGTERM, _end)
    if begin is not None:
        begin(*args)


@contextmanager
def _ctrl_c_deferred() -> Generator[None]:
    """Holds Ctrl-C back: here to the end of the block; for good in the processes started in it, which are stopped."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # the pool starts it otherwise, which lifts the mask before Python 3.12
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
