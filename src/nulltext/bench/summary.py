"""Means of a run's rows, with their spread and how sure they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final, final

import numpy as np

from nulltext.bench.kept import MEASURED, Row

RESAMPLES: Final = 2000
ALL = "overall"


@final
@dataclass(frozen=True, kw_only=True)
class Summary:
    """A figure over many edits.

    Attributes:
        mean: The mean; not-a-number where there is nothing to average.
        std: The standard deviation between edits.
        low, high: The 95 % interval of the mean, by bootstrap over photographs: edits of one photograph are not
            independent, and are sampled together.
        count: Over how many edits.
        missing: For how many it could not be measured.
    """

    mean: float
    std: float
    low: float
    high: float
    count: int
    missing: int


Table = Mapping[str, Mapping[str, Summary]]
"""For each method, for each column its summary."""


def summarize(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    """Summaries of columns by method, methods in the order of the rows."""
    methods = dict.fromkeys(str(row["method"]) for row in rows)
    return {
        method: {column: _summary([row for row in rows if row["method"] == method], column) for column in columns}
        for method in methods
    }


def by_kind(
    rows: Sequence[Row], columns: Sequence[str], groups: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Table]:
    """Summaries of all rows, of groups of kinds, and of each kind of edit if there are several."""
    kinds = list(dict.fromkeys(str(row["kind"]) for row in rows if row["status"] == MEASURED))
    parts = {**(groups or {}), **{kind: (kind,) for kind in kinds}} if len(kinds) > 1 else {}
    found = {name: [row for row in rows if row["kind"] in of] for name, of in parts.items()}
    return {ALL: summarize(rows, columns), **{name: summarize(part, columns) for name, part in found.items() if part}}


def _summary(rows: Sequence[Row], column: str) -> Summary:
    images: dict[object, list[float]] = {}
    missing = 0
    for row in rows:
        value = row.get(column)
        if isinstance(value, (int, float)) and math.isfinite(value):
            images.setdefault(row["sha256"], []).append(float(value))
        else:
            missing += 1
    values = [value for each in images.values() for value in each]
    if not values:
        return Summary(mean=math.nan, std=math.nan, low=math.nan, high=math.nan, count=0, missing=missing)
    low, high = bootstrap(list(images.values()))
    return Summary(mean=fmean(values), std=pstdev(values), low=low, high=high, count=len(values), missing=missing)


def bootstrap(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95 % interval of a mean by resampling whole groups with replacement (Efron; percentile method).

    Args:
        groups: The values, those that belong together in one group.

    Returns:
        Its ends; infinite for a single group, which says nothing of others.
    """
    if len(groups) == 1:
        return -math.inf, math.inf
    sums, counts = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    picks = np.random.default_rng(0).integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
