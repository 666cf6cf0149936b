"""What the page's buttons do: plain functions from what a person gave to what the page shows."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar, final

import numpy as np
from PIL import Image

from nulltext.editing.change import WEIGHTS
from nulltext.errors import NulltextError
from nulltext.images import to_image
from nulltext.models.capabilities import word_list_of
from nulltext.scenes.captions import caption as caption_of
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene
from nulltext.text.hints import hint_of
from nulltext.text.words import different_words
from nulltext.web import views, words
from nulltext.web.bounds import MOST_NAME, check_number, check_text, check_words
from nulltext.web.clients import NOBODY, Client
from nulltext.web.gate import KnownFiles
from nulltext.web.jobs import Job
from nulltext.web.opening import open_paint, open_thumbnail
from nulltext.web.recipes import png
from nulltext.web.requests import EditRequest, InversionRequest, Vary
from nulltext.web.results import Edited, Insight, Inverted
from nulltext.web.workshop import Workshop

Result = TypeVar("Result")

POLL = 0.25
"""Seconds between two looks at a job."""
MOST_WORDS = 24
"""So many words of a prompt have a slider of their own."""
MOST_EDITS = 40
"""Earlier ones are forgotten; their files stay a day."""
NOT_YET = "Invert the image first."
SAMPLES = (50_003, 50_014, 50_021, 50_033)
"""Held-out scenes to begin with."""


@final
@dataclass(frozen=True, eq=False)
class Table:
    """What lies on one person's table: what a tab of the page works on.

    Attributes:
        image: The image's file; None if there is none yet.
        name: What that was called.
        inverted: Its inversion, once there is one.
        edits: The edits made of it, oldest first.
        shown: Which of them is shown, from 0, and which of its images; None for none.
        person: Whose it is: what a tab is called is no secret.
    """

    image: bytes | None = None
    name: str = "image.png"
    inverted: Inverted | None = None
    edits: tuple[Edited, ...] = ()
    shown: tuple[int, int] | None = None
    person: str = ""

    @property
    def gallery(self) -> list[tuple[Image.Image, str]]:
        """Every image with its settings."""
        return [
            (image, request.summary)
            for edited in self.edits
            for image, request in zip(edited.images, edited.requests, strict=True)
        ]

    def position(self, index: int) -> tuple[int, int]:
        """Which edit an image of the gallery belongs to, and which of its images it is."""
        for number, edited in enumerate(self.edits):
            if index < len(edited.images):
                return number, index
            index -= len(edited.images)
        raise IndexError(index)


class OpenView(NamedTuple):
    """What the page shows while an image is opened and when it is."""

    table: Table
    image: Image.Image | None = None
    message: str = ""
    inverted: Inverted | None = None
    progress: str = ""
    done: bool = True


class WorkView(NamedTuple):
    """What the page shows while a job runs and when it is over; a table only if there is a new one."""

    table: Table | None = None
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
        known_files: Which files the page has told whom of.
    """

    def __init__(self, workshop: Workshop, known_files: KnownFiles) -> None:
        """Begins with nothing under way."""
        self.workshop, self.known_files = workshop, known_files
        self._current: dict[tuple[str, str], Job[Any]] = {}
        self._lock = threading.Lock()

    def samples(self) -> list[tuple[Image.Image, str]]:
        """Images to begin with, each with its prompt."""
        scenes = [sample_scene(HELD_OUT_SEEDS[seed]) for seed in SAMPLES]
        pixels = render(scenes, height=256, width=256).pixels
        return [(to_image(one[None]), caption_of(scene)) for one, scene in zip(pixels, scenes, strict=True)]

    def open_upload(self, person: str, tab: str, path: str | None, client: Client = NOBODY) -> Iterator[OpenView]:
        """Takes an image, or opens an inversion that was kept.

        Args:
            person: Who gives it.
            tab: In which tab.
            path: Where the page's library has put it; None if it was taken away.
            client: From where.
        """
        self.cancel(person, tab)
        nothing = Table(person=person)
        if path is None:
            yield OpenView(nothing)
            return
        try:
            data, name = self.known_files.read(person, path), PurePath(path).name
            if not is_inversion(data, name):
                self.workshop.limits.check_image(data)
                yield OpenView(Table(data, name, person=person), open_thumbnail(data))
                return
        except NulltextError as error:
            yield OpenView(nothing, message=views.alert(str(error)))
            return

        def lay_down(inverted: Inverted) -> Table:
            return Table(png(inverted.source), inverted.name, inverted, person=person)

        submit = partial(self.workshop.open_inversion, person, data, name, client)
        for view in self._work(person, tab, submit, lay_down):
            if not view.done:
                yield OpenView(nothing, progress=view.progress, done=False)
            elif view.table is None or view.table.inverted is None:
                yield OpenView(nothing, message=view.message)
            else:
                yield OpenView(view.table, view.table.inverted.source, "", view.table.inverted)

    def take_sample(self, person: str, tab: str, index: int) -> tuple[OpenView, str]:
        """One of the samples, and its prompt."""
        self.cancel(person, tab)
        image, message = self.samples()[index]
        return OpenView(Table(png(image), f"sample-{index + 1}.png", person=person), image), message

    def check_prompt(self, model: str, prompt: str) -> str:
        """A prompt with the words marked that a model does not know; empty if all is well."""
        try:
            check_text("the model", model, MOST_NAME)
            check_text("the prompt", prompt)
            self.workshop.limits.check_prompt(prompt)
            loaded = self.workshop.at_hand(model)
            listed = None if loaded is None else word_list_of(loaded)
            spans = () if listed is None else listed.unknown(prompt)
        except NulltextError as error:
            return views.alert(str(error))
        return (words.marked(prompt, spans, "not known to this model") if spans else "") + views.note(hint_of(prompt))

    def may_be_prompt(self, prompt: str) -> bool:
        """Whether a prompt is one at all: text, and not too long."""
        try:
            check_text("the prompt", prompt)
            self.workshop.limits.check_prompt(prompt)
        except NulltextError:
            return False
        return True

    def word_list(self, model: str) -> str:
        """The words that a model knows, as HTML."""
        try:
            check_text("the model", model, MOST_NAME)
            loaded = self.workshop.at_hand(model)
            if loaded is None:
                return views.note("It is loaded with the first image.")
            listed = word_list_of(loaded)
            return views.word_list(None if listed is None else listed.words)
        except NulltextError as error:
            return views.alert(str(error))

    def painted(self, person: str, path: str | None) -> Image.Image | None:
        """What a person painted over an image, transparent where nothing was; None for nothing.

        Args:
            person: Who.
            path: Where the page's library has put it.

        Raises:
            NulltextError: It is not theirs, no image, or too large.
        """
        if path is None:
            return None
        check_text("the paint", path)
        return open_paint(self.known_files.read(person, path), self.workshop.limits)

    def invert(
        self, person: str, tab: str, table: Table, request: InversionRequest, client: Client = NOBODY
    ) -> Iterator[WorkView]:
        """Inverts the image on the table, telling how far it is."""
        if table.image is None or table.person != person:
            yield WorkView(message=views.alert("There is no image yet. Drop one, or take a sample."))
            return
        submit = partial(self.workshop.invert, person, table.image, table.name, request, client)

        def lay_down(inverted: Inverted) -> Table:
            return replace(table, inverted=inverted, edits=(), shown=None)

        yield from self._work(person, tab, submit, lay_down)

    def edit(
        self, person: str, tab: str, table: Table, request: EditRequest, client: Client = NOBODY
    ) -> Iterator[WorkView]:
        """Edits what is on the table, telling how far it is."""
        inverted = table.inverted
        if inverted is None or table.person != person:
            yield WorkView(message=views.alert(NOT_YET))
            return

        def lay_down(edited: Edited) -> Table:
            edits = (*table.edits, edited)[-MOST_EDITS:]
            return replace(table, edits=edits, shown=(len(edits) - 1, 0))

        yield from self._work(person, tab, partial(self.workshop.edit, person, inverted, request, client), lay_down)

    def look_inside(
        self, person: str, tab: str, table: Table, client: Client = NOBODY
    ) -> Iterator[tuple[WorkView, Insight | None]]:
        """Looks into the inversion on the table."""
        inverted = table.inverted
        if inverted is None or table.person != person:
            yield WorkView(message=views.alert(NOT_YET)), None
            return
        insights: list[Insight] = []

        def see(insight: Insight) -> Table:
            insights.append(insight)
            return table

        for view in self._work(person, tab, partial(self.workshop.look_inside, person, inverted, client), see):
            yield view, insights[0] if insights else None

    def cancel(self, person: str, tab: str) -> str:
        """Stops what a person's tab has under way; says so."""
        with self._lock:
            job = self._current.pop((person, tab), None)
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
        files = [(edited.numbers[which], f"{stem}-edited.png", "Download the image")]
        files += [(mask, name, f"The painted mask, {name} in the code") for mask, name in edited.masks]
        pair = edited.source, edited.images[which]
        return EditView(pair, views.links(files), edited.python[which], edited.shell[which])

    def choose(self, table: Table, index: int) -> tuple[Table, EditRequest]:
        """Goes back to an image of the gallery, and to its settings."""
        number, which = table.position(index)
        return replace(table, shown=(number, which)), table.edits[number].requests[which]

    def _work(
        self, person: str, tab: str, submit: Callable[[], Job[Result]], finish: Callable[[Result], Table]
    ) -> Iterator[WorkView]:
        """A job followed to its end; what it makes is laid down only if the tab has begun nothing else meanwhile."""
        self.cancel(person, tab)
        try:
            job = submit()
        except NulltextError as error:
            yield WorkView(message=views.alert(str(error)))
            return
        with self._lock:
            self._current[person, tab] = job
        insights: Image.Image | None = None
        try:
            while not job.wait(POLL):
                preview, insights = (None if job.preview is insights else job.preview), job.preview
                yield WorkView(progress=views.progress(self.workshop.jobs, job), preview=preview, done=False)
        finally:
            job.stop()  # the tab was closed; without effect on one that is over
            with self._lock:
                mine = self._current.get((person, tab)) is job
                if mine:
                    del self._current[person, tab]
        if job.result is not None and mine:
            yield WorkView(finish(job.result))
        elif job.state == "failed":
            yield WorkView(message=views.alert(job.message or ""))
        else:
            yield WorkView(message=views.note("Cancelled."))


