"""The paper's ablation: how near each method comes to the autoencoder's bound, by how many iterations it is given.

Mokady et al., arXiv 2211.09794, section 4. Nothing is stopped early, so that a budget is a budget.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from nulltext.bench.candidates import Candidate, Outcome, always
from nulltext.bench.cases import Case
from nulltext.bench.extras import extra
from nulltext.bench.kept import Row
from nulltext.bench.reconstruction import NO_EARLY_STOP
from nulltext.bench.report import Column, Report, svg
from nulltext.bench.run import run
from nulltext.bench.studies import Setting
from nulltext.bench.summary import Summary, summarize
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.global_null_text import GlobalNullText
from nulltext.inversion.methods.no_pivot import NoPivot
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.methods.random_pivot import RandomPivot
from nulltext.inversion.methods.textual_inversion import TextualInversion
from nulltext.metrics import psnr
from nulltext.models.base import Model
from nulltext.scenes.captions import caption
from nulltext.scenes.world import sample_scene

PICTURES = 32
INNER_STEPS = (1, 5, 10, 15, 20)
"""N; with T = 50 steps of the sampler 50, 250, 500, 750 and 1000 iterations."""
FLAT = "DDIM inversion"
COLUMNS = (
    Column(name="psnr", label="PSNR, dB"),
    Column(name="below_bound", label="below the autoencoder alone, dB", better="lower"),
    Column(name="invert_backwards", label="iterations", digits=0, better=""),
    Column(name="seconds", label="seconds", digits=1, better="lower"),
)


def measure_ablation(model: Model, setting: Setting, inner_steps: Sequence[int] = INNER_STEPS) -> Report:
    """Reconstructs pictures by every method with every budget.

    Args:
        model: The model.
        setting: How to run it; 32 pictures if it sets no limit. Its `inner_steps` has no part in it.
        inner_steps: The budgets, N.
    """
    w, steps = setting.weight(model), setting.steps
    candidates = [Candidate(name=FLAT, inverter=always(DDIM(steps=steps)), editor=None, guidance=w)]
    for n in inner_steps:
        for name, inverter in methods(steps, n, w).items():
            under = random_caption if name.endswith("random caption") else None
            candidates.append(Candidate(name=at(name, steps * n), inverter=inverter, editor=None, caption=under))
    rows = run(
        model,
        setting.entries(model, PICTURES),
        candidates,
        {"psnr": _psnr, "below_bound": _below_bound},
        setting.folder,
        workers=setting.workers,
        at_once=setting.at_once,
        on_progress=setting.on_progress,
    )
    return Report(
        title=f"Ablation at w={w:g}",
        command=setting.command("ablation", model),
        options=setting.options(model, budgets=" ".join(map(str, inner_steps))),
        columns=COLUMNS,
        rows=rows,
        plots={"ablation": plot(rows, [steps * n for n in inner_steps])},
    )


def methods(steps: int, n: int, w: float) -> Mapping[str, Callable[[Case], Inverter]]:
    """The methods compared, by name, for one budget of N iterations a step."""
    null_text = always(NullText(steps=steps, inner_steps=n, guidance=w, constants=NO_EARLY_STOP))
    return {
        "null-text": null_text,
        "null-text, random caption": null_text,
        "global null-text": always(GlobalNullText(steps=steps, inner_steps=n, guidance=w)),
        "null-text, random pivot": partial(_random_pivot, steps=steps, n=n, w=w),
        "null-text, no pivot": partial(_no_pivot, steps=steps, n=n, w=w),
        "textual inversion": partial(_textual, steps=steps, n=n, w=w),
        "textual inversion, pivot": always(TextualInversion(steps=steps, inner_steps=n, guidance=w, pivot=True)),
    }


def at(name: str, iterations: int) -> str:
    """What a method with a budget is called in the rows."""
    return f"{name}, {iterations} iterations"


def random_caption(case: Case) -> str:
    """The caption of some other scene, drawn with the seed of the case."""
    seeds = random.Random(case.seed)  # noqa: S311  a caption, not a secret
    while (other := caption(sample_scene(seeds.randrange(2**31)))) == case.source:
        pass
    return other


def plot(rows: Sequence[Row], budgets: Sequence[int]) -> str:
    """PSNR by iterations, the autoencoder alone and DDIM inversion as flat lines; an SVG element."""
    table = summarize(rows, ("psnr", "below_bound"))
    flat = table[FLAT]
    figure = extra("matplotlib.figure").Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(flat["psnr"].mean + flat["below_bound"].mean, color="black", ls="--", label="autoencoder alone")
    for name in methods(1, 1, 2.0):
        curve: list[Summary] = [table[at(name, budget)]["psnr"] for budget in budgets]
        (line,) = axes.plot(budgets, [point.mean for point in curve], marker="o", label=name)
        if all(math.isfinite(point.low) for point in curve):  # several pictures
            low, high = [point.low for point in curve], [point.high for point in curve]
            axes.fill_between(budgets, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axes.axhline(flat["psnr"].mean, color="grey", ls=":", label=FLAT)
    axes.set_xlabel("iterations")
    axes.set_ylabel("PSNR of the reconstruction, dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure)


def _psnr(outcome: Outcome) -> float:
    return psnr(outcome.drawn, outcome.photo.pixels)


def _below_bound(outcome: Outcome) -> float:
    return outcome.inversion.scores.vae_psnr - _psnr(outcome)


def _random_pivot(case: Case, *, steps: int, n: int, w: float) -> RandomPivot:
    return RandomPivot(steps=steps, inner_steps=n, guidance=w, constants=NO_EARLY_STOP, seed=case.seed)


def _no_pivot(case: Case, *, steps: int, n: int, w: float) -> NoPivot:
    return NoPivot(steps=steps, inner_steps=n, guidance=w, constants=NO_EARLY_STOP, seed=case.seed)


def _textual(case: Case, *, steps: int, n: int, w: float) -> TextualInversion:
    return TextualInversion(steps=steps, inner_steps=n, guidance=w, seed=case.seed)
