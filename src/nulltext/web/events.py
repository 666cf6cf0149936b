"""Which button of the page calls which function, and how its answer becomes the fields' values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, final

import gradio as gr
import pandas as pd

from nulltext.errors import NulltextError
from nulltext.inversion.table import INVERTERS
from nulltext.text.words import different_words
from nulltext.web import views, words
from nulltext.web.clients import Client, client_of
from nulltext.web.handlers import MOST_WORDS, Handlers, Table, edit_request
from nulltext.web.page import COMPOSITION, LAYOUT, Page, TableKey
from nulltext.web.requests import InversionRequest, has_setting
from nulltext.web.results import Inverted
from nulltext.web.shelf import Shelf

Values = list[Any]
"""Values or updates of fields, in the order of an event's outputs."""

_PRIVATE: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
"""Jobs have a queue, a bar and an API of their own."""
_RAW: dict[str, Any] = {**_PRIVATE, "preprocess": False}
"""Fields are taken as they come: the page's library would open an image with whatever knows it, drawings too."""


def connect(page: Page, handlers: Handlers) -> None:
    """Connects a page's fields and buttons with its functions."""
    events, first, second, third = Events(handlers), page.open, page.edit, page.inside
    opened = [
        page.below, first.pair, first.verdict, second.target, second.highlight, second.paint, second.gallery,
        second.result,
        second.downloads, second.blend_words, second.of_words, *second.strengths, second.cross, second.self_share,
    ]  # fmt: skip
    status = [first.progress, first.preview, first.message, first.prompt]
    asked = [first.prompt, first.model, first.method, first.negative, first.steps, first.inner, first.fit]
    shown = [second.result, second.downloads, second.python, second.shell, second.gallery]
    settings = [second.target, second.cross, second.self_share, second.blend_words, second.of_words, *second.strengths]
    with page.blocks:
        first.upload.change(events.open_upload, [first.upload], [page.table, *status, *opened], **_PRIVATE)
        first.samples.select(events.take_sample, None, [page.table, *status, *opened], **_PRIVATE)
        gr.on(
            [first.prompt.change, first.model.change],
            handlers.check_prompt,
            [first.model, first.prompt],
            [first.checked],
            trigger_mode="always_last",
            **_RAW,
        )
        first.model.change(handlers.word_list, [first.model], [first.known], **_RAW)
        first.invert.click(
            events.invert,
            [page.table, *asked],
            [page.table, first.progress, first.preview, first.message, *opened],
            **_RAW,
        )
        second.target.change(
            events.change_target,
            [page.table, second.target, second.blend_words, second.of_words, *second.strengths],
            [second.highlight, second.blend_words, second.of_words, *second.strengths],
            trigger_mode="always_last",
            **_RAW,
        )
        second.edit.click(
            events.edit,
            [
                page.table, second.target, second.cross, second.self_share, second.blend_words, second.paint,
                second.vary,
                second.go_on, *second.strengths,
            ],
            [page.table, second.progress, second.preview, second.message, *shown],
            **_RAW,
        )  # fmt: skip
        second.gallery.select(events.choose, [page.table], [page.table, *shown, *settings], **_PRIVATE)
        third.look.click(
            events.look_inside,
            [page.table],
            [third.progress, third.message, third.maps, third.strip, third.losses],
            **_PRIVATE,
        )
        for stop, message in ((first.stop, first.message), (second.stop, second.message), (third.stop, third.message)):
            stop.click(events.cancel, None, [message], queue=False, **_PRIVATE)


