"""`nulltext models`: which families of models are read, what each can do, and what it costs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nulltext.cli import options, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from nulltext.editing.abilities import Abilities
    from nulltext.models.counting import Counted

COLUMNS = {
    "null-text": ("null-text",),
    "prompt-to-prompt": ("prompt-to-prompt",),
    "masks": ("drawn", "diffedit"),
}
"""What the table shows of all methods, each by the words that it takes."""


def models(
    *,
    costs: Annotated[
        bool,
        typer.Option(
            "--costs", help="Count what one evaluation of each full-size denoiser takes, without its weights."
        ),
    ] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the families of models that are read, and what each can do.

    Nothing of it is written down: with a tiny build of each family's own classes, of random weights, an image is
    inverted and edited by every method, which takes some seconds.
    """
    del debug  # of the command itself
    from nulltext.editing.abilities import abilities_of
    from nulltext.models.families import FAMILIES

    with terminal.loading("a tiny build of each family"):
        found = [abilities_of(pipeline) for pipeline in FAMILIES]
        counted = _counted() if costs else {}
    if json:
        record: dict[str, Any] = {"families": [_record(each) for each in found]}
        if costs:
            record["costs"] = {name: asdict(each) for name, each in counted.items()}
        terminal.print_json(record)
        return
    terminal.show(_table(found))
    if any(each.architecture is None for each in found):
        terminal.say(
            "?: not tried, as there is no build of random weights here; see the family's page in docs/families."
        )
    for sentence in _refusals(found):
        terminal.show(sentence)
    if costs:
        terminal.show(_costs(counted))


def _counted() -> "dict[str, Counted]":
    from nulltext.models.architectures import ARCHITECTURES
    from nulltext.models.counting import count

    return {name: count(name) for name in ARCHITECTURES}


def _record(each: "Abilities") -> dict[str, Any]:
    tables = ("inverters", "editors", "masks")
    record = asdict(each)
    refused: dict[str, str] = {}
    for table in tables:
        reasons: dict[str, str] | None = record.pop(table)
        record[table] = None if reasons is None else {word: not why for word, why in reasons.items()}
        refused |= {word: why for word, why in (reasons or {}).items() if why}
    record["refusals"] = refused
    return record


def _table(found: "list[Abilities]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("family", "guidance", "predicts", *COLUMNS, "single file"):
        table.add_column(heading)
    for each in found:
        predicts = {None: "?", True: "flow", False: "noise or v"}[each.flow]
        able = [
            _word(all(each.can(word) for word in words) if each.architecture else None) for words in COLUMNS.values()
        ]
        table.add_row(each.summary, f"{each.guidance:g}", predicts, *able, _word(each.single_file))
    return table


def _word(able: bool | None) -> str:
    return {None: "?", True: "yes", False: "no"}[able]


def _refusals(found: "list[Abilities]") -> list[str]:
    """Why methods are refused, a sentence for all that are refused for one reason."""
    sentences: list[str] = []
    for each in found:
        reasons = dict[str, list[tuple[str, str]]]()
        for table in (each.inverters, each.editors, each.masks):
            for word, why in (table or {}).items():
                if why:
                    reasons.setdefault(why.partition(", ")[2], []).append((word, why))
        sentences += [f"{each.summary}, {', '.join(w for w, _ in some)}: {some[0][1]}" for some in reasons.values()]
    return sentences


def _costs(counted: "dict[str, Counted]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        title="One evaluation of one image, counted; bfloat16, attention fused",
        title_justify="left",
    )
    table.add_column("")
    for heading in (
        "pixels",
        "denoiser,\n10⁶ weights",
        "text,\n10⁶",
        "autoencoder,\n10⁶",
        "forward,\nTFLOP",
        "backward,\nTFLOP",
        "saved,\nGB",
    ):
        table.add_column(heading, justify="right")
    for name, each in counted.items():
        table.add_row(
            name,
            f"{each.side}",
            *(f"{weights / 1e6:.0f}" for weights in (each.denoiser, each.text_encoders, each.autoencoder)),
            f"{each.forward / 1e12:.2f}",
            f"{each.backward / 1e12:.2f}",
            f"{each.saved / 1e9:.2f}",
        )
    return table
