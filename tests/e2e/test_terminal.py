"""Progress as a person sees it: bars on a terminal, now and then a line in a log."""

import io

import pytest
from rich.console import Console

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