@final
class Events:
    """The page's functions, as its library calls them."""

    def __init__(self, handlers: Handlers) -> None:
        """Over plain functions."""
        self._handlers, limits = handlers, handlers.workshop.limits
        self._tables = Shelf[Table](limits.part_bytes, limits.share)

    def _lay(self, request: gr.Request, table: Table) -> TableKey:
        """Keeps what lies on a tab's table; that tab itself keeps only where."""
        key = TableKey(_person(request), _tab(request))
        self._tables.put(key, table, _client(request).address)
        return key

    def _table(self, request: gr.Request, key: TableKey) -> Table:
        """What lies there; nothing, if it had to make room for others or is another's."""
        return (self._tables.get(key) if key.person == _person(request) else None) or Table()

    def open_upload(self, path: str | None, request: gr.Request) -> Iterator[Values]:
        """A file was given, or taken away."""
        for view in self._handlers.open_upload(_person(request), _tab(request), path, _client(request)):
            image: Values = [gr.update(value=view.image, visible=True) if view.done else gr.skip()]
            message: Values = [gr.skip() if view.inverted is None else view.inverted.request.prompt]
            key = self._lay(request, view.table)
            yield [key, view.progress, *image, view.message, *message, *_opened(view.inverted)]

    def take_sample(self, request: gr.Request, event: gr.SelectData) -> Values:
        """A sample was chosen."""
        view, message = self._handlers.take_sample(_person(request), _tab(request), int(event.index))
        key = self._lay(request, view.table)
        return [key, "", gr.update(value=view.image, visible=True), view.message, message, *_opened(None)]

    def invert(self, request: gr.Request, key: TableKey, prompt: str, model: str, *settings: Any) -> Iterator[Values]:
        """The image is to be inverted; the settings are method, negative prompt, steps, inner steps, fit."""
        method, negative, steps, inner, fit = settings
        own = {"inner_steps": inner} if has_setting(INVERTERS, method, "inner_steps") else {}
        asked = InversionRequest(
            prompt=prompt,
            model=model,
            method=method,
            negative_prompt=negative or "",
            steps=steps,
            settings=own,
            fit=fit,
        )
        table = self._table(request, key)
        for view in self._handlers.invert(_person(request), _tab(request), table, asked, _client(request)):
            if view.table is None:
                preview: Values = [gr.skip() if view.preview is None else view.preview]
                yield [gr.skip(), view.progress, *preview, view.message, *[gr.skip()] * _OPENED]
            else:
                key = self._lay(request, view.table)
                yield [key, "", gr.update(visible=False), "", *_opened(view.table.inverted)]

    def change_target(
        self,
        request: gr.Request,
        key: TableKey,
        prompt: str,
        blend_words: list[str],
        of_words: list[str],
        *strengths: float,
    ) -> Values:
        """The new prompt was changed: strengths and ticks stay with their words."""
        table = self._table(request, key)
        if table.inverted is None or not self._handlers.may_be_prompt(prompt):
            return [gr.skip()] * (3 + MOST_WORDS)
        source, factors = table.inverted.request.prompt, dict(zip(of_words, strengths, strict=False))
        return [words.highlight(source, prompt), *_words_of(source, prompt, blend_words, factors)]

    def edit(
        self, request: gr.Request, key: TableKey, prompt: str, cross: float, self_share: float, *rest: Any
    ) -> Iterator[Values]:
        """The image is to be edited; the rest are places, paint, what varies, whether to go on, and strengths."""
        table = self._table(request, key)
        blend_words, painted, vary, go_on, *strengths = rest
        layers = cast("list[dict[str, Any]]", cast("dict[str, Any]", painted or {}).get("layers") or [{}])
        try:
            asked = edit_request(
                table=table,
                prompt=prompt,
                cross=cross,
                self_share=self_share,
                strengths=strengths,
                blend_words=blend_words,
                painted=self._handlers.painted(_person(request), layers[0].get("path")),
                vary=vary,
                go_on=go_on,
            )
        except NulltextError as error:
            yield [gr.skip(), "", gr.skip(), views.alert(str(error)), *[gr.skip()] * 5]
            return
        for view in self._handlers.edit(_person(request), _tab(request), table, asked, _client(request)):
            if view.table is not None:
                key = self._lay(request, view.table)
                yield [key, "", gr.update(visible=False), "", *self._shown(view.table)]
                continue
            preview: Values = [gr.skip() if view.preview is None else gr.update(visible=True, value=view.preview)]
            preview = [gr.update(visible=False)] if view.done else preview
            yield [gr.skip(), view.progress, *preview, view.message, *[gr.skip()] * 5]

    def choose(self, key: TableKey, request: gr.Request, event: gr.SelectData) -> Values:
        """An earlier edit was chosen."""
        table = self._table(request, key)
        if table.person != _person(request) or table.inverted is None:
            return [gr.skip()] * (11 + MOST_WORDS)
        chosen, asked = self._handlers.choose(table, int(event.index))
        fields = _words_of(table.inverted.request.prompt, asked.prompt, asked.blend_words, asked.weights)
        return [self._lay(request, chosen), *self._shown(chosen), asked.prompt, asked.cross, asked.self_share, *fields]

    def look_inside(self, key: TableKey, request: gr.Request) -> Iterator[Values]:
        """What goes on inside is to be seen."""
        table = self._table(request, key)
        for view, insight in self._handlers.look_inside(_person(request), _tab(request), table, _client(request)):
            if insight is None:
                yield [view.progress, view.message, *[gr.skip()] * 3]
            else:
                maps = [(image, word) for word, image in insight.maps.items()]
                losses = pd.DataFrame({"step": range(1, len(insight.losses) + 1), "loss": insight.losses})
                plot = gr.update(value=losses, visible=bool(insight.losses))
                message = (
                    "" if insight.losses else views.note("No losses are known: this inversion optimised nothing here.")
                )
                yield [view.progress, view.message + message, maps, insight.strip, plot]

    def cancel(self, request: gr.Request) -> str:
        """What is under way is to stop."""
        return self._handlers.cancel(_person(request), _tab(request))

    def _shown(self, table: Table) -> Values:
        """The edit that is shown, and the gallery of all."""
        view = self._handlers.show(table)
        if view is None:
            return [gr.skip()] * 5
        return [view.pair, view.links, view.python, view.shell, table.gallery]


