"""Models that somebody asks to be downloaded: one at a time, beside the jobs, as far as the server offers them."""

import threading
import time
from dataclasses import dataclass, replace
from typing import Literal, final

from nulltext.errors import Cancelled, JobNotFoundError, NulltextError, TooManyJobsError
from nulltext.models.hub import Needed, fetch, is_here, needed

State = Literal["here", "absent", "running", "failed", "cancelled"]
_KNOWN_S = 600.0
"""So many seconds the hub is not asked again what a model takes."""


@final
@dataclass(frozen=True, kw_only=True)
class Download:
    """How far a model is.

    Attributes:
        model: Its name.
        state: here, absent, running, failed or cancelled.
        bytes: What it takes.
        done: How much of that is here, of a download under way.
        message: What went wrong, if it failed.
    """

    model: str
    state: State
    bytes: int = 0
    done: int = 0
    message: str = ""


@final
class Downloads:
    """All of them."""

    def __init__(self) -> None:
        """Begins with none."""
        self._known: dict[str, tuple[float, Needed]] = {}
        self._last: dict[str, Download] = {}
        self._running: tuple[str, str] | None = None
        self._stop, self._changing = threading.Event(), threading.Lock()

    def look(self, model: str) -> Download:
        """How far a model is; what it takes is asked of the hub.

        Raises:
            NulltextError: It is not here, and the hub cannot be reached or does not have it.
        """
        last = self._last.get(model)
        if last is not None and last.state == "running":
            return last
        if is_here(model):
            return Download(model=model, state="here")
        return last or Download(model=model, state="absent", bytes=self._needed(model).bytes)

    def start(self, person: str, model: str) -> Download:
        """Begins to download a model.

        Raises:
            TooManyJobsError: Another one is being downloaded.
            NulltextError: The hub cannot be reached, or does not have it.
        """
        if is_here(model):
            return Download(model=model, state="here")
        wanted = self._needed(model)
        with self._changing:
            if self._running is not None:
                raise TooManyJobsError(
                    f"the model {self._running[1][:100]!r} is being downloaded; expected one at a time. Wait for it, "
                    "or cancel it."
                )
            self._running, self._stop = (person, model), threading.Event()
            self._last[model] = Download(model=model, state="running", bytes=wanted.bytes)
            work = threading.Thread(
                target=self._fetch, args=(model, wanted, self._stop), name="nulltext download", daemon=True
            )
        work.start()
        return self._last[model]

    def stop(self, person: str, model: str) -> None:
        """Ends a download; what has come is kept for the next.

        Raises:
            JobNotFoundError: There is none of that model by that person.
        """
        with self._changing:
            if self._running != (person, model):
                raise JobNotFoundError(
                    f"you are not downloading {model[:100]!r}; expected a download of your own that is under way."
                )
            self._stop.set()

    def close(self) -> None:
        """Ends what is under way."""
        self._stop.set()

    def _needed(self, model: str) -> Needed:
        then, wanted = self._known.get(model, (0.0, None))
        if wanted is None or time.monotonic() - then > _KNOWN_S:
            wanted = needed(model)
            self._known[model] = time.monotonic(), wanted
        return wanted

    def _fetch(self, model: str, wanted: Needed, stop: threading.Event) -> None:
        def look(done: int) -> None:
            if stop.is_set():
                raise Cancelled("stopped, because somebody asked for it.")
            self._last[model] = replace(self._last[model], done=min(done, wanted.bytes))

        state, said = "here", ""
        try:
            fetch(model, wanted, look)
        except Cancelled:
            state = "cancelled"
        except NulltextError as error:
            state, said = "failed", str(error)
        except OSError as error:
            state, said = (
                "failed",
                f"{model[:100]!r} cannot be kept: {error.strerror}. Make room, or see who may write.",
            )
        with self._changing:
            self._running = None
            self._last[model] = replace(self._last[model], state=state, message=said)
