"""The figures that runs measure, each of one edited picture."""

from collections.abc import Mapping
from functools import partial

from nulltext.bench.candidates import Measure, Outcome
from nulltext.judges import Judges
from nulltext.metrics import (
    Missing,
    clip_directional_similarity,
    clip_image_similarity,
    clip_text_similarity,
    mse,
    psnr,
    structural_similarity,
    structure_distance,
)
from nulltext.metrics.clip import PicturesAndTexts
from nulltext.metrics.perceptual import Lpips
from nulltext.metrics.structure import KeysOfPictures

NO_TRUTH = Missing("the true edited picture is not known.")
NO_MASK = Missing("where the edit belongs is not known.")
NO_WORDS = Missing("which word must be seen is not known.")


def source_measures() -> Mapping[str, Measure]:
    """How much of the photograph is still there."""
    lpips = Lpips("alex")
    return {
        "psnr_source": _psnr_source,
        "ssim_source": _ssim_source,
        "lpips_source": partial(_lpips_source, lpips=lpips),
        "psnr_outside": _psnr_outside,
        "ssim_outside": _ssim_outside,
        "mse_outside": _mse_outside,
        "lpips_outside": partial(_lpips_outside, lpips=lpips),
    }


def truth_measures() -> Mapping[str, Measure]:
    """How near the true edited picture is; outside of the change, and everywhere."""
    return {"psnr_truth": _psnr_truth, "ssim_truth": _ssim_truth, "outside_truth": _outside_truth}


def clip_measures(clip: PicturesAndTexts) -> Mapping[str, Measure]:
    """What CLIP says.

    Args:
        clip: The CLIP to ask.
    """
    return {
        "clip_image_target": partial(_image_target, clip=clip),
        "clip_image_source": partial(_image_source, clip=clip),
        "clip_text_target": partial(_text_target, clip=clip),
        "clip_text_source": partial(_text_source, clip=clip),
        "clip_directional": partial(_directional, clip=clip),
    }


def success_measure(judges: Judges) -> Mapping[str, Measure]:
    """Whether the judges read the new words, 1 or 0.

    Args:
        judges: The judges.
    """
    return {"success": partial(_success, judges=judges)}


def structure_measure(dino: KeysOfPictures | Missing) -> Mapping[str, Measure]:
    """Whether the layout is the photograph's.

    Args:
        dino: The network that shows its keys, or why it is missing.
    """
    return {"structure_distance": partial(_structure, dino=dino)}


def _psnr_source(outcome: Outcome) -> float | Missing:
    return psnr(outcome.drawn, outcome.photo.pixels)


def _ssim_source(outcome: Outcome) -> float | Missing:
    return structural_similarity(outcome.drawn, outcome.photo.pixels)


def _lpips_source(outcome: Outcome, *, lpips: Lpips) -> float | Missing:
    return lpips(outcome.drawn, outcome.photo.pixels)


def _psnr_outside(outcome: Outcome) -> float | Missing:
    return NO_MASK if outcome.changed is None else psnr(outcome.drawn, outcome.photo.pixels, ~outcome.changed)


def _ssim_outside(outcome: Outcome) -> float | Missing:
    if outcome.changed is None:
        return NO_MASK
    return structural_similarity(outcome.drawn, outcome.photo.pixels, ~outcome.changed)


def _mse_outside(outcome: Outcome) -> float | Missing:
    return NO_MASK if outcome.changed is None else mse(outcome.drawn, outcome.photo.pixels, ~outcome.changed)


def _lpips_outside(outcome: Outcome, *, lpips: Lpips) -> float | Missing:
    return NO_MASK if outcome.changed is None else lpips(outcome.drawn, outcome.photo.pixels, ~outcome.changed)


def _psnr_truth(outcome: Outcome) -> float | Missing:
    return NO_TRUTH if outcome.truth is None else psnr(outcome.drawn, outcome.truth)


def _ssim_truth(outcome: Outcome) -> float | Missing:
    return NO_TRUTH if outcome.truth is None else structural_similarity(outcome.drawn, outcome.truth)


def _outside_truth(outcome: Outcome) -> float | Missing:
    if outcome.truth is None:
        return NO_TRUTH
    return NO_MASK if outcome.changed is None else psnr(outcome.drawn, outcome.truth, ~outcome.changed)


def _image_target(outcome: Outcome, *, clip: PicturesAndTexts) -> float | Missing:
    return NO_TRUTH if outcome.truth is None else clip_image_similarity(outcome.drawn, outcome.truth, clip=clip)


def _image_source(outcome: Outcome, *, clip: PicturesAndTexts) -> float | Missing:
    return clip_image_similarity(outcome.drawn, outcome.photo.pixels, clip=clip)


def _text_target(outcome: Outcome, *, clip: PicturesAndTexts) -> float | Missing:
    return clip_text_similarity(outcome.drawn, outcome.case.target, clip=clip)


def _text_source(outcome: Outcome, *, clip: PicturesAndTexts) -> float | Missing:
    return clip_text_similarity(outcome.drawn, outcome.case.source, clip=clip)


def _directional(outcome: Outcome, *, clip: PicturesAndTexts) -> float | Missing:
    case = outcome.case
    return clip_directional_similarity(outcome.photo.pixels, outcome.drawn, case.source, case.target, clip=clip)


def _success(outcome: Outcome, *, judges: Judges) -> float | Missing:
    words = outcome.case.words
    if not words:
        return NO_WORDS
    (read,) = judges.read(outcome.drawn)
    return float(all(read[head] == word for head, word in words.items()))


def _structure(outcome: Outcome, *, dino: KeysOfPictures | Missing) -> float | Missing:
    return structure_distance(outcome.drawn, outcome.photo.pixels, dino=dino)
