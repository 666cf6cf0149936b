"""How fast null-text inversion is beside the published code, and beside what the arithmetic allows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean, median

import torch

from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.bench.cost import NO_EARLY_STOP, Cost, mean_of, measured, measured_batch
from nulltext.bench.speed.arithmetic import called, flops, product_rate
from nulltext.bench.speed.figures import (
    DIRECT,
    PARITY,
    TRANSCRIPTION,
    Growth,
    Ratio,
    SpeedFigures,
    Way,
    in_batches,
    plot,
)
from nulltext.bench.speed.transcription import Transcription
from nulltext.bench.study import Setting
from nulltext.files import write_file
from nulltext.images import SourceImage
from nulltext.inversion.many import inverting
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.stopping import PUBLISHED, DescentSchedule
from nulltext.metrics import psnr
from nulltext.models.base import Model
from nulltext.models.compiling import is_compiled
from nulltext.models.precision import precision_of
from nulltext.progress import OnProgress, Progress, silent

BASE = (10, 5, 1, 1)
GROWTH = (
    BASE,
    *((t, 5, 1, 1) for t in (5, 20)),
    *((10, n, 1, 1) for n in (1, 10)),
    *((10, 5, side, 1) for side in (2, 3)),
    *((10, 5, 1, batch) for batch in (2, 4, 8, 16)),
)
"""Where the cost is measured: T, N, the side as a multiple of the model's own, images at once."""


def study(model: Model, setting: Setting) -> SpeedFigures:
    """`nulltext bench speed`; writes the drawing that it is asked for."""
    own = setting.own
    figures = measure_speed(
        model,
        rounds=setting.count(own["rounds"]),
        batch=setting.count(own["batch"]),
        steps=setting.steps,
        inner_steps=setting.inner_steps,
        guidance=setting.weight(model),
        early_stop=own["early_stop"],
        grow=own["grow"],
        on_progress=setting.on_progress,
    )
    if own["output"] is not None and figures.growth:
        write_file(own["output"], plot(figures.growth).encode(), overwrite=own["force"])
    return figures


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
        rounds: How many rounds; each has another image, and the batches have them all.
        batch: Images at once, where there are several.
        steps: T.
        inner_steps: N.
        guidance: The guidance scale w.
        early_stop: Whether a step ends where its error is below the published tolerance.
        grow: Whether to measure how the cost grows, too.
        on_progress: Called for every run.
    """
    descent: DescentSchedule = PUBLISHED if early_stop else NO_EARLY_STOP
    scenes = [scene_image(scene, model) for scene in held_out_scenes(max(rounds, batch))]
    null_text = NullText(steps=steps, inner_steps=inner_steps, guidance=guidance, descent=descent)
    direct = DirectInversion(steps=steps, guidance=guidance)
    ours = {PARITY: null_text, DIRECT: direct}
    published = Transcription.of(model, steps=steps, inner_steps=inner_steps, guidance=guidance, descent=descent)
    runs: dict[str, list[tuple[Cost, float]]] = {}
    total = rounds * (1 + 2 * len(ours))
    on_progress(Progress("measure", 0, total))
    timings = _timings(model, published, ours, scenes, rounds=rounds, batch=batch)
    for done, (way, cost, score) in enumerate(timings, start=1):
        runs.setdefault(way, []).append((cost, score))
        on_progress(Progress("measure", done, total))
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


def _timings(
    model: Model,
    published: Transcription,
    ours: Mapping[str, NullText | DirectInversion],
    scenes: Sequence[tuple[SourceImage, str]],
    *,
    rounds: int,
    batch: int,
) -> Iterator[tuple[str, Cost, float]]:
    """Every way in every round: what it is called, what an image costs, and the PSNR that it reaches."""
    replace(published, steps=2, inner_steps=1)(*scenes[0])  # what the first use costs
    for inverter in ours.values():
        short = replace(inverter, steps=2)
        short(model, *scenes[0])
        measured_batch(model, [inverting(model, short, *scene) for scene in scenes[:batch]], batch)
    for image, prompt in scenes[:rounds]:
        z, cost = measured(model, partial(published, image, prompt), network=published.unet)
        yield TRANSCRIPTION, cost, psnr(model.decode(z).cpu(), image.pixels)
        for way, inverter in ours.items():
            inversion, cost = measured(model, partial(inverter, model, image, prompt))
            yield way, cost, inversion.scores.psnr
        for way, inverter in ours.items():
            works = [inverting(model, inverter, *scene) for scene in scenes[:batch]]
            inversions, costs = zip(*measured_batch(model, works, batch), strict=True)
            yield in_batches(way, batch), mean_of(costs), fmean(one.scores.psnr for one in inversions)


def growth(
    model: Model, guidance: float, settings: Sequence[tuple[int, int, int, int]] = GROWTH, rounds: int = 3
) -> list[Growth]:
    """The cost at several settings, one after another in each round.

    Args:
        model: The model.
        guidance: The guidance scale w.
        settings: T, N, the side as a multiple of the model's own, and how many images at once.
        rounds: How many.
    """
    height, width = model.default_size
    seconds = [list[float]() for _ in settings]
    peaks = [list[int]() for _ in settings]
    for _ in range(rounds):
        for number, (t, n, times, batch) in enumerate(settings):
            size = (height * times, width * times)
            scenes = [scene_image(scene, model, size=size) for scene in held_out_scenes(batch)]
            inverter = NullText(steps=t, inner_steps=n, guidance=guidance, descent=NO_EARLY_STOP)
            works = [inverting(model, inverter, *scene) for scene in scenes]
            costs = [cost for _, cost in measured_batch(model, works, batch)]
            seconds[number].append(sum(cost.seconds for cost in costs) / batch)
            peaks[number] += [peak for cost in costs if (peak := cost.peak) is not None]
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


def _way(runs: Sequence[tuple[Cost, float]]) -> Way:
    peaks = [cost.peak for cost, _ in runs if cost.peak is not None]
    return Way(
        seconds=[cost.seconds for cost, _ in runs],
        evaluations=fmean(cost.forwards + cost.backwards for cost, _ in runs),
        peak_bytes=max(peaks, default=None),
        psnr=fmean(score for _, score in runs),
    )


def _ratio(slow: Way, quick: Way) -> Ratio:
    ratios = [a / b for a, b in zip(slow.seconds, quick.seconds, strict=True)]
    return Ratio(ratio=median(slow.seconds) / median(quick.seconds), low=min(ratios), high=max(ratios))
