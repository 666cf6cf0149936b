"""What tells a prompt that describes an image from one that does not, and an image that a model can show from another.

The app's verdict on an inversion has thresholds; they are chosen here, on held-out scenes. A threshold lies where false
alarms and misses are fewest together, in the middle between the figures on both sides of it.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Final, final

import torch
from torch.nn import functional

from nulltext.bench.cases.scenes import photographs, scene_image
from nulltext.bench.result import Result, Sheet
from nulltext.bench.study import Setting
from nulltext.editing.agreement import agreement, content_words, peak
from nulltext.editing.maps import attention_maps
from nulltext.images import SourceImage
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.judges import Judges
from nulltext.metrics import psnr
from nulltext.models.base import Model
from nulltext.progress import Progress
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene
from nulltext.types import OnePixels

SCENES: Final = 24
FIRST: Final = 40_000
"""The first held-out seed, apart from those of the other measurements."""
RIGHT, NOUN, COLOUR, OTHER = "right", "wrong noun", "wrong colour", "another scene's"
WRONG: Final = (NOUN, COLOUR, OTHER)
COSINE, RIVAL, WITHOUT, PEAK = "CLIP's cosine", "margin over rivals", "margin without a word", "lowest peak of a map"
OWN, FOREIGN, READ, MISREAD = "the model's world", "finer than it", "read the same", "read otherwise"
NOISES: Final = (0.0, 0.1, 0.2, 0.4, 0.6)
"""Noise laid over scenes, of a range of 2: less and less is left of them after the autoencoder."""


@final
@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Where a figure is cut: what is less raises an alarm.

    Attributes:
        value: The threshold.
        false_alarms: The share of what is right that lies below it.
        misses: The share of what is wrong that does not, by kind.
    """

    value: float
    false_alarms: float
    misses: Mapping[str, float]

    @property
    def error(self) -> float:
        """The mean of false alarms and misses, each kind of wrong counting alike."""
        return (self.false_alarms + fmean(self.misses.values())) / 2


def threshold(figures: Mapping[str, Sequence[float]], right: str) -> Threshold:
    """The threshold with the fewest errors.

    Args:
        figures: The values by kind.
        right: The kind that should lie above it.
    """
    places = sorted({value for values in figures.values() for value in values})
    gaps = [((low + high) / 2, high - low) for low, high in pairwise(places)] or [(places[0], 0.0)]
    cuts = [(cut(figures, right, middle), width) for middle, width in gaps]
    return min(cuts, key=lambda each: (each[0].error, -each[1]))[0]  # of equals the one with most room


def cut(figures: Mapping[str, Sequence[float]], right: str, value: float) -> Threshold:
    """The errors of a threshold."""
    below = {kind: fmean(each < value for each in values) for kind, values in figures.items()}
    misses = {kind: 1 - share for kind, share in below.items() if kind != right}
    return Threshold(value=value, false_alarms=below[right], misses=misses)


@final
@dataclass(frozen=True, kw_only=True)
class VerdictFigures(Result):
    """What `nulltext bench verdict` prints.

    Attributes:
        pictures: Scenes measured.
        prompts: By what is compared, the figures of each kind of prompt.
        faithful: The autoencoder alone, dB, on scenes and on what is finer than those.
        readable: The same, where the judges read the same after it, and where they do not.
    """

    pictures: int
    prompts: Mapping[str, Mapping[str, Sequence[float]]]
    faithful: Mapping[str, Sequence[float]]
    readable: Mapping[str, Sequence[float]]

    @property
    def low_peak(self) -> float:
        """What the lowest peaks of one right prompt in twenty are less than: maps that look everywhere as none else."""
        return float(torch.tensor(self.prompts[PEAK][RIGHT]).quantile(0.05))

    def thresholds(self) -> dict[str, Threshold]:
        """The best threshold of each figure for which there is something on both sides."""
        found = {name: threshold(figures, RIGHT) for name, figures in self.prompts.items() if figures}
        for name, figures, right in (("faithful", self.faithful, OWN), ("readable", self.readable, READ)):
            if len(figures) > 1:
                found[name] = threshold(figures, right)
        return found

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self),
            "low_peak": self.low_peak,
            "thresholds": {name: asdict(each) | {"error": each.error} for name, each in self.thresholds().items()},
        }

    def shown(self) -> Iterator[Sheet | str]:
        """The thresholds with their errors."""
        found = self.thresholds()
        rows = [
            [name, f"{each.value:.3f}", f"{each.false_alarms:.1%}", *(f"{each.misses[kind]:.1%}" for kind in WRONG)]
            for name in self.prompts
            if (each := found.get(name))
        ]
        title = f"Prompts of {self.pictures} held-out scenes: an alarm where the figure is less"
        headings = ["", "threshold", "false alarms", *(f"missed, {kind}" for kind in WRONG)]
        yield Sheet(title=title, headings=headings, rows=rows)
        yield f"One right prompt of twenty has a word whose map's peak is less than {self.low_peak:.2f}."
        rows = [
            [f"{right}, or {wrong}", f"{each.value:.1f}", f"{each.false_alarms:.1%}", f"{each.misses[wrong]:.1%}"]
            for name, right, wrong in (("faithful", OWN, FOREIGN), ("readable", READ, MISREAD))
            if (each := found.get(name))
        ]
        title = "The autoencoder alone, dB: an alarm where it is less"
        yield Sheet(title=title, headings=["", "threshold", "false alarms", "missed"], rows=rows)


