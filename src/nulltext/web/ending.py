"""An end that comes whatever a request does: a hung one holds up neither the event loop's end nor the process's."""

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import final

import uvicorn

SECONDS = 4.5
"""After so many seconds from being told to end, the process is gone; the orderly end takes less."""
_PREDICTIONS = 0.9
"""After this share of them the server says so and leaves, as long as Python can still do that."""
_log = logging.getLogger(__name__)


@final
class EndingServer(uvicorn.Server):
    """A server whose process ends soon after it was told to."""

    def __init__(
        self, config: uvicorn.Config, *, seconds: float = SECONDS, leave: Callable[[], None] = lambda: None
    ) -> None:
        """Over a configuration.

        Args:
            config: What is served, and where.
            seconds: How long the end may take.
            leave: Called when it is told to end, so that what is streamed ends in order.
        """
        super().__init__(config)
        self._seconds, self._leave, self._stopping = seconds, leave, False
        self._told = 0

    def run_and_leave(self) -> None:
        """Serves; once it was told to end, and has, the process leaves without tearing down what is loaded.

        With torch that takes Python seconds, in which the kernel's would be over.
        """
        try:
            self.run()
        finally:
            if self._told:
                atexit.register(_exit, 128 + self._told)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Told to end: from now on the kernel counts the seconds.

        The event loop may never come back, and no thread runs while Python itself ends, or C code holds its lock.
        """
        if not self._stopping:  # told again, it has no longer
            self._stopping, self._told = True, sig
            if sys.platform != "win32":
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, self._seconds)
            watch = threading.Timer(_PREDICTIONS * self._seconds, _leave, (sig,))
            watch.daemon = True
            watch.start()
            self._leave()
        super().handle_exit(sig, frame)


def _leave(sig: int) -> None:
    """Ends the process at once; files are written whole or not at all, so that none is spoilt."""
    _log.warning("a request did not end; the server ends without it")
    _exit(128 + int(signal.Signals(sig)))


def _exit(code: int) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)
