"""Every option of every command, given what can be no value of it: refused before anything is opened."""

import inspect
from typing import get_args

import pytest
import typer

from nulltext.cli.app import app
from nulltext.editing.table import EDITOR, EDITORS
from nulltext.inversion.table import INVERTERS

METHODS = {"invert": ("--method", INVERTERS), "edit": ("--editor", EDITORS), "sweep": ("", {EDITOR: EDITORS[EDITOR]})}
"""Which commands have the options of methods, by the option that names one."""


def options():
    """Every option of every command, with what the command needs besides."""

    def walk(command, path, known=()):
        for name, each in getattr(command, "commands", {}).items():
            yield from walk(each, (*path, name))
            option, table = METHODS.get(name, ("", {}))
            known = {param.name for param in each.params}
            for word in table:
                chosen = each.with_method([option, word])
                yield from walk(chosen, (name, word), known)
                known |= {param.name for param in chosen.params}  # an option that several methods have is tried once
        if not hasattr(command, "commands"):
            needs = ["x" for param in command.params if param.param_type_name == "argument"]
            for param in command.params:
                if param.param_type_name == "option" and not param.is_flag and param.name not in known:
                    over = [
                        word
                        for each in command.params
                        if each.required and each.opts[0].startswith("--") and each is not param
                        for word in (each.opts[0], "x")
                    ]
                    number = of_number(inspect.signature(command.callback).parameters[param.name].annotation)
                    yield pytest.param(
                        command, [*needs, *over], param.opts[0], number, id=f"{' '.join(path)} {param.opts[0]}"
                    )

    return list(walk(typer.main.get_command(app), ()))


def of_number(annotation):
    """Which number an option is of, through what typer notes of it, None and lists; None if of none."""
    if annotation in {int, float}:
        return annotation
    return next(filter(None, map(of_number, get_args(annotation))), None)


OPTIONS = options()
NUMBERS = [each for each in OPTIONS if each.values[3]]
NAMES = [each for each in OPTIONS if not each.values[3]]


def test_the_walk_finds_options():
    assert {
        "edit --guidance",
        "invert direct --fixed-point-iterations",
        "train --hours",
        "bench speed --steps",
        "demo --seed",
    } <= {each.id for each in NUMBERS}
    assert {"invert --output", "edit prompt-to-prompt --blend", "web --auth", "bench pie --data"} <= {
        each.id for each in NAMES
    }


@pytest.fixture
def refused(here, capsys):
    """What a command says to arguments that it ends at, with nothing written: quick, no box is drawn."""

    def call(command, *args):
        with (
            pytest.raises((typer.Exit, typer.BadParameter)) as caught,
            command.make_context("nulltext", list(args)) as it,
        ):
            command.invoke(it)
        assert caught.value.exit_code == 2
        assert list(here.iterdir()) == []
        return f"{capsys.readouterr().err} {getattr(getattr(caught.value, 'param', None), 'opts', None)}"

    return call


@pytest.mark.parametrize(("command", "needs", "option", "number"), NUMBERS)
def test_an_option_takes_no_number_that_is_none(command, needs, option, number, refused):
    """Each is refused before anything is opened: there is nothing of the names that the command is given."""
    more = {int: ("0.5", str(10**30), "9" * 5000), float: ("1e999",)}[number]
    for value in ("nan", "inf", "-inf", "x", "", *more):
        assert option in refused(command, *needs, option, value)


@pytest.mark.parametrize(("command", "needs", "option", "number"), NAMES)
def test_an_option_takes_no_empty_name(command, needs, option, number, refused):
    assert option in refused(command, *needs, option, "")
    assert option in refused(command, *needs, f"{option}=")