def study(model: Model, setting: Setting) -> VerdictFigures:
    """`nulltext bench verdict`."""
    count = setting.count(SCENES)
    scenes = [sample_scene(HELD_OUT_SEEDS[FIRST + number]) for number in range(count + 1)]
    images = [scene_image(scene, model)[0] for scene in scenes]
    samples: dict[str, dict[str, list[float]]] = {COSINE: {}, RIVAL: {}, WITHOUT: {}, PEAK: {}}
    for number, scene in enumerate(scenes[:count]):
        for kind, prompt in prompts_of(scene, scenes[number + 1], FIRST + number).items():
            for name, value in figures(model, images[number], prompt, setting.steps).items():
                samples[name].setdefault(kind, []).append(value)
        setting.on_progress(Progress("sample", number + 1, count))
    return VerdictFigures(
        pictures=count, prompts=samples, faithful=_faithful(model, images), readable=_readable(model, images[:count])
    )


def prompts_of(scene: Scene, other: Scene, seed: int) -> dict[str, str]:
    """A prompt that describes a scene, and three that do not; which wrong word it is, is random by the seed."""
    draw = random.Random(seed)  # noqa: S311  a choice of words, not a secret
    edits = list(one_word_edits(scene))
    noun, colour = (draw.choice([after for kind, after in edits if kind == name]) for name in ("shape", "color"))
    return {RIGHT: caption(scene), NOUN: caption(noun), COLOUR: caption(colour), OTHER: caption(other)}


def figures(model: Model, image: SourceImage, prompt: str, steps: int) -> dict[str, float]:
    """All that may tell whether a prompt describes an image; higher is surer. What a model cannot say is left out."""
    found: dict[str, float] = {}
    by_rivals, by_leaving_out = (agreement(model, image.pixels, prompt, known=known) for known in (True, False))
    if by_rivals is not None and by_leaving_out is not None:
        found |= {COSINE: by_rivals.cosine, RIVAL: by_rivals.margin, WITHOUT: by_leaving_out.margin}
    maps = attention_maps(model, DirectInversion(steps=steps)(model, image, prompt))
    return {**found, PEAK: min(peak(maps, word) for word in content_words(prompt))}


def _bound(model: Model, pixels: OnePixels) -> tuple[float, OnePixels]:
    """The PSNR of an image after the autoencoder alone, and what that leaves."""
    after = model.decode(model.encode(pixels.to(model.device))).cpu()
    return psnr(after, pixels), after


def _faithful(model: Model, images: Sequence[SourceImage]) -> dict[str, list[float]]:
    """Of scenes as they are, and of four in one image and photographs, whose detail is finer than theirs."""
    fours = [images[at : at + 4] for at in range(0, len(images) - 3, 4)]
    finer = [_four([image.pixels for image in four]) for four in fours]
    finer += [image.pixels for image, _ in photographs(model)]
    own = [_bound(model, image.pixels)[0] for image in images]
    return {OWN: own, FOREIGN: [_bound(model, each)[0] for each in finer]}


def _four(pixels: Sequence[OnePixels]) -> OnePixels:
    half = [functional.interpolate(each, scale_factor=0.5, mode="bilinear", antialias=True) for each in pixels]
    return torch.cat([torch.cat(half[:2], 3), torch.cat(half[2:], 3)], 2)


def _readable(model: Model, images: Sequence[SourceImage]) -> dict[str, list[float]]:
    """By whether the judges read of scenes, under more and more noise, the same after the autoencoder as before."""
    judges, found = Judges.load(), dict[str, list[float]]()
    draw = torch.Generator().manual_seed(0)
    for image in images:
        for noise in NOISES:
            before = (image.pixels + noise * torch.randn(image.pixels.shape, generator=draw)).clamp(-1, 1)
            decibels, after = _bound(model, before)
            first, second = judges.read(torch.cat([before, after]))
            same = all(first[head] == second[head] for head in ("shape", "color", "ground"))
            found.setdefault(READ if same else MISREAD, []).append(decibels)
    return found
