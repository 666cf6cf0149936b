"""Methods compared where they succeed equally often: each along its own guidance curve.

More guidance makes an edit succeed more often and keeps less of the image. Two methods at one guidance scale w are
therefore two places on two curves, and the one whose w is weaker keeps more whatever the method is worth. Here is
compared what two methods keep **where their success is the same**:

1. A method's curve is a polyline: for each w the mean success over all edits, and the mean of a figure (the PSNR of the
   background, say). Between neighbouring scales both are interpolated linearly, so that it does not matter how w is
   scaled; but the scales must lie close enough for that.
2. A success level is reached at the weakest guidance that reaches it: where the curve first passes it. Scales beyond
   the one of most success have no part.
3. Two curves are compared over the range of success that both reach: at a quarter, the middle and three quarters of it,
   and in the mean over the whole of it (as Bjøntegaard's difference compares video encoders over the range of quality
   that both reach). The difference of the interpolated means is the mean over the edits of the difference that each has
   between the two methods at those two places of their curves: the comparison is paired.
4. Its interval is a bootstrap over scenes, since edits of one scene are not independent: scenes are drawn with
   replacement, with all their edits, of both methods and at all scales. **Everything above is done again in every
   replicate**: success, the common range, the levels, the interpolation. So the interval holds the uncertainty of
   success as well as that of the figure, and what is common to both methods (a scene that is hard for both) cancels.
   The percentiles are widened to those of Student's t for so many scenes, since the plain ones are too narrow for few
   (Hesterberg, "What Teachers Should Know About the Bootstrap", arXiv 1411.5279, the expanded percentile interval).
5. A method wins if the interval of the mean over the range leaves out 0, and the interval at no level says the
   opposite (then it "depends on the success"). Otherwise no difference is shown, which is not that there is none. If
   the ranges do not overlap, or do not in more than one replicate of twenty, the methods are not comparable.

Every interval is one of 95 % by itself: of twenty comparisons of equal methods about one has a winner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from nulltext.bench.extras import extra
from nulltext.bench.kept import MEASURED, Row
from nulltext.bench.summary import RESAMPLES

Array = NDArray[np.float64]

LEVELS: Final = (0.25, 0.5, 0.75)
"""Where in the common range of success methods are compared."""
NO_DIFFERENCE, NOT_COMPARABLE, DEPENDS = "no difference shown", "not comparable", "depends on the success"
FEWEST: Final = 6
"""So many scenes have an interval: with fewer, all of them agree by chance in more than 5 % of the cases."""
_RANGE: Final = np.linspace(0, 1, 21)
"""Where in it for the mean; `LEVELS` are among these."""
_APART: Final = 0.05
"""From which share of replicates without a common range on methods are not comparable."""

Points = Mapping[str, tuple[str, float | None]]
"""The method and the guidance scale of each name in the column ``method`` of the rows; weaker guidance first. None for
the one point of a method without guidance."""


@final
@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first method's figure less the second's, at one success.

    Attributes:
        success: From 0 to 1; of a mean over several, the middle.
        mean: The difference.
        low, high: Its 95 % interval; infinite over fewer scenes than `FEWEST`.
    """

    success: float
    mean: float
    low: float
    high: float


@final
@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two methods at equal success.

    Attributes:
        first, second: The methods.
        figure: The figure compared, higher is better.
        lowest, highest: The range of success that both reach; lowest is above highest if there is none.
        levels: The difference at `LEVELS`; empty if they are not comparable.
        overall: In the mean over the range; None likewise.
        verdict: The better method, or one of `NO_DIFFERENCE`, `NOT_COMPARABLE` and `DEPENDS`.
        edits, scenes: Over how many.
    """

    first: str
    second: str
    figure: str
    lowest: float
    highest: float
    levels: Sequence[Difference]
    overall: Difference | None
    verdict: str
    edits: int
    scenes: int


def compare_all(
    rows: Sequence[Row], points: Points, figures: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """Every pair of methods by every figure, in the order of the points."""
    methods = dict.fromkeys(method for method, _ in points.values())
    return [
        compare(rows, points, pair, figure, resamples=resamples, seed=seed)
        for figure in figures
        for pair in combinations(methods, 2)
    ]


def compare(
    rows: Sequence[Row],
    points: Points,
    pair: tuple[str, str],
    figure: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Two methods at equal success; only edits that both have at all their scales count.

    Args:
        rows: Of a run, with the columns ``success`` and the figure's.
        points: Which names of the rows are which points.
        pair: The methods.
        figure: A column, of which more is better.
        resamples: Replicates of the bootstrap.
        seed: Of the scenes drawn; all comparisons of a run draw the same.
    """
    names = [[name for name, (method, _) in points.items() if method == each] for each in pair]
    wanted = [*names[0], *names[1]]
    edits = _complete(rows, wanted)
    scenes = list(dict.fromkeys(str(edit[wanted[0]]["sha256"]) for edit in edits))
    nothing = Comparison(
        first=pair[0],
        second=pair[1],
        figure=figure,
        lowest=np.nan,
        highest=np.nan,
        levels=(),
        overall=None,
        verdict=NOT_COMPARABLE,
        edits=len(edits),
        scenes=len(scenes),
    )
    if not edits:
        return nothing
    weights = _drawn(len(scenes), resamples, seed)
    of = np.array([scenes.index(str(edit[wanted[0]]["sha256"])) for edit in edits], dtype=int)
    success, values = (
        _means(weights, np.array([[_number(edit[name], column) for edit in edits] for name in wanted]), of)
        for column in ("success", figure)
    )
    mine = len(names[0])
    return _judged((success[:, :mine], values[:, :mine]), (success[:, mine:], values[:, mine:]), nothing)


