"""How fast null-text inversion is beside the published code, and beside what the arithmetic allows."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import Any, TypeVar, final

import torch
from torch.utils.flop_counter import FlopCounterMode

from nulltext.attention.uncompiled import uncompiled
from nulltext.bench.cost import Cost, measured, measured_together
from nulltext.bench.extras import extra
from nulltext.bench.pictures import held_out_scenes, scene_photo
from nulltext.bench.reconstruction import NO_EARLY_STOP
from nulltext.bench.report import svg
from nulltext.bench.transcription import Transcription
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.stopping import PUBLISHED, Constants
from nulltext.inversion.together import inverting
from nulltext.metrics import Missing, psnr
from nulltext.models.base import Model
from nulltext.models.compiling import is_compiled
from nulltext.models.precision import precision_of
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent

Result = TypeVar("Result")

TRANSCRIPTION, PARITY, DIRECT = "transcription", "null-text", "direct inversion"
BASE = (10, 5, 1, 1)
GROWTH = (
    BASE,
    *((t, 5, 1, 1) for t in (5, 20)),
    *((10, n, 1, 1) for n in (1, 10)),
    *((10, 5, side, 1) for side in (2, 3)),
    *((10, 5, 1, batch) for batch in (2, 4, 8, 16)),
)
"""Where the cost is measured: T, N, the side as a multiple of the model's own, pictures at once."""


@final
@dataclass(frozen=True, kw_only=True)
class Way:
    """What one way to invert costs, for a picture.

    Attributes:
        seconds: In each round.
        evaluations: Of the network, forwards and backwards, in the mean.
        peak_bytes: The most memory of any round, see `nulltext.bench.cost.Cost`; None where it is not known.
        psnr: Of the reconstruction, decibels, in the mean over the rounds' pictures.
    """

    seconds: Sequence[float]
    evaluations: float
    peak_bytes: int | None
    psnr: float


