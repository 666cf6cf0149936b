"""How well, and at what cost, images are inverted: the published method, faster ones, and those between them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.extras import extra
from nulltext.bench.kept import Row
from nulltext.bench.report import svg
from nulltext.bench.study import Setting, Study, scenes
from nulltext.bench.summary import summarize
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.negative_prompt import NegativePrompt
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.methods.parallel_null_text import ParallelNullText
from nulltext.models.base import Model


def inverters(steps: int, inner_steps: int, w: float) -> Mapping[str, Inverter]:
    """The methods compared, by name."""
    null_text = NullText(steps=steps, inner_steps=inner_steps, guidance=w)
    return {
        "DDIM inversion": DDIM(steps=steps),
        "direct inversion": DirectInversion(steps=steps, guidance=w),
        "direct inversion, plain pivot": DirectInversion(steps=steps, guidance=w, fixed_point=None),
        "null-text": null_text,
        "null-text, N=1": replace(null_text, inner_steps=1),
        "null-text, L-BFGS, N=5": replace(null_text, inner_steps=5, solver="lbfgs"),
        "parallel null-text": ParallelNullText(steps=steps, inner_steps=inner_steps, guidance=w),
        "prompt's embedding": NegativePrompt(steps=steps, guidance=w),
        "prompt's embedding, solved pivot": NegativePrompt(steps=steps, guidance=w, fixed_point=FixedPoint()),
    }


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """Every method of inversion, edited from by Prompt-to-Prompt."""
    w = setting.weight(model)
    edit = always(PromptToPrompt(guidance=w))
    return [
        Candidate(name=name, inverter=always(inverter), editor=edit, guidance=w)
        for name, inverter in inverters(setting.steps, setting.inner_steps, w).items()
    ]


def plot(rows: Sequence[Row]) -> str:
    """Reconstruction and edits by evaluations, and the front that no other method is better than; an SVG element."""
    figure = extra("matplotlib.figure").Figure(figsize=(11, 4.5), layout="constrained")
    table = summarize(rows, ("evaluations", "gap_to_vae", "psnr_truth"))
    both = figure.subplots(1, 2)
    for axes, (name, label, sign) in zip(
        both,
        (
            ("gap_to_vae", "reconstruction above the autoencoder alone, dB", -1),
            ("psnr_truth", "PSNR to the true edit, dB", 1),
        ),
        strict=True,
    ):
        points = {
            method: (of["evaluations"].mean, sign * of[name].mean)
            for method, of in table.items()
            if of["evaluations"].count and of[name].count
        }
        best = front(list(points.values()))
        axes.plot([cost for cost, _ in best], [worth for _, worth in best], color="0.7", zorder=0)
        for method, (x, y) in points.items():
            axes.scatter(x, y, label=method)
        axes.set_xscale("log")
        axes.set_xlabel("evaluations of the network, forward and backward")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    return svg(figure)


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, worth) of which none other costs no more and is worth more, by cost."""
    best: list[tuple[float, float]] = []
    for cost, worth in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or worth > best[-1][1]:
            best.append((cost, worth))
    return best


STUDY = Study(
    name="methods",
    title="Methods of inversion at w={w}",
    candidates=candidates,
    cases=partial(scenes, count=40),
    columns=("evaluations", "invert_seconds", "gap_to_vae", "success", "outside_truth", "psnr_truth", "ssim_truth"),
    plots=lambda _, rows: {"pareto": plot(rows)},
    remarks=("DDIM inversion is reconstructed at w=1, where its pivot leads; all edits are at the same guidance.",),
)
