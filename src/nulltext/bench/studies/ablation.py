"""The paper's ablation: how near each method comes to the autoencoder's bound, by how many iterations it is given.

Mokady et al., arXiv 2211.09794, section 4. Nothing is stopped early, so that a budget is a budget.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case
from nulltext.bench.cost import NO_EARLY_STOP
from nulltext.bench.extras import extra
from nulltext.bench.kept import Row
from nulltext.bench.report import svg
from nulltext.bench.study import Setting, Study
from nulltext.bench.summary import Summary, summarize
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.global_null_text import GlobalNullText
from nulltext.inversion.methods.no_pivot import NoPivot
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.methods.random_pivot import RandomPivot
from nulltext.inversion.methods.textual_inversion import TextualInversion
from nulltext.models.base import Model
from nulltext.scenes.captions import caption
from nulltext.scenes.world import sample_scene

INNER_STEPS = (1, 5, 10, 15, 20)
"""N; with T = 50 steps of the sampler 50, 250, 500, 750 and 1000 iterations."""
FLAT = "DDIM inversion"


def budgets(setting: Setting) -> Sequence[int]:
    """The budgets tried, N."""
    return setting.own.get("budget") or INNER_STEPS


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """Every method with every budget."""
    w, steps = setting.weight(model), setting.steps
    found = [Candidate(name=FLAT, inverter=always(DDIM(steps=steps)), editor=None, guidance=w)]
    for n in budgets(setting):
        for name, inverter in methods(steps, n, w).items():
            under = random_prompt if name.endswith("random prompt") else None
            found.append(Candidate(name=at(name, steps * n), inverter=inverter, editor=None, prompt=under))
    return found


def methods(steps: int, n: int, w: float) -> Mapping[str, Callable[[Case], Inverter]]:
    """The methods compared, by name, for one budget of N iterations a step."""
    null_text = always(NullText(steps=steps, inner_steps=n, guidance=w, descent=NO_EARLY_STOP))
    return {
        "null-text": null_text,
        "null-text, random prompt": null_text,
        "global null-text": always(GlobalNullText(steps=steps, inner_steps=n, guidance=w)),
        "null-text, random pivot": partial(_random_pivot, steps=steps, n=n, w=w),
        "null-text, no pivot": partial(_no_pivot, steps=steps, n=n, w=w),
        "textual inversion": partial(_textual, steps=steps, n=n, w=w),
        "textual inversion, pivot": always(TextualInversion(steps=steps, inner_steps=n, guidance=w, pivot=True)),
    }


def at(name: str, iterations: int) -> str:
    """What a method with a budget is called in the rows."""
    return f"{name}, {iterations} iterations"


def random_prompt(case: Case) -> str:
    """The prompt of some other scene, drawn with the seed of the case."""
    seeds = random.Random(case.seed)  # noqa: S311  a prompt, not a secret
    while (other := caption(sample_scene(seeds.randrange(2**31)))) == case.source:
        pass
    return other


def plot(rows: Sequence[Row], iterations: Sequence[int]) -> str:
    """PSNR by iterations, the autoencoder alone and DDIM inversion as flat lines; an SVG element."""
    table = summarize(rows, ("psnr_source", "bound"))
    flat = table[FLAT]
    figure = extra("matplotlib.figure").Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(flat["bound"].mean, color="black", ls="--", label="autoencoder alone")
    for name in methods(1, 1, 2.0):
        curve: list[Summary] = [table[at(name, budget)]["psnr_source"] for budget in iterations]
        (line,) = axes.plot(iterations, [point.mean for point in curve], marker="o", label=name)
        if all(math.isfinite(point.low) for point in curve):  # several images
            low, high = [point.low for point in curve], [point.high for point in curve]
            axes.fill_between(iterations, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axes.axhline(flat["psnr_source"].mean, color="grey", ls=":", label=FLAT)
    axes.set_xlabel("iterations")
    axes.set_ylabel("PSNR of the reconstruction, dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure)


def _random_pivot(case: Case, *, steps: int, n: int, w: float) -> RandomPivot:
    return RandomPivot(steps=steps, inner_steps=n, guidance=w, descent=NO_EARLY_STOP, seed=case.seed)


def _no_pivot(case: Case, *, steps: int, n: int, w: float) -> NoPivot:
    return NoPivot(steps=steps, inner_steps=n, guidance=w, descent=NO_EARLY_STOP, seed=case.seed)


def _textual(case: Case, *, steps: int, n: int, w: float) -> TextualInversion:
    return TextualInversion(steps=steps, inner_steps=n, guidance=w, seed=case.seed)


STUDY = Study(
    name="ablation",
    title="Ablation at w={w}",
    candidates=candidates,
    columns=("psnr_source", "gap_to_vae", "invert_backwards", "seconds"),
    measured=("bound",),
    plots=lambda setting, rows: {"ablation": plot(rows, [setting.steps * n for n in budgets(setting)])},
)
