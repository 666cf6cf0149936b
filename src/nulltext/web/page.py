"""The page's layout: what stands where. What its buttons do is in `nulltext.web.events`."""

from dataclasses import dataclass
from typing import NamedTuple, final

import gradio as gr
from gradio.themes import Soft

from nulltext.inversion.table import INVERTERS, METHOD
from nulltext.models.recommended import Recommended
from nulltext.web.handlers import MOST_WORDS, Handlers

SESSIONS = 1000
"""So many tabs keep the values of their fields; those unused for longest begin again."""
TITLE = "nulltext: change a photograph with words"
THEME = Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
"""The system's own fonts: nothing is fetched from elsewhere."""
CSS = """
.gradio-container { max-width: 1600px !important; margin: 0 auto; }
.alert { border-left: 4px solid #d33; padding: .5em .8em; background: color-mix(in srgb, #d33 12%, transparent); }
.progress progress { width: 100%; height: 1rem; }
.prompt { font-size: 1.05em; }
mark { background: #ffd54a; color: #222; border-radius: 3px; padding: 0 .2em; }
.grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
.downloads { list-style: none; padding: 0; margin: .3em 0; }
.downloads a { text-decoration: underline; }
footer { display: none !important; }
"""
NEEDS = (
    "scenes is small, comes with the package and runs anywhere; it knows a small world of rendered things and its own "
    "words. Stable Diffusion models take any photograph and any words; they need a graphics card and, the first time, "
    "a download of some gigabytes."
)
COMPOSITION = (
    "How long the new words look where the old ones did. Lower it if the change is hardly seen, raise it if the "
    "image is arranged differently."
)
LAYOUT = (
    "How long shapes and places stay the source's. Lower it to change a shape, raise it to keep everything in place."
)
METHODS = [(f"{word}: {entry.summary}", word) for word, entry in INVERTERS.items()]
FITS = [("is edited as a whole", "pad"), ("is edited in its middle, in more detail", "crop")]
VARY = [
    ("one image", ""),
    ("four, by how much of the composition is kept", "composition"),
    ("four, by how much of the layout is kept", "layout"),
    ("four, by the strength of the new words", "strength"),
]
NARROW = 300
"""Below twice this width in pixels the columns stand below each other."""


class TableKey(NamedTuple):
    """Where a tab's table is kept: whose it is, and in which tab."""

    person: str = ""
    tab: str = ""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class OpenPart:
    """The first part's fields and buttons: an image is opened and inverted."""

    upload: gr.File
    samples: gr.Gallery
    prompt: gr.Textbox
    checked: gr.HTML
    known: gr.HTML
    model: gr.Dropdown
    method: gr.Dropdown
    negative: gr.Textbox
    steps: gr.Slider
    inner: gr.Slider
    fit: gr.Radio
    invert: gr.Button
    stop: gr.Button
    message: gr.HTML
    progress: gr.HTML
    preview: gr.Image
    pair: gr.ImageSlider
    verdict: gr.HTML


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class EditPart:
    """The second part's: it is edited; `of_words` are the words whose strengths the sliders show."""

    target: gr.Textbox
    highlight: gr.HTML
    cross: gr.Slider
    self_share: gr.Slider
    blend_words: gr.CheckboxGroup
    strengths: list[gr.Slider]
    of_words: gr.State
    paint: gr.ImageEditor
    vary: gr.Dropdown
    go_on: gr.Checkbox
    edit: gr.Button
    stop: gr.Button
    message: gr.HTML
    progress: gr.HTML
    preview: gr.Image
    result: gr.ImageSlider
    downloads: gr.HTML
    gallery: gr.Gallery
    python: gr.Code
    shell: gr.Code


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class InsidePart:
    """The third part's: what goes on inside is looked at."""

    look: gr.Button
    stop: gr.Button
    message: gr.HTML
    progress: gr.HTML
    maps: gr.Gallery
    strip: gr.Image
    losses: gr.LinePlot


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """The whole page.

    Attributes:
        blocks: It, for the server.
        table: Where what a tab works on is kept.
        open: The first part.
        below: What is seen only once an image was inverted: the other two.
        edit: The second part.
        inside: The third part.
    """

    blocks: gr.Blocks
    table: gr.State
    open: OpenPart
    below: gr.Column
    edit: EditPart
    inside: InsidePart