def edit_request(
    *,
    table: Table,
    prompt: str,
    cross: float,
    self_share: float,
    strengths: Sequence[float],
    blend_words: Sequence[str],
    painted: Image.Image | None,
    vary: Vary,
    go_on: bool,
) -> EditRequest:
    """What the page's fields ask for.

    Args:
        table: What is on the table.
        prompt: The new prompt.
        cross: How much of the composition to keep.
        self_share: How much of the layout to keep.
        strengths: Of the words of the prompt, in their order.
        blend_words: Words where the image may change.
        painted: What was painted over the image, transparent where nothing was.
        vary: What is varied in several strengths.
        go_on: Whether the edit goes on from the one that is shown.

    Raises:
        SettingError: A field is not of its kind.
    """
    check_text("the new prompt", prompt)
    check_words("blend_words", blend_words)
    for strength in strengths:
        check_number("the strength of a word", strength, *WEIGHTS)
    shown = table.edits[table.shown[0]].requests[table.shown[1]] if table.shown is not None else None
    before = shown.chain if go_on and shown is not None else ()
    known = different_words(prompt)
    return EditRequest(
        prompt=prompt,
        before=before,
        cross=cross,
        self_share=self_share,
        weights={word: factor for word, factor in zip(known, strengths, strict=False) if factor != 1},
        blend_words=tuple(blend_words),
        mask=painted_mask(painted),
        vary=vary,
    )


def is_inversion(data: bytes, name: str) -> bool:
    """Whether a file is meant as an inversion: by its content, a length and then JSON, or, damaged, by its name."""
    return data[8:9] == b"{" or name.lower().endswith(".safetensors")


def painted_mask(painted: Image.Image | None) -> Image.Image | None:
    """What was painted as a mask, white where there is paint; None if there is none."""
    if painted is None:
        return None
    paint = np.asarray(painted.convert("RGBA"))[..., 3]
    return Image.fromarray(np.where(paint > 0, 255, 0).astype(np.uint8)) if paint.any() else None