_OPENED = 13 + MOST_WORDS
"""How many fields an inversion changes."""


def _person(request: gr.Request) -> str:
    asked: Any = request.request  # the page's own request, which the gate has let through
    return asked.state.person


def _client(request: gr.Request) -> Client:
    asked: Any = request.request
    return client_of(asked.state)


def _tab(request: gr.Request) -> str:
    return request.session_hash or ""


def _opened(inverted: Inverted | None) -> Values:
    """What an inversion changes on the page: there is one to edit, or none."""
    nothing: Values = [None, [], None, ""]  # paint, gallery, result, downloads
    if inverted is None:
        hidden: Values = [gr.update(visible=False), gr.update(visible=False, value=None), "", gr.skip(), ""]
        return [*hidden, *nothing, *[gr.skip()] * (4 + MOST_WORDS)]
    message, stem = inverted.request.prompt, inverted.name.rsplit(".", 1)[0]
    kept = views.links([(inverted.number, f"{stem}.safetensors", "Keep the inversion, to go on another day")])
    nothing[0] = {"background": inverted.source, "layers": [], "composite": None}
    return [
        gr.update(visible=True),
        gr.update(visible=True, value=(inverted.source, inverted.reconstruction)),
        views.note(f"{inverted.verdict} Method: {inverted.request.method}.") + kept,
        message,
        words.highlight(message, message),
        *nothing,
        *_words_of(message, message, [], {}),
        gr.update(
            value=inverted.recommended.cross_attention,
            info=f"{COMPOSITION} Without a change it is {inverted.why('cross')}.",
        ),
        gr.update(
            value=inverted.recommended.self_attention,
            info=f"{LAYOUT} Without a change it is {inverted.why('self_share')}.",
        ),
    ]


def _words_of(source: str, target: str, blend_words: Sequence[str], factors: Mapping[str, float]) -> Values:
    """The words that may be ticked, those that sliders show, and a slider for each, as far as there are so many."""
    own = different_words(target)[:MOST_WORDS]
    both = list(dict.fromkeys(word.lower() for word in (*different_words(source), *own)))
    sliders = [gr.update(visible=True, label=word, value=factors.get(word, 1)) for word in own]
    rest = [gr.update(visible=False, value=1)] * (MOST_WORDS - len(own))
    return [gr.update(choices=both, value=[word for word in blend_words if word in both]), own, *sliders, *rest]
