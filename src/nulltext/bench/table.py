"""The two tables of the benchmark: what can be run, and what can be measured. A row loads nothing until it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, final

_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


def named(path: str) -> Any:  # noqa: ANN401  whatever a row names
    """What "module:name" names; this imports the module."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


# -------------------------------------------------------------------------------------------------------------- metrics


@final
@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure: how a table shows it, and what measures it.

    Attributes:
        name: The column of the rows.
        label: What it is, for a heading.
        unit: "%" for a share of successes, which rows have from 0 to 1.
        better: Which way is better; "" for neither.
        digits: After the point.
        path: The function that measures it, as "module:name"; "" where every row has it.
        given: What the function is given besides the outcome; "module:name" for what is named so.
        asks: The networks that it is given, by the parameter; see `nulltext.bench.measures.measures_of`.
    """

    name: str
    label: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = "higher"
    digits: int = 2
    path: str = ""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asks: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def title(self) -> str:
        """What it is called where a reader knows which way is better."""
        return self.label if self.unit in {"", "%"} else f"{self.label}, {self.unit}"

    @property
    def heading(self) -> str:
        """The same with an arrow to what is better."""
        return self.title + _ARROWS[self.better]


_MEASURES, _PIE = "nulltext.bench.measures", "nulltext.metrics.pie"
_MSE, _PSNR, _SSIM = "nulltext.metrics:mse", "nulltext.metrics:psnr", "nulltext.metrics:structural_similarity"
_IMAGES, _TEXTS = "nulltext.metrics:clip_image_similarity", "nulltext.metrics:clip_text_similarity"


def _against(name: str, label: str, figure: str, unit: str = "", **more: Any) -> Metric:  # noqa: ANN401  what the metric asks
    """A row of `nulltext.bench.measures.against`; a figure without a module is a network that is asked itself."""
    of_metric = {key: more.pop(key) for key in ("better", "digits", "asks") if key in more}
    if ":" in figure:
        more["figure"] = figure
    else:
        of_metric["asks"] = {"figure": figure}
    return Metric(name=name, label=label, unit=unit, path=f"{_MEASURES}:against", given=more, **of_metric)


def _of_noise(name: str, label: str, statistic: str, digits: int) -> Metric:
    given = {"statistic": statistic}
    path = f"{_MEASURES}:of_noise"
    return Metric(name=name, label=f"{label} z_T", better="", digits=digits, path=path, given=given)


_CLIP, _DINO = {"clip": "clip"}, {"dino": "dino"}
_ROWS = (
    # Every row has these.
    Metric(name="seconds", label="seconds", better="lower", digits=1),
    Metric(name="invert_seconds", label="seconds to invert", better="lower", digits=1),
    Metric(name="invert_backwards", label="iterations", better="", digits=0),
    # What is left of the source.
    _against("psnr_source", "PSNR to the source", _PSNR, "dB"),
    _against("ssim_source", "SSIM to the source", _SSIM, digits=3),
    _against("lpips_source", "LPIPS to the source", "lpips", digits=3, better="lower"),
    _against("psnr_outside", "PSNR to the source outside the edit", _PSNR, "dB", where="outside"),
    _against("ssim_outside", "SSIM to the source outside the edit", _SSIM, digits=3, where="outside"),
    _against("mse_outside", "MSE to the source outside the edit", _MSE, digits=4, better="lower", where="outside"),
    _against(
        "lpips_outside", "LPIPS to the source outside the edit", "lpips", digits=3, better="lower", where="outside"
    ),
    # How near the true edit is.
    _against("psnr_truth", "PSNR to the true edit", _PSNR, "dB", to="truth"),
    _against("ssim_truth", "SSIM to the true edit", _SSIM, digits=3, to="truth"),
    _against("outside_truth", "PSNR outside the edit", _PSNR, "dB", to="truth", where="outside"),
    Metric(name="success", label="success", unit="%", digits=1, path=f"{_MEASURES}:success", asks={"judges": "judges"}),
    Metric(name="mask_iou", label="IoU of the mask and the true change", digits=3, path=f"{_MEASURES}:mask_iou"),
    # What CLIP says.
    _against("clip_image_target", "CLIP Img2Img target", _IMAGES, digits=3, to="truth", asks=_CLIP),
    _against("clip_image_source", "CLIP Img2Img source", _IMAGES, digits=3, asks=_CLIP),
    _against("clip_text_target", "CLIP Img2Text target", _TEXTS, digits=3, to="target prompt", asks=_CLIP),
    _against("clip_text_source", "CLIP Img2Text source", _TEXTS, digits=3, to="source prompt", asks=_CLIP, better=""),
    Metric(name="clip_directional", label="CLIP directional", digits=3, path=f"{_MEASURES}:directional", asks=_CLIP),
    # The inversion itself.
    Metric(name="bound", label="the autoencoder alone", unit="dB", better="", path=f"{_MEASURES}:bound"),
    Metric(
        name="gap_to_vae",
        label="below the autoencoder alone",
        unit="dB",
        better="lower",
        path=f"{_MEASURES}:gap_to_vae",
    ),
    Metric(name="evaluations", label="evaluations", better="lower", digits=0, path=f"{_MEASURES}:evaluations"),
    _of_noise("noise_mean", "mean of", "torch:mean", 3),
    _of_noise("noise_variance", "variance of", "torch:var", 3),
    _of_noise("noise_kurtosis", "kurtosis of", f"{_MEASURES}:kurtosis", 2),
    _of_noise("noise_correlation", "correlation of neighbours in", f"{_MEASURES}:correlation", 3),
    # PIE-Bench's, as published.
    _against(
        "structure_distance",
        "structure distance, x 1000",
        f"{_PIE}:structure_distance",
        better="lower",
        scale="structure_distance",
        asks=_DINO,
    ),
    _against("psnr", "PSNR outside", f"{_PIE}:psnr", "dB", where="outside"),
    _against("lpips", "LPIPS outside, x 1000", "published lpips", better="lower", where="outside", scale="lpips"),
    _against("mse", "MSE outside, x 10000", f"{_PIE}:mse", better="lower", where="outside", scale="mse"),
    _against("ssim", "SSIM outside, x 100", f"{_PIE}:ssim", where="outside", scale="ssim"),
    _against("clip_whole", "CLIP whole", f"{_PIE}:clip_similarity", to="target prompt", asks=_CLIP),
    _against(
        "clip_edited", "CLIP edited part", f"{_PIE}:clip_similarity", to="target prompt", where="edit", asks=_CLIP
    ),
)
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _ROWS}
"""Every figure there is, by the column that it has in a study's rows."""

