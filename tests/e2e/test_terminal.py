"""What a person sees: bars on a terminal, now and then a line in a log, and tables that fit."""

import importlib
import io
import re
from pathlib import Path

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

import nulltext
from nulltext.bench.report import Column
from nulltext.cli import terminal
from nulltext.progress import Progress, numbered


def steps(pictures: int = 1) -> None:
    with terminal.progress() as on_progress:
        for picture in range(1, pictures + 1):
            tell = numbered(on_progress, picture, pictures) if pictures > 1 else on_progress
            tell(Progress("sample", 1, 2))
            for step in range(1, 4):
                tell(Progress("optimise", step, 3, 0.25))


def test_a_terminal_gets_a_bar_a_phase(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", lambda: Console(file=written, force_terminal=True, width=120))
    steps(pictures=2)
    for word in ("picture 1 of 2: null-text optimisation", "3/3", "loss 2.5e-01", "picture 2 of 2: sampling"):
        assert word in written.getvalue()


def test_a_bar_a_picture_where_the_phase_is_the_same(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", lambda: Console(file=written, force_terminal=True, width=120))
    with terminal.progress() as on_progress:
        for picture in (1, 2):
            numbered(on_progress, picture, 2)(Progress("sample", 1, 1))
    assert "picture 2 of 2: sampling" in written.getvalue()


@pytest.mark.parametrize(("every", "lines"), [(60.0, 0), (0.0, 4)])
def test_a_log_gets_a_line_now_and_then(every, lines, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "LOG_EVERY", every)
    steps()
    written = capsys.readouterr().err.splitlines()
    assert len(written) == lines
    if lines:
        assert written[3] == "null-text optimisation 3/3 loss 2.5e-01"
        assert written[0] == "sampling 1/2"


@pytest.mark.parametrize(("width", "shown"), [(80, ["499/500", "loss 2.5e-01"]), (60, ["499/500"])])
def test_a_bar_fits(width, shown, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", lambda: Console(file=written, force_terminal=True, width=width))
    with terminal.progress() as on_progress:
        numbered(on_progress, 117, 200)(Progress("optimise", 499, 500, 0.25))
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n").splitlines()
    *_, line = (line.rstrip() for line in lines if line.strip())
    assert len(line) <= width
    for word in ("picture 117 of 200", *shown):
        assert word in line


def columns_of_studies() -> dict[str, tuple[str, ...]]:
    """The headings of every study that there is."""
    found: dict[str, tuple[str, ...]] = {}
    for file in Path(nulltext.__file__).parent.glob("bench/*.py"):
        for name, value in vars(importlib.import_module(f"nulltext.bench.{file.stem}")).items():
            if isinstance(value, tuple) and value and all(isinstance(each, Column) for each in value):
                found[f"{file.stem}.{name}"] = tuple(each.label for each in value)
    return found


HEADINGS = {
    **columns_of_studies(),
    "two": ("PSNR, dB", "SSIM"),
    "bench speed": ("seconds", "times faster", "evaluations", "PSNR, dB", "peak, GB"),
}


def test_there_are_studies():
    assert len(HEADINGS) > 6


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("headings", HEADINGS.values(), ids=list(HEADINGS))
def test_no_figure_of_a_table_is_broken_and_no_line_is_too_long(headings, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    table = Table(box=box.SIMPLE_HEAD, title="A study", title_justify="left")
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right")
    rows = {name: [f"{10 + i}.{j}3 ± 2.01" for j in range(len(headings))] for i, name in enumerate(("ours", "theirs"))}
    for name, figures in rows.items():
        table.add_row(name, *figures)
    terminal.show(table)
    written = capsys.readouterr().out
    for name, figures in rows.items():
        assert all(each in written for each in (name, *figures))
    assert all(word in written for heading in headings for word in heading.split())
    if width >= 80:
        assert max(map(len, written.splitlines())) <= width