def _judged(first: tuple[Array, Array], second: tuple[Array, Array], about: Comparison) -> Comparison:
    """A comparison, given two curves: of each its success and its figure in every replicate, the first as measured."""
    lowest = np.maximum(first[0][:, 0], second[0][:, 0])
    highest = np.minimum(first[0].max(1), second[0].max(1))
    levels = np.minimum(lowest[:, None] + _RANGE * (highest - lowest)[:, None], highest[:, None])
    differences = at_success(*first, levels) - at_success(*second, levels)
    known = np.isfinite(differences).all(1) & (lowest <= highest)
    lost = 1 - known[1:].mean() if len(known) > 1 else 0.0
    about = replace(about, lowest=float(lowest[0]), highest=float(highest[0]))
    if not known[0] or lost > _APART:
        return about
    found, drawn, scenes = differences[0], differences[1:][known[1:]], about.scenes
    at = [round(level * (len(_RANGE) - 1)) for level in LEVELS]
    each = [_difference(levels[0, place], found[place], drawn[:, place], scenes) for place in at]
    overall = _difference(levels[0].mean(), found.mean(), drawn.mean(1), scenes)
    return replace(about, levels=each, overall=overall, verdict=_verdict(overall, each, about))


def _verdict(overall: Difference, levels: Sequence[Difference], about: Comparison) -> str:
    if overall.low <= 0 <= overall.high:
        return NO_DIFFERENCE
    if overall.mean > 0:
        return DEPENDS if any(each.high < 0 for each in levels) else about.first
    return DEPENDS if any(each.low > 0 for each in levels) else about.second


def _difference(success: float, mean: float, drawn: Array, scenes: int) -> Difference:
    low, high = -np.inf, np.inf
    if scenes >= FEWEST:
        student = extra("scipy.stats").t.ppf(0.025, scenes - 1) * np.sqrt(scenes / (scenes - 1))
        share = NormalDist().cdf(student)
        low, high = np.quantile(drawn, (share, 1 - share))
    return Difference(success=float(success), mean=float(mean), low=float(low), high=float(high))


def at_success(success: Array, values: Array, levels: Array) -> Array:
    """The figure where the success first reaches each level, by linear interpolation; not-a-number where it never does.

    Args:
        success: [R, K] along the scales, weakest guidance first.
        values: [R, K] the figure.
        levels: [R, Q] of success.
    """
    reached = success[:, :, None] >= levels[:, None, :]
    after = reached.argmax(1)
    before = np.maximum(after - 1, 0)

    def at(curve: Array, where: NDArray[np.intp]) -> Array:
        return np.take_along_axis(curve, where, 1)

    rise = at(success, after) - at(success, before)
    share = np.divide(levels - at(success, before), rise, out=np.ones_like(levels), where=rise > 0)
    found = at(values, before) + share * (at(values, after) - at(values, before))
    return np.where(reached.any(1) & (levels >= success[:, :1]), found, np.nan)


def non_dominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Of each point whether no other is at least as good in both coordinates and better in one; more is better."""
    return [
        not any(x >= own_x and y >= own_y and (x, y) != (own_x, own_y) for x, y in points) for own_x, own_y in points
    ]


def _complete(rows: Sequence[Row], names: Sequence[str]) -> list[Mapping[str, Row]]:
    """The edits that all of the names have with a success: for each its row of every name."""
    edits: dict[object, dict[str, Row]] = {}
    for row in rows:
        if row["status"] == MEASURED and np.isfinite(_number(row, "success")):
            edits.setdefault(row["case"], {})[str(row["method"])] = row
    return [edit for edit in edits.values() if edit.keys() >= {*names}]


def _number(row: Row, column: str) -> float:
    value = row.get(column)
    return float(value) if isinstance(value, (int, float)) else np.nan


def _drawn(scenes: int, resamples: int, seed: int) -> Array:
    """[R, G] how often each scene is in each replicate; the first is the scenes as they are."""
    counts = np.random.default_rng(seed).multinomial(scenes, np.full(scenes, 1 / scenes), size=resamples)
    return np.concatenate([np.ones((1, scenes)), counts.astype(np.float64)])


def _means(weights: Array, values: Array, of: NDArray[np.int_]) -> Array:
    """[R, P] means over edits in every replicate; an edit that a point has no value of counts for none.

    Args:
        weights: [R, G] how often each scene is drawn.
        values: [P, E] a figure of each edit at each point.
        of: [E] the scene of each edit.
    """
    counted: NDArray[np.bool_] = np.all(np.isfinite(values), axis=0)
    scenes = np.eye(weights.shape[1])[of] * counted[:, None]
    sums, counts = np.where(counted, values, 0.0) @ scenes, scenes.sum(0)
    totals = (weights @ counts)[:, None]
    return np.divide(weights @ sums.T, totals, out=np.full((len(weights), len(values)), np.nan), where=totals > 0)
