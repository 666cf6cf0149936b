"""Every help has examples, and each of them is a command line that its command takes."""

import shlex

import pytest
from tests.e2e.reading import ROOT, found, parse, walk
from typer.testing import CliRunner

from nulltext.cli.app import app
from nulltext.cli.examples import EXAMPLES, epilog

ALL = [names for names, _ in walk(ROOT)]


@pytest.mark.parametrize("names", ALL, ids=lambda names: " ".join(names) or "nulltext")
def test_every_help_has_examples_that_parse(names):
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    _, _, below = shown.output.rpartition("Example")
    lines = [line.strip() for line in below.splitlines() if line.strip().startswith("nulltext")]
    assert lines
    assert found(shown.output) == []
    for line in lines:
        words = shlex.split(line)
        assert tuple(words[1 : 1 + len(names)]) == names
        if "--help" not in words:
            parse(ROOT, words)


def test_every_example_is_of_a_command():
    assert {tuple(path.split()) for path in EXAMPLES} <= set(ALL)
    assert epilog(("bench", "new"), {"--limit"}) == "Example:\n\nnulltext bench new --limit 4"


def test_an_example_with_a_wrong_option_would_be_seen():
    with pytest.raises(Exception, match="No such option: --stpes"):
        parse(ROOT, shlex.split("nulltext invert cat.jpg cat --stpes 3"))