@final
@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster than the transcription.

    Attributes:
        ratio: Of the medians.
        low, high: The least and the most of the ratios of single rounds.
    """

    ratio: float
    low: float
    high: float


@final
@dataclass(frozen=True, kw_only=True)
class Growth:
    """What a picture costs at one setting, without early stop.

    Attributes:
        steps: T.
        inner_steps: N.
        side: Pixels on a side.
        batch: Pictures at once.
        seconds: For a picture, the median of the rounds.
        peak_bytes: The most of any round, see `nulltext.bench.cost.Cost`.
    """

    steps: int
    inner_steps: int
    side: int
    batch: int
    seconds: float
    peak_bytes: int | None


@final
@dataclass(frozen=True, kw_only=True)
class SpeedFigures:
    """What `nulltext bench speed` measures.

    Attributes:
        ways: By name: the transcription, null-text inversion, direct inversion, and the last two in batches.
        ratios: Of each way but the transcription.
        batch: How many pictures a batch has.
        tera_flop: What null-text inversion of one picture needs, from the evaluations that it made.
        product_rate: Of a product of matrices in the model's precision, TFLOP a second, in the same run.
        floor_share: What of that rate null-text inversion in a batch reaches.
        growth: The cost by T, N, side and batch.
        guidance: The weight w.
        device: Where.
        dtype: The network's precision, see `nulltext.models.precision.precision_of`.
        compiled: Whether the network is compiled; the transcription's never is.
        threads: Of the CPU.
    """

    ways: Mapping[str, Way]
    ratios: Mapping[str, Ratio]
    batch: int
    tera_flop: float
    product_rate: float
    floor_share: float
    growth: Sequence[Growth]
    guidance: float
    device: str
    dtype: str
    compiled: bool
    threads: int

    def record(self) -> dict[str, Any]:
        """The figures for JSON, the chief ones first and by name."""
        batched = f"batch{self.batch}"
        published = self.ways[TRANSCRIPTION].psnr
        return {
            "parity_ratio": self.ratios[PARITY].ratio,
            "parity_psnr_delta_db": self.ways[PARITY].psnr - published,
            f"{batched}_ratio": self.ratios[in_batches(PARITY, self.batch)].ratio,
            "fast_ratio": self.ratios[DIRECT].ratio,
            f"fast_{batched}_ratio": self.ratios[in_batches(DIRECT, self.batch)].ratio,
            "fast_psnr_delta_db": self.ways[DIRECT].psnr - published,
            "floor_share": self.floor_share,
            **asdict(self),
        }


def in_batches(way: str, batch: int) -> str:
    """What a way is called where so many pictures share a batch."""
    return f"{way}, batches of {batch}"


def measure_speed(
    model: Model,
    *,
    rounds: int = 5,
    batch: int = 8,
    steps: int = 50,
    inner_steps: int = 10,
    guidance: float = 7.5,
    early_stop: bool = True,
    grow: bool = True,
    on_progress: OnProgress = silent,
) -> SpeedFigures:
    """Inverts the same scenes in every way, one way after another in each round, and takes the time.

    Args:
        model: The model.
        rounds: How many rounds; each has another picture, and the batches have them all.
        batch: Pictures at once, where there are several.
        steps: T.
        inner_steps: N.
        guidance: The weight w.
        early_stop: Whether a step ends where its error is below the published tolerance.
        grow: Whether to measure how the cost grows, too.
        on_progress: Told of every run.
    """
    constants: Constants = PUBLISHED if early_stop else NO_EARLY_STOP
    scenes = [scene_photo(scene, model) for scene in held_out_scenes(max(rounds, batch))]
    null_text = NullText(steps=steps, inner_steps=inner_steps, guidance=guidance, constants=constants)
    direct = DirectInversion(steps=steps, guidance=guidance)
    ours = {PARITY: null_text, DIRECT: direct}
    published = Transcription.of(model, steps=steps, inner_steps=inner_steps, guidance=guidance, constants=constants)
    runs: dict[str, list[tuple[Cost, float]]] = {}
    total, done = rounds * (1 + 2 * len(ours)), 0

    def record(way: str, cost: Cost, score: float) -> None:
        nonlocal done
        done += 1
        runs.setdefault(way, []).append((cost, score))
        on_progress(Progress("measure", done, total))

    on_progress(Progress("measure", done, total))
    for inverter in (replace(null_text, steps=2, inner_steps=1), replace(direct, steps=2)):  # what the first use costs
        inverter(model, *scenes[0])
        measured_together(model, [inverting(model, inverter, *scene) for scene in scenes[:batch]], batch)
    replace(published, steps=2, inner_steps=1)(*scenes[0])
    for number in range(rounds):
        photo, caption = scenes[number]
        z, cost = _measured_network(model, published, photo, caption)
        record(TRANSCRIPTION, cost, psnr(model.decode(z).cpu(), photo.pixels))
        for way, inverter in ours.items():
            inversion, cost = measured(model, partial(inverter, model, photo, caption))
            record(way, cost, inversion.scores.psnr)
        for way, inverter in ours.items():
            works = [inverting(model, inverter, *scene) for scene in scenes[:batch]]
            inversions, costs = zip(*measured_together(model, works, batch), strict=True)
            each = Cost(
                forwards=round(fmean(one.forwards for one in costs)),
                backwards=round(fmean(one.backwards for one in costs)),
                seconds=sum(one.seconds for one in costs) / batch,
                peak_bytes=costs[0].peak_bytes,
            )
            record(in_batches(way, batch), each, fmean(one.scores.psnr for one in inversions))
    ways = {way: _way(made) for way, made in runs.items()}
    forward, backward = flops(model)
    batched = runs[in_batches(PARITY, batch)]
    tera_flop = fmean(cost.forwards * forward + cost.backwards * backward for cost, _ in batched) / 1e12
    rate = product_rate(model)
    return SpeedFigures(
        ways=ways,
        ratios={way: _ratio(ways[TRANSCRIPTION], one) for way, one in ways.items() if way != TRANSCRIPTION},
        batch=batch,
        tera_flop=tera_flop,
        product_rate=rate,
        floor_share=tera_flop / rate / median(ways[in_batches(PARITY, batch)].seconds),
        growth=growth(model, guidance) if grow else [],
        guidance=guidance,
        device=called(model.device),
        dtype=precision_of(model),
        compiled=is_compiled(model),
        threads=torch.get_num_threads(),
    )


def called(device: torch.device) -> str:
    """What a device is called: the GPU's own name, or where it is."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def flops(model: Model) -> tuple[float, float]:
    """The operations of one evaluation of the network at the model's own size: forward, and back to the embedding."""
    height, width = model.default_size
    x = torch.zeros(1, model.latent_channels, height // model.scale, width // model.scale, device=model.device)
    text = model.embed([""]).requires_grad_()
    with uncompiled(model.denoiser), FlopCounterMode(display=False) as counter:
        output = model.predict(x, 1, text)
        forward = counter.get_total_flops()
        output.sum().backward()
        return float(forward), float(counter.get_total_flops() - forward)


def product_rate(model: Model, *, runs: int = 5) -> float:
    """The median rate of a product of square matrices, in the precision and on the device of a model; TFLOP/s."""
    side = 1024 if model.device.type == "cpu" else 8192
    a = torch.randn(side, side).to(model.device, model.dtype)
    rates: list[float] = []
    for _ in range(runs + 1):
        _wait(model)
        start = time.perf_counter()
        for _ in range(4):
            torch.mm(a, a)
        _wait(model)
        rates.append(4 * 2 * side**3 / (time.perf_counter() - start) / 1e12)
    return median(rates[1:])


def growth(
    model: Model, guidance: float, settings: Sequence[tuple[int, int, int, int]] = GROWTH, rounds: int = 3
) -> list[Growth]:
    """The cost at several settings, one after another in each round.

    Args:
        model: The model.
        guidance: The weight w.
        settings: T, N, the side as a multiple of the model's own, and how many pictures at once.
        rounds: How many.
    """
    height, width = model.default_size
    seconds = [list[float]() for _ in settings]
    peaks = [list[int]() for _ in settings]
    for _ in range(rounds):
        for number, (t, n, times, batch) in enumerate(settings):
            size = (height * times, width * times)
            scenes = [scene_photo(scene, model, size=size) for scene in held_out_scenes(batch)]
            inverter: Inverter = NullText(steps=t, inner_steps=n, guidance=guidance, constants=NO_EARLY_STOP)
            works = [inverting(model, inverter, *scene) for scene in scenes]
            costs = [cost for _, cost in measured_together(model, works, batch)]
            seconds[number].append(sum(cost.seconds for cost in costs) / batch)
            peaks[number] += [peak for cost in costs if (peak := _known(cost.peak_bytes)) is not None]
    return [
        Growth(
            steps=t,
            inner_steps=n,
            side=height * times,
            batch=batch,
            seconds=median(seconds[number]),
            peak_bytes=max(peaks[number], default=None),
        )
        for number, (t, n, times, batch) in enumerate(settings)
    ]


def plot(found: Sequence[Growth]) -> str:
    """Seconds a picture by T, N, side and batch; an SVG element."""
    figure = extra("matplotlib.figure").Figure(figsize=(11, 3), layout="constrained")
    base = found[0]
    for axes, (name, label) in zip(
        figure.subplots(1, 4, sharey=True),
        (("steps", "T"), ("inner_steps", "N"), ("side", "side, pixels"), ("batch", "pictures at once")),
        strict=True,
    ):
        others = {"steps", "inner_steps", "side", "batch"} - {name}
        line = [one for one in found if all(getattr(one, other) == getattr(base, other) for other in others)]
        line.sort(key=lambda one: getattr(one, name))
        axes.plot([getattr(one, name) for one in line], [one.seconds for one in line], marker="o")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    first = figure.axes[0]  # all share its scale
    first.set_ylim(0, 1.05 * max(one.seconds for one in found))
    first.set_ylabel("seconds a picture")
    return svg(figure)


def _measured_network(model: Model, published: Transcription, photo: Photo, caption: str) -> tuple[Any, Cost]:
    """The transcription has a network of its own: its evaluations are counted there."""
    return measured(model, lambda: published(photo, caption), network=published.unet)


def _way(runs: Sequence[tuple[Cost, float]]) -> Way:
    peaks = [known for cost, _ in runs if (known := _known(cost.peak_bytes)) is not None]
    return Way(
        seconds=[cost.seconds for cost, _ in runs],
        evaluations=fmean(cost.forwards + cost.backwards for cost, _ in runs),
        peak_bytes=max(peaks, default=None),
        psnr=fmean(score for _, score in runs),
    )


def _ratio(slow: Way, quick: Way) -> Ratio:
    ratios = [a / b for a, b in zip(slow.seconds, quick.seconds, strict=True)]
    return Ratio(ratio=median(slow.seconds) / median(quick.seconds), low=min(ratios), high=max(ratios))


def _known(peak: int | Missing) -> int | None:
    return None if isinstance(peak, Missing) else peak


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
