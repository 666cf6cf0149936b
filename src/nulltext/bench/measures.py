"""What the figures of `nulltext.bench.table.METRICS` are measured by: each a function of one outcome."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional

from nulltext.bench.candidate import Measure, Outcome
from nulltext.bench.table import METRICS, named
from nulltext.judges import Judges
from nulltext.metrics import Missing, clip_directional_similarity, intersection_over_union, psnr
from nulltext.metrics.clip import ImagesAndTexts
from nulltext.metrics.perceptual import Lpips
from nulltext.metrics.pie import LPIPS_NETWORK, SCALES
from nulltext.models.clip import Clip
from nulltext.models.dino import VIT_B_8, Dino
from nulltext.types import Latents

Figure = Callable[..., float | Missing]

NO_TRUTH = Missing("the true edited image is not known.")
NO_MASK = Missing("where the edit belongs is not known.")
NO_OWN_MASK = Missing("the method has no mask.")
NO_WORDS = Missing("which word must be seen is not known.")


def measures_of(names: Iterable[str], *, clip: Path | None = None, dino: str = VIT_B_8) -> dict[str, Measure]:
    """What measures the metrics of these names, the networks that they ask loaded.

    Args:
        names: Rows of `METRICS`; what every row has anyway, such as its seconds, needs no measuring.
        clip: The folder of the CLIP that is asked; the embedded one if None.
        dino: The name of the DINO.
    """
    load: dict[str, Callable[[], object]] = {
        "clip": lambda: Clip.load() if clip is None else Clip.load(clip),
        "dino": lambda: Dino.load(dino),
        "judges": Judges.load,
        "lpips": lambda: Lpips("alex"),
        "published lpips": lambda: Lpips(LPIPS_NETWORK),
    }
    networks: dict[str, object] = {}
    measures: dict[str, Measure] = {}
    for name in names:
        metric = METRICS[name]
        if not metric.path:
            continue
        for asked in metric.asks.values():
            if asked not in networks:
                networks[asked] = load[asked]()
        given = {key: named(value) if ":" in str(value) else value for key, value in metric.given.items()}
        asks = {key: networks[asked] for key, asked in metric.asks.items()}
        measures[name] = partial(named(metric.path), **given, **asks)
    return measures


def against(
    outcome: Outcome,
    *,
    figure: Figure,
    to: Literal["source", "truth", "source prompt", "target prompt"] = "source",
    where: Literal["everywhere", "outside", "edit"] = "everywhere",
    scale: str = "",
    **networks: Any,  # noqa: ANN401  what the figure asks
) -> float | Missing:
    """A figure of the image beside the source, the true edit or a prompt, over all of it or a part.

    `scale` names the published figure as whose table it is scaled.
    """
    case = outcome.case
    other = {
        "source": outcome.image.pixels,
        "truth": outcome.truth,
        "source prompt": case.source,
        "target prompt": case.target,
    }[to]
    if other is None:
        return NO_TRUTH
    changed = outcome.changed
    if where == "everywhere":
        found = figure(outcome.output, other, **networks)
    elif changed is None:
        return NO_MASK
    else:
        found = figure(outcome.output, other, changed if where == "edit" else ~changed, **networks)
    return found if isinstance(found, Missing) or not scale else SCALES[scale] * found


def directional(outcome: Outcome, *, clip: ImagesAndTexts) -> float | Missing:
    """CLIP's similarity of the change of the image and the change of the prompt."""
    case = outcome.case
    return clip_directional_similarity(outcome.image.pixels, outcome.output, case.source, case.target, clip=clip)


def success(outcome: Outcome, *, judges: Judges) -> float | Missing:
    """Whether the judges read the new words, 1 or 0."""
    words = outcome.case.words
    if not words:
        return NO_WORDS
    (read,) = judges.read(outcome.output)
    return float(all(read[head] == word for head, word in words.items()))


def mask_iou(outcome: Outcome) -> float | Missing:
    """How far the method's mask is the part that the true edit changes: their intersection over their union."""
    if outcome.mask is None:
        return NO_OWN_MASK
    return NO_MASK if outcome.changed is None else intersection_over_union(outcome.mask, outcome.changed)


def bound(outcome: Outcome) -> float:
    """PSNR of the source through the autoencoder and back, decibels."""
    return outcome.inversion.scores.vae_psnr


def gap_to_vae(outcome: Outcome) -> float:
    """How far the reconstruction stays below that; of an edit, the reconstruction from its inversion."""
    scores = outcome.inversion.scores
    return scores.vae_psnr - (scores.psnr if outcome.edited else psnr(outcome.output, outcome.image.pixels))


def evaluations(outcome: Outcome) -> float:
    """Evaluations of the network that the inversion took, forwards and backwards."""
    return float(outcome.inverted.forwards + outcome.inverted.backwards)


def of_noise(outcome: Outcome, *, statistic: Callable[[Latents], torch.Tensor]) -> float:
    """A statistic of z_T, where the inversion ends and editing begins."""
    return statistic(outcome.inversion.pivot[:1]).item()


def kurtosis(z: Latents) -> torch.Tensor:
    """The fourth moment over the squared second: 3 for Gaussian noise."""
    centred = z - z.mean()
    return centred.pow(4).mean() / centred.square().mean().square()


def correlation(z: Latents) -> torch.Tensor:
    """The mean correlation of cells with their neighbours to the right and below, channel by channel: 0 for noise."""
    centred = functional.layer_norm(z, z.shape[-2:])  # of every channel, to mean 0 and variance 1
    right = (centred[..., :, 1:] * centred[..., :, :-1]).mean()
    below = (centred[..., 1:, :] * centred[..., :-1, :]).mean()
    return (right + below) / 2
