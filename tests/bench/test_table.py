"""The tables of the benchmark: every row names what there is."""

from inspect import signature
from typing import Any

import pytest
import typer

from nulltext.bench.study import Study
from nulltext.bench.table import METRICS, STUDIES, named
from nulltext.cli.bench import app

MEASURED = {name: metric for name, metric in METRICS.items() if metric.path}


@pytest.mark.parametrize("metric", MEASURED.values(), ids=list(MEASURED))
def test_a_metric_is_measured_by_a_function_that_takes_what_its_row_gives(metric):
    given = {key: named(value) if ":" in str(value) else value for key, value in metric.given.items()}
    networks = dict.fromkeys(metric.asks, print)
    bound = signature(named(metric.path)).bind(None, **given, **networks)
    assert callable(bound.kwargs.get("figure", len))


def test_a_name_stands_for_one_metric():
    assert [metric.name for metric in METRICS.values()] == list(METRICS)
    headings = [metric.heading for metric in METRICS.values()]
    assert len(set(headings)) == len(headings)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_what_its_row_says(name):
    study = named(STUDIES[name].path)
    assert callable(study)
    if isinstance(study, Study):
        assert study.name == name
        assert METRICS.keys() >= {*study.columns, *study.measured, *(column for _, column in study.overview)}


def test_every_study_is_a_command():
    group: Any = typer.main.get_command(app)
    assert list(group.commands) == list(STUDIES)