SOURCE = tuple(name for name in METRICS if name.endswith(("_source", "_outside")) and not name.startswith("clip"))
TRUTH = ("psnr_truth", "ssim_truth", "outside_truth")
CLIP = tuple(name for name in METRICS if METRICS[name].asks == _CLIP and name not in {"clip_whole", "clip_edited"})


# -------------------------------------------------------------------------------------------------------------- studies


@final
@dataclass(frozen=True, kw_only=True)
class Option:
    """An option that is a study's own.

    Attributes:
        name: What the study's setting calls it.
        kind: Its type, as a command's parameter would be annotated.
        help: What it is for.
        default: Where it is not given; ... where it has to be.
        least: The least number that it may be.
        spelt: How it is spelt on the command line; by its name if empty.
        metavar: What stands for its value in the help.
    """

    name: str
    kind: Any
    help: str
    default: Any = None
    least: float | None = None
    spelt: tuple[str, ...] = ()
    metavar: str | None = None


OVER_IMAGES = ("limit", "data", "steps", "inner_steps", "guidance", "workers", "folder", "model")
OF_CLIP = (*OVER_IMAGES, "clip")


@final
@dataclass(frozen=True, kw_only=True)
class StudyEntry:
    """A study's row.

    Attributes:
        path: What is called with a model and a `Setting` and returns a `nulltext.bench.study.Result`.
        summary: What it measures, in a line.
        options: What can be asked of it: names of options that several studies have, and its own.
        defaults: Of options that several have, where they are others here.
        check: Called with all that was given before anything is loaded; as a path.
    """

    path: str
    summary: str
    options: tuple[str | Option, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    check: str = ""


_BATCH = "Images that share the network's batch."
_STUDIES = "nulltext.bench.studies"
STUDIES: Final[Mapping[str, StudyEntry]] = {
    "reconstruction": StudyEntry(
        path=f"{_STUDIES}.reconstruction:STUDY",
        summary="How well images the model was not trained on are reconstructed at full guidance.",
        options=OVER_IMAGES,
        defaults={"guidance": 7.5},
    ),
    "edits": StudyEntry(
        path=f"{_STUDIES}.edits:STUDY",
        summary="Edits whose right answer is known, since the new image can be rendered as well.",
        options=OVER_IMAGES,
    ),
    "settings": StudyEntry(
        path=f"{_STUDIES}.settings:STUDY",
        summary="The settings of edits and the guidance, on other scenes than `bench edits`, to choose defaults by.",
        options=(
            *(name for name in OVER_IMAGES if name != "guidance"),
            Option(
                name="guidance",
                kind=list[float] | None,
                help="A guidance scale w to try, again for each; 2.5, 4 and 7.5 if not given.",
            ),
        ),
    ),
    "presets": StudyEntry(
        path=f"{_STUDIES}.presets:STUDY",
        summary="The settings of the app's editor by kind of edit: the presets that it offers.",
        options=("limit", "steps", "workers", "folder", "model"),
        defaults={"steps": 20},
    ),
    "verdict": StudyEntry(
        path=f"{_STUDIES}.verdict:study",
        summary="What tells a prompt that describes an image from one that does not: the app's thresholds.",
        options=("limit", "steps", "model"),
        defaults={"steps": 20},
    ),
    "frontier": StudyEntry(
        path=f"{_STUDIES}.frontier:STUDY",
        summary="Methods along their own guidance curves: what each keeps where they succeed equally often.",
        options=(
            *(name for name in OVER_IMAGES if name != "guidance"),
            Option(
                name="method",
                kind=list[str] | None,
                help="A method to compare, again for each: a --method of invert and an --editor of edit, settings "
                "after a colon, as in ddim+masactrl:start=0.1. If not given, direct, null-text, negative-prompt and "
                "ddim, each with prompt-to-prompt.",
                metavar="INVERTER+EDITOR",
            ),
            Option(
                name="guidance",
                kind=list[float] | None,
                help="A guidance scale w of the curves, again for each; 1, 1.5, 2.5, 4, 5.5, 7.5 and 10 if not given.",
            ),
        ),
        check=f"{_STUDIES}.frontier:check",
    ),
    "model": StudyEntry(
        path="nulltext.bench.embedded_model:study",
        summary="The embedded model itself: autoencoder, CLIP, judges, generated images, speed.",
        options=("limit", "steps", "guidance", "model"),
        defaults={"guidance": 7.5},
    ),
    "seeds": StudyEntry(
        path=f"{_STUDIES}.seeds:STUDY",
        summary="Images generated, edited from DDIM inversion, and from null-text inversion, side by side.",
        options=OF_CLIP,
    ),
    "guidance": StudyEntry(
        path=f"{_STUDIES}.guidance:STUDY",
        summary="Guidance in inversion and in sampling: the table of two by two.",
        options=OF_CLIP,
    ),
    "methods": StudyEntry(
        path=f"{_STUDIES}.methods:STUDY",
        summary="Methods of inversion: reconstruction, edits and evaluations of each.",
        options=OF_CLIP,
    ),
    "compare": StudyEntry(
        path=f"{_STUDIES}.compare:STUDY",
        summary="SDEdit, VQGAN+CLIP, Text2LIVE, DDIM and null-text inversion: success, what is kept, time.",
        options=(
            *OF_CLIP,
            Option(
                name="iterations", kind=int | None, least=1, help="Of VQGAN+CLIP and Text2LIVE; their own if not given."
            ),
        ),
    ),
    "ablation": StudyEntry(
        path=f"{_STUDIES}.ablation:STUDY",
        summary="Reconstruction by iterations: null-text inversion and what it is without one of its parts.",
        options=(
            *(name for name in OVER_IMAGES if name != "inner_steps"),
            "at_once",
            Option(
                name="budget",
                kind=list[int] | None,
                least=1,
                help="Iterations at each step, again for each; 1, 5, 10, 15 and 20 if not given.",
            ),
        ),
        defaults={"guidance": 7.5, "at_once": 16},
    ),
    "pie": StudyEntry(
        path=f"{_STUDIES}.pie:STUDY",
        summary="PIE-Bench by its published protocol.",
        options=(
            *(name for name in OF_CLIP if name not in {"data", "model"}),
            "real_model",
            Option(name="data", kind=Path, default=..., help="PIE-Bench, or a set in its format.", metavar="FOLDER"),
            Option(name="lenient", kind=bool, default=False, help="Take what is amiss in an entry as its authors do."),
            Option(
                name="dino",
                kind=str | None,
                help="The DINO that measures structure; facebook/dino-vitb8 if it is on this machine.",
                metavar="NAME",
            ),
        ),
        defaults={"guidance": 7.5},
        check="nulltext.bench.cases.pie:check_model",
    ),
    "speed": StudyEntry(
        path="nulltext.bench.speed.speed:study",
        summary="The published code, null-text and direct inversion, alone and in batches: seconds, memory, ratios.",
        options=(
            *("limit", "steps", "inner_steps", "guidance", "model"),
            *("random_weights", "low_memory", "compiled", "drawing"),
            Option(name="rounds", kind=int, default=5, least=1, help="How often each way is timed, in turn."),
            Option(name="batch", kind=int, default=8, least=1, help=_BATCH),
            Option(
                name="early_stop",
                kind=bool,
                default=True,
                spelt=("--early-stop/--no-early-stop",),
                help="Whether a step ends where its error is below the published tolerance.",
            ),
            Option(
                name="grow",
                kind=bool,
                default=True,
                spelt=("--grow/--no-grow",),
                help="Whether to measure how cost grows with T, N, side and batch.",
            ),
        ),
        defaults={"guidance": 7.5},
    ),
    "full-size": StudyEntry(
        path="nulltext.bench.speed.full_size:study",
        summary="Seconds and memory of full-size architectures with random weights, for a GPU.",
        options=(
            *("limit", "steps", "inner_steps", "device", "compiled"),
            Option(name="family", kind=Literal["sd15", "sd21"], default="sd15", help="Which architecture."),
            Option(name="batch", kind=int, default=16, least=1, help=_BATCH),
            Option(
                name="parts",
                kind=str | None,
                help="Which parts, in which order: products,plain,edit,published,profile,compiled,"
                "compiled-batch,sdxl,sd35m. All if not given, but the compiled ones only with --compiled.",
                metavar="A,B,...",
            ),
            Option(
                name="few",
                kind=int,
                default=5,
                least=1,
                help="So many steps are taken of what would take long, and scaled up.",
            ),
            Option(name="tiny", kind=bool, default=False, spelt=("--tiny",), help="Tiny networks, to try the code."),
            Option(
                name="record",
                kind=Path | None,
                help="A JSON file that is written anew with every figure, for a run that may be cut off.",
                metavar="FILE",
            ),
        ),
        check="nulltext.bench.speed.full_size:check",
    ),
}
"""Every command of `nulltext bench`."""
