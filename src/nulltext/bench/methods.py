"""How well, and at what cost, pictures are inverted: the published method, faster ones, and those between them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nulltext.bench.candidates import Candidate, Outcome, always
from nulltext.bench.cases import scene_cases
from nulltext.bench.extras import extra
from nulltext.bench.kept import MEASURED, Row
from nulltext.bench.measures import success_measure, truth_measures
from nulltext.bench.report import Column, Report, svg
from nulltext.bench.run import run
from nulltext.bench.studies import Setting
from nulltext.bench.summary import summarize
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.negative_prompt import NegativePrompt
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.methods.open_loop import OpenLoop
from nulltext.judges import Judges
from nulltext.models.base import Model

SCENES = 40
"""With an edit of every kind each, 200 edits."""
COLUMNS = (
    Column(name="evaluations", label="evaluations", digits=0, better="lower"),
    Column(name="invert_seconds", label="seconds", digits=1, better="lower"),
    Column(name="below_bound", label="reconstruction below the autoencoder alone, dB", better="lower"),
    Column(name="success", label="success of edits", digits=2),
    Column(name="outside_truth", label="PSNR outside the edit, dB"),
    Column(name="psnr_truth", label="PSNR to the true edit, dB"),
    Column(name="ssim_truth", label="SSIM to the true edit", digits=3),
)


def inverters(steps: int, inner_steps: int, w: float) -> Mapping[str, tuple[Inverter, PromptToPrompt]]:
    """The methods compared, by name, each with the editor that goes with it."""
    edit = PromptToPrompt(guidance=w)
    null_text = NullText(steps=steps, inner_steps=inner_steps, guidance=w)
    return {
        "DDIM inversion": (DDIM(steps=steps), edit),
        "direct inversion": (DirectInversion(steps=steps, guidance=w), edit),
        "direct inversion, plain pivot": (DirectInversion(steps=steps, guidance=w, fixed_point=None), edit),
        "null-text": (null_text, edit),
        "null-text, N=1": (replace(null_text, inner_steps=1), edit),
        "null-text, L-BFGS, N=5": (replace(null_text, inner_steps=5, solver="lbfgs"), edit),
        "open loop": (OpenLoop(steps=steps, inner_steps=inner_steps, guidance=w), edit),
        "caption's embedding": (NegativePrompt(steps=steps, guidance=w), edit),
        "caption's embedding, solved pivot": (
            NegativePrompt(steps=steps, guidance=w, fixed_point=FixedPoint()),
            edit,
        ),
    }


def compare_inverters(model: Model, setting: Setting) -> Report:
    """Inverts pictures by every method, draws them again, edits them by Prompt-to-Prompt, and counts.

    Args:
        model: The model.
        setting: How to run it; 40 scenes with an edit of every kind if it sets no limit.
    """
    w = setting.weight(model)
    candidates = [
        Candidate(name=name, inverter=always(inverter), editor=always(editor), guidance=w)
        for name, (inverter, editor) in inverters(setting.steps, setting.inner_steps, w).items()
    ]
    entries = (
        scene_cases(SCENES if setting.limit is None else min(setting.limit, SCENES), size=model.default_size)
        if setting.data is None
        else setting.entries(model, SCENES)
    )
    rows = run(
        model,
        entries,
        candidates,
        {"below_bound": _below_bound, **success_measure(Judges.load()), **truth_measures()},
        setting.folder,
        workers=setting.workers,
        on_progress=setting.on_progress,
    )
    counted: list[Row] = [row | {"evaluations": _evaluations(row)} for row in rows]
    return Report(
        title=f"Methods of inversion at w={w:g}",
        command=setting.command("methods", model),
        options=setting.options(model),
        columns=COLUMNS,
        rows=counted,
        plots={"pareto": plot(counted)},
        remarks=("DDIM inversion is reconstructed at w=1, where its pivot leads; all edits are at the same guidance.",),
    )


def plot(rows: Sequence[Row]) -> str:
    """Reconstruction and edits by evaluations, and the front that no other method is better than; an SVG element."""
    figure = extra("matplotlib.figure").Figure(figsize=(11, 4.5), layout="constrained")
    table = summarize(rows, ("evaluations", "below_bound", "psnr_truth"))
    both = figure.subplots(1, 2)
    for axes, (name, label, sign) in zip(
        both,
        (
            ("below_bound", "reconstruction above the autoencoder alone, dB", -1),
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


def _below_bound(outcome: Outcome) -> float:
    scores = outcome.inversion.scores
    return scores.vae_psnr - scores.psnr


def _evaluations(row: Row) -> int | None:
    if row["status"] != MEASURED:
        return None
    return int(row["invert_forwards"] or 0) + int(row["invert_backwards"] or 0)