def lay_out(handlers: Handlers) -> Page:
    """The page, with nothing connected yet."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as blocks:
        blocks.state_session_capacity = SESSIONS
        table = gr.State(TableKey())
        gr.Markdown("# nulltext\nChange a photograph by changing the words that describe it.")
        first = _open_part(handlers)
        with gr.Column(visible=False, elem_id="below") as below:
            second, third = _edit_part(), _inside_part()
    return Page(blocks=blocks, table=table, open=first, below=below, edit=second, inside=third)


def _open_part(handlers: Handlers) -> OpenPart:
    models, limits = list(handlers.workshop.models), handlers.workshop.limits
    gr.Markdown("## 1. Open")
    with gr.Row():
        with gr.Column(min_width=NARROW):
            upload = gr.File(label="An image, or a kept inversion", type="filepath", height=120, elem_id="upload")
            samples = gr.Gallery(
                value=handlers.samples(),
                label="Or take one of these",
                columns=4,
                rows=1,
                height=120,
                allow_preview=False,
                object_fit="cover",
                elem_id="samples",
            )
            prompt = gr.Textbox(label="What is in the image?", lines=2, elem_id="prompt")
            checked = gr.HTML(elem_id="checked")
            with gr.Accordion("The words this model knows", open=False):
                known = gr.HTML(handlers.word_list(models[0]))
            with gr.Accordion("Model and settings", open=False):
                free = handlers.workshop.any_model
                model = gr.Dropdown(models, value=models[0], label="Model", allow_custom_value=free, info=NEEDS)
                method = gr.Dropdown(METHODS, value=METHOD, label="Method", elem_id="method")
                negative = gr.Textbox(label="What shall not be seen (negative prompt)", elem_id="negative")
                steps = gr.Slider(5, limits.steps, 50, step=1, label="Steps")
                inner = gr.Slider(
                    1, limits.inner_steps, 10, step=1, label="Optimiser steps, of the methods that optimise"
                )
                fit = gr.Radio(FITS, value="pad", label="An image that is not square")
            with gr.Row():
                invert = gr.Button("Invert", variant="primary", elem_id="invert")
                stop = gr.Button("Cancel", variant="stop", elem_id="cancel")
            message, progress = gr.HTML(elem_id="message"), gr.HTML(elem_id="progress")
        with gr.Column(min_width=NARROW):
            preview = gr.Image(label="The image", interactive=False, elem_id="preview", buttons=[])
            pair = gr.ImageSlider(label="Source | reconstructed", visible=False, elem_id="pair", buttons=["fullscreen"])
            verdict = gr.HTML(elem_id="verdict")
    return OpenPart(
        upload=upload,
        samples=samples,
        prompt=prompt,
        checked=checked,
        known=known,
        model=model,
        method=method,
        negative=negative,
        steps=steps,
        inner=inner,
        fit=fit,
        invert=invert,
        stop=stop,
        message=message,
        progress=progress,
        preview=preview,
        pair=pair,
        verdict=verdict,
    )


def _edit_part() -> EditPart:
    gr.Markdown("## 2. Edit")
    with gr.Row():
        with gr.Column(min_width=NARROW):
            target = gr.Textbox(label="What shall it show?", lines=2, elem_id="target")
            highlight = gr.HTML(elem_id="highlight")
            first = Recommended()  # until there is an inversion, whose model says better
            cross = gr.Slider(
                0, 1, first.cross_attention, step=0.05, label="Keep the composition", info=COMPOSITION, elem_id="cross"
            )
            self_share = gr.Slider(
                0, 1, first.self_attention, step=0.05, label="Keep the layout", info=LAYOUT, elem_id="self"
            )
            blend_words = gr.CheckboxGroup(label="Change the image only where these words are", elem_id="blend_words")
            with gr.Accordion("Strength of each word", open=False, elem_id="strengths"):
                strengths = _strength_sliders()
            of_words = gr.State([])
            with gr.Accordion("Paint where the image may change", open=False, elem_id="paint-part"):
                paint = _mask_editor()
            vary = gr.Dropdown(VARY, value="", label="Draw", elem_id="vary")
            go_on = gr.Checkbox(label="Go on from the edit that is shown", elem_id="go-on")
            with gr.Row():
                edit = gr.Button("Edit", variant="primary", elem_id="edit")
                stop = gr.Button("Cancel", variant="stop", elem_id="cancel-edit")
            message, progress = gr.HTML(elem_id="edit-message"), gr.HTML(elem_id="edit-progress")
        with gr.Column(min_width=NARROW):
            preview = gr.Image(label="So far", interactive=False, visible=False, elem_id="edit-preview", buttons=[])
            result = gr.ImageSlider(label="Source | edit", elem_id="result", buttons=["fullscreen"])
            downloads = gr.HTML(elem_id="downloads")
            gallery = _edits_gallery()
            with gr.Accordion("The same as code", open=False, elem_id="code"):
                python = gr.Code(language="python", label="Python", interactive=False, elem_id="python")
                shell = gr.Code(language="shell", label="Command line", interactive=False, elem_id="shell")
    return EditPart(
        target=target,
        highlight=highlight,
        cross=cross,
        self_share=self_share,
        blend_words=blend_words,
        strengths=strengths,
        of_words=of_words,
        paint=paint,
        vary=vary,
        go_on=go_on,
        edit=edit,
        stop=stop,
        message=message,
        progress=progress,
        preview=preview,
        result=result,
        downloads=downloads,
        gallery=gallery,
        python=python,
        shell=shell,
    )


def _strength_sliders() -> list[gr.Slider]:
    return [
        gr.Slider(-4, 10, 1, step=0.25, label="", visible=False, elem_id=f"strength-{place}")
        for place in range(MOST_WORDS)
    ]


def _mask_editor() -> gr.ImageEditor:
    return gr.ImageEditor(
        label="Paint over what may change",
        type="pil",
        sources=[],
        transforms=[],
        layers=False,
        brush=gr.Brush(default_size=24, colors=["#ff3b6b"], color_mode="fixed"),
        elem_id="paint",
    )


def _edits_gallery() -> gr.Gallery:
    return gr.Gallery(
        label="Your edits; choose one to go back to it",
        object_fit="contain",
        columns=4,
        height=190,
        allow_preview=False,
        elem_id="edits",
    )


def _inside_part() -> InsidePart:
    gr.Markdown("## 3. Look inside")
    with gr.Row():
        with gr.Column(min_width=NARROW):
            with gr.Row():
                look = gr.Button("Look inside", elem_id="look")
                stop = gr.Button("Cancel", variant="stop", elem_id="cancel-look")
            message, progress = gr.HTML(elem_id="look-message"), gr.HTML(elem_id="look-progress")
            maps = gr.Gallery(
                label="Where each word looks", columns=4, height=260, elem_id="maps", object_fit="contain"
            )
        with gr.Column(min_width=NARROW):
            strip = gr.Image(label="From noise to image", interactive=False, elem_id="strip", buttons=[])
            losses = gr.LinePlot(
                x="step", y="loss", label="Null-text loss at each step", visible=False, elem_id="losses"
            )
    return InsidePart(look=look, stop=stop, message=message, progress=progress, maps=maps, strip=strip, losses=losses)
