"""What a person sees: bars on a terminal, now and then a line in a log, and nothing that commands the terminal."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from nulltext import Inversion, ModelIdentity
from nulltext.bench.study import Study
from nulltext.bench.table import METRICS, STUDIES, named
from nulltext.cli import terminal
from nulltext.cli.app import _show_trace
from nulltext.cli.terminal import printable
from nulltext.progress import Progress, numbered


def steps(images: int = 1) -> None:
    with terminal.progress() as on_progress:
        for image in range(1, images + 1):
            tell = numbered(on_progress, image, images) if images > 1 else on_progress
            tell(Progress("sample", 1, 2))
            for step in range(1, 4):
                tell(Progress("optimise", step, 3, 0.25))


def test_a_terminal_gets_a_bar_a_phase(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", lambda: Console(file=written, force_terminal=True, width=120))
    steps(images=2)
    for word in ("image 1 of 2: null-text optimisation", "3/3", "loss 2.5e-01", "image 2 of 2: sampling"):
        assert word in written.getvalue()


def test_a_bar_an_image_where_the_phase_is_the_same(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", lambda: Console(file=written, force_terminal=True, width=120))
    with terminal.progress() as on_progress:
        for image in (1, 2):
            numbered(on_progress, image, 2)(Progress("sample", 1, 1))
    assert "image 2 of 2: sampling" in written.getvalue()


@pytest.mark.parametrize(("every", "lines"), [(60.0, 0), (0.0, 4)])
def test_a_log_gets_a_line_now_and_then(every, lines, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "LOG_EVERY", every)
    steps()
    written = capsys.readouterr().err.splitlines()
    assert len(written) == lines
    if lines:
        assert written[3] == "null-text optimisation 3/3 loss 2.5e-01"
        assert written[0] == "sampling 1/2"


HOSTILE = "a \x1b]0;owned\x07cat \x9b31m\u202egnp.exe\u2028\x00\r\n\tend \ud83d"
"""What a terminal would obey or show in another order, and half a character, which none can print."""
OBEYED = set(HOSTILE) - set(" ]0;ownedatcgp.exe31m") - {"\n", "\t"}


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable("naïve “猫” 🐈") == "naïve “猫” 🐈"
    assert printable("a\x1b[2Jb\nc\td") == r"a\x1b[2Jb\nc\td"
    assert printable("a\nb\x9b\u202e", lines=True) == "a\nb\\x9b\\u202e"
    assert not OBEYED & set(printable(HOSTILE))
    assert "\n" not in printable(HOSTILE)


@pytest.fixture
def hostile(tmp_path, inverted):
    """An inversion file whose every text a stranger has chosen."""
    inversion = Inversion.load(inverted)
    text = HOSTILE.replace("\ud83d", "")
    changed = replace(
        inversion,
        prompt=text,
        model=ModelIdentity(text, text),
        method="Another",
        settings={text: text, "of": {text: 1.0}},
    )
    return changed.save(tmp_path / "a.safetensors")


NAME = "\x1b[31mnowhere\u202e.png"
SAYS = {
    "show": lambda file: ("show", file),
    "edit": lambda file: ("edit", file, "a cat"),
    "a path": lambda _: ("show", NAME),
    "an output": lambda file: ("show", file, "--image", f"{NAME}\x9b"),
    "a model": lambda _: ("generate", "a cat", "--model", NAME),
    "a command": lambda _: (NAME,),
    "an option": lambda _: (f"--{NAME}",),
    "an option of a command": lambda _: ("show", f"--{NAME}"),
    "a number": lambda _: ("generate", "a cat", "--steps", NAME),
    "a choice": lambda _: ("invert", "a.png", "a cat", "--method", NAME),
    "a superfluous word": lambda _: ("show", "a", NAME),
    "a share": lambda file: ("edit", file, "a cat", "--self", NAME),
    "a size": lambda _: ("generate", "a cat", "--size", NAME),
    "a sweep": lambda file: ("sweep", file, "a cat", "--over", NAME),
    "a study's data": lambda _: ("bench", "seeds", "--data", NAME, "--limit", 1),
}


@pytest.mark.parametrize("case", SAYS)
def test_no_strangers_text_commands_the_terminal(case, run, hostile):
    result = run(*SAYS[case](hostile))
    assert result.exit_code == (0 if case == "show" else 2), result.output
    assert result.output
    assert not OBEYED & set(result.output)


def test_json_escapes_it_and_is_exact(run, hostile):
    result = run("show", hostile, "--json")
    assert not OBEYED & set(result.stdout)
    assert json.loads(result.stdout)["prompt"] == HOSTILE.replace("\ud83d", "")


def test_nor_does_it_in_a_stack_trace(capsys):
    error = ValueError(HOSTILE)
    _show_trace(ValueError, error, None)
    assert not OBEYED & set(capsys.readouterr().err)


@pytest.mark.parametrize("tty", [True, False])
def test_nor_does_it_in_progress(tty, monkeypatch, capsys):
    written = io.StringIO()
    console = terminal._console
    monkeypatch.setattr(terminal, "LOG_EVERY", 0.0)
    monkeypatch.setattr(terminal, "_stderr", lambda: console(file=written, force_terminal=tty, width=120))
    with terminal.progress() as on_progress:
        on_progress(Progress(HOSTILE + "[/red]", 1, 2))
    shown = written.getvalue() if tty else capsys.readouterr().err
    assert r"\u202e" in shown
    assert not (OBEYED - {"\x1b", "\r"}) & set(shown)  # the bars' own
    assert "\x1b]0" not in shown


@pytest.mark.parametrize(("width", "shown"), [(80, ["499/500", "loss 2.5e-01"]), (60, ["499/500"])])
def test_a_bar_fits(width, shown, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", lambda: Console(file=written, force_terminal=True, width=width))
    with terminal.progress() as on_progress:
        numbered(on_progress, 117, 200)(Progress("optimise", 499, 500, 0.25))
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n").splitlines()
    *_, line = (line.rstrip() for line in lines if line.strip())
    assert len(line) <= width
    for word in ("image 117 of 200", *shown):
        assert word in line


def columns_of_studies() -> dict[str, tuple[str, ...]]:
    """The headings of every study that there is."""
    found = {name: named(entry.path) for name, entry in STUDIES.items()}
    return {
        name: tuple(METRICS[column].title for column in study.columns)
        for name, study in found.items()
        if isinstance(study, Study)
    }


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
