"""`nulltext batch`: a manifest of photographs in, edited images and a table out."""

import re
import time
from collections.abc import Callable, Generator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict
from difflib import get_close_matches
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nulltext.cli import options, terminal
from nulltext.cli.batching import Reading, Where, Writing
from nulltext.cli.command import SOME_FAILED, WRONG_INPUT
from nulltext.cli.models import Loading
from nulltext.editing.table import EDITOR, EDITORS
from nulltext.errors import SettingError, shown
from nulltext.inversion.table import INVERTERS, METHOD
from nulltext.spelling.compact import read_settings
from nulltext.spelling.options import assemble
from nulltext.tables import Table, row

if TYPE_CHECKING:
    from nulltext.batch.plan import Plan
    from nulltext.batch.row import Row
    from nulltext.batch.run import Machines
    from nulltext.batch.tally import Tally

MOST_TOLD = 10
"""Failed rows that are named at the end; the report has them all."""
LOG_EVERY = 60.0
"""Seconds between two lines of progress."""


def batch(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            help="A folder of photographs, or .csv, .jsonl or .parquet with columns image, prompt, edit, and if wanted "
            "id, mask, size, and settings by name; a path, or s3:// or gs://.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where results go.", rich_help_panel="Output"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read every row, say all that is wrong, and compute nothing.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do rows again that failed before.")] = False,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME[:SETTING=VALUE,...]",
            help="How rows are inverted that do not say it, as in null-text:inner_steps=20. "
            f"One of {', '.join(INVERTERS)}.",
        ),
    ] = METHOD,
    editor: Annotated[
        str,
        typer.Option(
            metavar="NAME[:SETTING=VALUE,...]",
            help=f"How rows are edited that do not say it. One of {', '.join(EDITORS)}.",
        ),
    ] = EDITOR,
    size: options.Size = None,
    fit: Annotated[Literal["crop", "pad"], typer.Option(help="How photographs are brought to a size.")] = "crop",
    reading: Reading,
    writing: Writing,
    where: Where,
    loading: Loading,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Edit many photographs: a manifest in, edited images and a table of what became of each out.

    Run again, it does what is not done yet. Rows that fail are told, in the table with their reasons, and stop no
    other; the exit code is 3 then.
    """
    del debug
    plan = _plan(method, editor, size, fit, writing, where, loading)
    if check:
        _check(manifest, output, plan, reading, as_json=json)
        return
    if output is None:
        raise SettingError("got no folder for the results; expected one. Give it with -o, or ask for --check alone.")
    _run(manifest, output, plan, reading, where, retry_failed=retry_failed, as_json=json, device=loading.device)


def _plan(
    method: str,
    editor: str,
    size: str | None,
    fit: Literal["crop", "pad"],
    writing: Writing,
    where: Where,
    loading: Loading,
) -> "Plan":
    from nulltext.batch.plan import Plan

    options.parse_size(size)
    how = {name: value for name, value in loading.settings.items() if name != "device"}
    return Plan(
        inverter=made(INVERTERS, method, "--method"),
        editor=made(EDITORS, editor, "--editor"),
        model=loading.model,
        loading=how,
        size=size or "",
        fit=fit,
        at_once=where.at_once,
        **asdict(writing),
    )


def made(table: Table, text: str, what: str) -> Any:  # noqa: ANN401  a method of the table
    """The method of "name:setting=value,setting=value".

    Raises:
        SettingError: There is none of that name, or it has no such setting.
    """
    word, colon, settings = text.partition(":")
    cls = row(table, word, what).load()
    return assemble(cls, read_settings(cls, settings, word) if colon else {})


def _machines(where: Where, device: str | None) -> "Machines":
    from nulltext.batch.run import Machines

    return Machines(
        engine=where.engine,
        devices=_devices(where.devices, device),
        address=where.address,
        actors=_actors(where.actors),
        gpus=where.gpus,
    )


def _devices(devices: str | None, device: str | None) -> tuple[str, ...]:
    if devices is None:
        return () if device is None else (device,)
    if device is not None:
        raise SettingError("got --device and --devices; expected one of them.")
    if devices == "all":
        import torch

        return tuple(f"cuda:{at}" for at in range(torch.cuda.device_count())) or ("cpu",)
    return tuple(each.strip() for each in devices.split(",") if each.strip())


def _actors(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
    if match is None or int(match[1]) < 1 or (match[2] and int(match[2]) < int(match[1])):
        raise SettingError(
            f"got --actors {shown(text)}; expected how many, as 4, or from how many to how many, as 2-8."
        )
    return (int(match[1]), int(match[2])) if match[2] else int(match[1])


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise SettingError(f"got --shard {shown(text)}; expected a part and how many there are, from 1/N to N/N.")
    return int(match[1]), int(match[2])


def _rows(manifest: str, output: str | None, reading: Reading) -> "Iterator[Row]":
    """The rows; columns that nobody knows are refused before any is read."""
    from nulltext.batch.manifest import OWN, columns, read_manifest
    from nulltext.errors import ManifestError

    ignore = reading.ignore or []
    unknown = [name for name in columns(manifest) if name and name not in OWN and name not in ignore]
    known = _all_settings() | {"method", "editor"}
    others = [name for name in unknown if name.replace("-", "_").rpartition(".")[2] not in known]
    if others:
        raise ManifestError(
            f"{manifest} has the column {shown(others[0])}, which is no setting of a method or an editor. "
            f"{_advice(others[0], known | OWN)}"
        )
    return read_manifest(
        manifest,
        prompt=reading.prompt,
        edits=reading.edit or (),
        captions=reading.captions,
        ignore=ignore,
        out=output,
    )


def _advice(name: str, known: AbstractSet[str]) -> str:
    """What to do about a column that nobody knows."""
    plain = name.strip().lower()
    if ";" in name:
        return "Separate columns by commas, not by semicolons."
    if plain != name and plain in known:
        return f"Call it {plain}."
    near = get_close_matches(plain, sorted(known), n=1)
    return f"Mend its name{f', as in {near[0]}' if near else ''}, or leave it out with --ignore {quote(name)}."


def _all_settings() -> set[str]:
    """The names of the settings of all methods, which a row may choose itself."""
    from nulltext.batch.plan import names_of

    return {name for table in (INVERTERS, EDITORS) for entry in table.values() for name in names_of(entry.load())}


def _check(manifest: str, output: str | None, plan: "Plan", reading: Reading, *, as_json: bool) -> None:
    from nulltext.batch.check import Fault, check
    from nulltext.batch.names import Names
    from nulltext.batch.storage import Storage

    rows, faults = 0, list[Fault]()
    out = None if output is None else Storage(output)
    for fault in check(Names(plan, out).check(_rows(manifest, output, reading)), plan):
        rows += 1
        faults += [] if fault is None else [fault]
    if as_json:
        found = [
            {"row": f.row.number, "id": f.row.id, "edit": f.edit, "error": f.error, "reason": f.reason} for f in faults
        ]
        terminal.print_json({"rows": rows, "faults": found})
    else:
        for fault in faults:
            terminal.show(f"row {fault.row.number} ({terminal.printable(fault.row.id)}): {fault.reason}")
        terminal.say(f"{rows} rows read, {len(faults)} {'fault' if len(faults) == 1 else 'faults'}")
    if faults:
        raise typer.Exit(WRONG_INPUT)


def _run(
    manifest: str,
    output: str,
    plan: "Plan",
    reading: Reading,
    where: Where,
    *,
    retry_failed: bool,
    as_json: bool,
    device: str | None,
) -> None:
    from nulltext.batch.report import write_report
    from nulltext.batch.results import Results
    from nulltext.batch.run import run
    from nulltext.batch.storage import Storage
    from nulltext.batch.tally import Tally

    rows, last = _rows(manifest, output, reading), Tally()
    start = time.monotonic()
    with _telling(where.metrics_port) as tell:

        def on_tally(tally: Tally) -> None:
            nonlocal last
            last = tally
            tell(tally)

        for _ in run(
            rows,
            output,
            plan=plan,
            machines=_machines(where, device),
            shard=_shard(where.shard),
            retry_failed=retry_failed,
            on_tally=on_tally,
        ):
            pass
    storage = Storage(output)
    report = write_report(storage, command=f"nulltext batch {manifest} -o {output}", seconds=time.monotonic() - start)
    faults = [
        record for record in Results(storage).records(["status", "row", "id", "reason"]) if record["status"] == "failed"
    ]
    failed, before = len(faults), len(faults) - last.failed
    if as_json:
        terminal.print_json(last.summary() | {"failed_in_all": failed, "report": report})
    else:
        for fault in faults[:MOST_TOLD]:
            terminal.say(f"row {fault['row']} ({fault['id']}): {fault['reason']}")
        terminal.say(f"{last.done} edits made, {last.skipped - max(0, before)} were there already, {failed} failed")
        terminal.show(report)
    if failed:
        raise typer.Exit(SOME_FAILED)


@contextmanager
def _telling(port: int | None) -> "Generator[Callable[[Tally], None]]":
    """A function that tells the counts to a person and to Prometheus."""
    from nulltext.batch.metrics import Metrics

    metrics, told = None if port is None else Metrics(port), [0.0]

    def tell(tally: "Tally") -> None:
        if metrics is not None:
            metrics.tell(tally)
        if time.monotonic() - told[0] > LOG_EVERY:
            told[0] = time.monotonic()
            terminal.say(line(tally))

    try:
        yield tell
    finally:
        if metrics is not None:
            metrics.close()


def line(tally: "Tally") -> str:
    """The counts in a line."""
    from nulltext.batch.tally import memory_mb

    left = "" if tally.left is None else f", {_duration(tally.left)} left"
    devices = "".join(f", {device} {count}" for device, count in tally.devices.items())
    return (
        f"{tally.done + tally.failed} of {tally.total} edits, {tally.failed} failed, {tally.rate:.2f} a second{left}"
        f"{devices}, {memory_mb():.0f} MB"
    )


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
