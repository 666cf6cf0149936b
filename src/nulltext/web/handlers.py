"""What the page's buttons do: plain functions from what a person gave to what the page shows."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar, final

import numpy as np
from PIL import Image

from nulltext.errors import NulltextError
from nulltext.pictures import to_image
from nulltext.scenes.captions import caption as caption_of
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene
from nulltext.web import views, words
from nulltext.web.gate import Told
from nulltext.web.jobs import Job
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.results import Edited, Insight, Inverted
from nulltext.web.workshop import Workshop, png

Result = TypeVar("Result")

POLL = 0.25
"""Seconds between two looks at a job."""
MOST_WORDS = 24
"""So many words of a caption have a slider of their own."""
SAMPLES = (50_003, 50_014, 50_021, 50_033)
"""Held-out scenes to begin with."""


@final
@dataclass(frozen=True, eq=False)
class Table:
    """What lies on one person's table: what a tab of the page works on.

    Attributes:
        picture: The picture's file; None if there is none yet.
        name: What that was called.
        inverted: Its inversion, once there is one.
        edits: The edits made of it, oldest first.
        shown: Which of them is shown, from 0; None for none.
    """

    picture: bytes | None = None
    name: str = "picture.png"
    inverted: Inverted | None = None
    edits: tuple[Edited, ...] = ()
    shown: tuple[int, int] | None = None

    @property
    def gallery(self) -> list[tuple[Image.Image, str]]:
        """Every picture with its settings."""
        return [
            (picture, request.summary)
            for edited in self.edits
            for picture, request in zip(edited.pictures, edited.requests, strict=True)
        ]

    def place(self, index: int) -> tuple[int, int]:
        """Which edit a picture of the gallery belongs to, and which of its pictures it is."""
        for number, edited in enumerate(self.edits):
            if index < len(edited.pictures):
                return number, index
            index -= len(edited.pictures)
        raise IndexError(index)


class OpenView(NamedTuple):
    """What the page shows once a picture was opened."""

    table: Table
    picture: Image.Image | None
    message: str
    inverted: Inverted | None


class WorkView(NamedTuple):
    """What the page shows while a job runs and when it is over."""

    table: Table
    progress: str = ""
    preview: Image.Image | None = None
    message: str = ""
    done: bool = True


class EditView(NamedTuple):
    """What the page shows of an edit."""

    pair: tuple[Image.Image, Image.Image]
    links: str
    python: str
    shell: str


@final
class Handlers:
    """The page's functions, over a workshop.

    Attributes:
        workshop: Who does the work.
        told: Which files the page has told whom of.
    """

    def __init__(self, workshop: Workshop, told: Told) -> None:
        """Begins with nothing under way."""
        self.workshop, self.told = workshop, told
        self._current: dict[str, Job[Any]] = {}
        self._lock = threading.Lock()

    def samples(self) -> list[tuple[Image.Image, str]]:
        """Pictures to begin with, each with its caption."""
        scenes = [sample_scene(HELD_OUT_SEEDS[seed]) for seed in SAMPLES]
        pixels = render(scenes, height=256, width=256).pixels
        return [(to_image(one[None]), caption_of(scene)) for one, scene in zip(pixels, scenes, strict=True)]

    def open_picture(self, person: str, path: str | None) -> OpenView:
        """Takes a picture, or opens an inversion that was kept.

        Args:
            person: Who gives it.
            path: Where the page's library has put it; None if it was taken away.
        """
        if path is None:
            return OpenView(Table(), None, "", None)
        try:
            data, name = self.told.read(person, path), PurePath(path).name
            if name.lower().endswith(".safetensors"):
                job = self.workshop.open_inversion(person, data, name)
                job.wait()
                if job.result is None:
                    return OpenView(Table(), None, views.alert(job.message or "It was stopped."), None)
                table = Table(png(job.result.source), job.result.name, job.result)
                return OpenView(table, job.result.source, "", job.result)
            self.workshop.limits.check_picture(data)
            return OpenView(Table(data, name), self.workshop.thumbnail(data), "", None)
        except NulltextError as error:
            return OpenView(Table(), None, views.alert(str(error)), None)

    def take_sample(self, index: int) -> tuple[OpenView, str]:
        """One of the samples, and its caption."""
        picture, said = self.samples()[index]
        return OpenView(Table(png(picture), f"sample-{index + 1}.png"), picture, "", None), said

    def check_caption(self, model: str, caption: str) -> str:
        """A caption with the words marked that a model does not know; empty if all is well."""
        try:
            self.workshop.limits.check_caption(caption)
            spans = self.workshop.model(model).unknown(caption)
        except NulltextError as error:
            return views.alert(str(error))
        return words.marked(caption, spans, "not known to this model") if spans else ""

    def word_list(self, model: str) -> str:
        """The words that a model knows, as HTML."""
        try:
            return views.word_list(self.workshop.model(model).words)
        except NulltextError as error:
            return views.alert(str(error))

    def invert(self, person: str, tab: str, table: Table, request: InversionRequest) -> Iterator[WorkView]:
        """Inverts the picture on the table, telling how far it is."""
        if table.picture is None:
            yield WorkView(table, message=views.alert("There is no picture yet. Drop one, or take a sample."))
            return
        submit = partial(self.workshop.invert, person, table.picture, table.name, request)

        def lay_down(inverted: Inverted) -> Table:
            return replace(table, inverted=inverted, edits=(), shown=None)

        yield from self._work(tab, table, submit, lay_down)

    def edit(self, person: str, tab: str, table: Table, request: EditRequest) -> Iterator[WorkView]:
        """Edits what is on the table, telling how far it is."""
        inverted = table.inverted
        if inverted is None:
            yield WorkView(table, message=views.alert("Invert the picture first."))
            return

        def lay_down(edited: Edited) -> Table:
            return replace(table, edits=(*table.edits, edited), shown=(len(table.edits), 0))

        yield from self._work(tab, table, partial(self.workshop.edit, person, inverted, request), lay_down)

    def look_inside(self, person: str, tab: str, table: Table) -> Iterator[tuple[WorkView, Insight | None]]:
        """Looks into the inversion on the table."""
        inverted = table.inverted
        if inverted is None:
            yield WorkView(table, message=views.alert("Invert the picture first.")), None
            return
        seen: list[Insight] = []

        def see(insight: Insight) -> Table:
            seen.append(insight)
            return table

        for view in self._work(tab, table, partial(self.workshop.look_inside, person, inverted), see):
            yield view, seen[0] if seen else None

    def cancel(self, tab: str) -> str:
        """Stops what a tab has under way; says so."""
        with self._lock:
            job = self._current.pop(tab, None)
        if job is None:
            return ""
        job.stop()
        return views.note("Cancelled.")

    def show(self, table: Table) -> EditView | None:
        """The edit that is shown."""
        if table.shown is None or table.inverted is None:
            return None
        number, which = table.shown
        edited, stem = table.edits[number], PurePath(table.name).stem
        names = [
            (file, f"{stem}-edited{'' if len(edited.numbers) == 1 else f'-{place + 1}'}.png", "Download the picture")
            for place, file in enumerate(edited.numbers)
        ]
        return EditView(
            (edited.source, edited.pictures[which]),
            views.links([names[which]]),
            edited.python[which],
            edited.shell[which],
        )

    def choose(self, table: Table, index: int) -> tuple[Table, EditRequest]:
        """Goes back to a picture of the gallery, and to its settings."""
        number, which = table.place(index)
        return replace(table, shown=(number, which)), table.edits[number].requests[which]

    def _work(
        self, tab: str, table: Table, submit: Callable[[], Job[Result]], finish: Callable[[Result], Table]
    ) -> Iterator[WorkView]:
        try:
            job = submit()
        except NulltextError as error:
            yield WorkView(table, message=views.alert(str(error)))
            return
        with self._lock:
            self._current[tab] = job
        try:
            while not job.wait(POLL):
                yield WorkView(table, views.progress(self.workshop.jobs, job), job.preview, done=False)
        finally:
            job.stop()  # the tab was closed; without effect on one that is over
            with self._lock:
                if self._current.get(tab) is job:
                    del self._current[tab]
        if job.result is not None:
            yield WorkView(finish(job.result))
        elif job.state == "failed":
            yield WorkView(table, message=views.alert(job.message or ""))
        else:
            yield WorkView(table, message=views.note("Cancelled."))


def edit_request(
    *,
    table: Table,
    caption: str,
    cross: float,
    self_share: float,
    strengths: Sequence[float],
    places: Sequence[str],
    painted: Image.Image | None,
    vary: str,
    go_on: bool,
) -> EditRequest:
    """What the page's fields ask for.

    Args:
        table: What is on the table.
        caption: The new caption.
        cross: How much of the composition to keep.
        self_share: How much of the layout to keep.
        strengths: Of the words of the caption, in their order.
        places: Words where the picture may change.
        painted: What was painted over the picture, transparent where nothing was.
        vary: What is drawn in several strengths.
        go_on: Whether the edit goes on from the one that is shown.
    """
    shown = table.edits[table.shown[0]].requests[table.shown[1]] if table.shown is not None else None
    before = shown.captions if go_on and shown is not None else ()
    known = words.words(caption)
    return EditRequest(
        caption=caption,
        before=before,
        cross=cross,
        self_share=self_share,
        weights={word: factor for word, factor in zip(known, strengths, strict=False) if factor != 1},
        places=tuple(places),
        mask=painted_mask(painted),
        vary=vary,  # type: ignore[arg-type]  # checked with all else
    )


def painted_mask(painted: Image.Image | None) -> Image.Image | None:
    """What was painted as a mask, white where there is paint; None if there is none."""
    if painted is None:
        return None
    paint = np.asarray(painted.convert("RGBA"))[..., 3]
    return Image.fromarray(np.where(paint > 0, 255, 0).astype(np.uint8)) if paint.any() else None
