"""How close null-text inversion comes to what the autoencoder allows, and how far plain DDIM stays from it."""

import time
from dataclasses import dataclass
from statistics import fmean

from nulltext.bench.compare import Comparison, compare
from nulltext.bench.pictures import held_out_scenes, photographs, scene_photo
from nulltext.inversion.null_text import Constants, NullText
from nulltext.models.base import Model
from nulltext.progress import OnProgress, numbered, silent

SCENES = 64

NO_EARLY_STOP = Constants(learning_rate=1e-2, decay=1e-2, tolerance=0.0, tolerance_growth=0.0)
"""The published constants, with a tolerance that no loss is below."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionFigures:
    """Means over pictures that the embedded model was not trained on.

    Attributes:
        vae_bound_db: PSNR of scenes through the autoencoder alone.
        nulltext_db: PSNR of null-text reconstructions at full guidance.
        ddim_guided_db: PSNR of plain DDIM reconstructions at full guidance.
        nulltext_gap_db: How far null-text stays below the bound.
        ddim_gap_db: How far plain DDIM stays below the bound.
        photo_gap_db: How far null-text stays below the bound on photographs.
        invert_seconds: One null-text inversion, every inner step taken and none saved by the early stop.
        pictures: How many scenes were measured.
        photos: How many photographs were measured.
        guidance: The weight w of all of it.
    """

    vae_bound_db: float
    nulltext_db: float
    ddim_guided_db: float
    nulltext_gap_db: float
    ddim_gap_db: float
    photo_gap_db: float
    invert_seconds: float
    pictures: int
    photos: int
    guidance: float


def measure_reconstruction(
    model: Model,
    *,
    limit: int | None = None,
    steps: int = 50,
    inner_steps: int = 10,
    guidance: float = 7.5,
    on_progress: OnProgress = silent,
) -> ReconstructionFigures:
    """Inverts held-out scenes and photographs, draws them again, and measures.

    Args:
        model: The model; it has to know the words of `scenes`.
        limit: At most so many scenes, and photographs; 64 scenes and 4 photographs if None.
        steps: T.
        inner_steps: N.
        guidance: The weight w.
        on_progress: Told of every step of every picture, numbered; the first is inverted once more than the others.

    Raises:
        SettingError: A setting is out of range, or scikit-image is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    inverter = NullText(steps=steps, inner_steps=inner_steps, guidance=guidance)
    photos = photographs(model)[:limit]
    scenes = [scene_photo(scene, model) for scene in held_out_scenes(SCENES if limit is None else min(limit, SCENES))]

    pictures = [*scenes, *photos]
    start = time.perf_counter()
    NullText(steps=steps, inner_steps=inner_steps, guidance=guidance, constants=NO_EARLY_STOP)(
        model, *scenes[0], numbered(on_progress, 1, len(pictures))
    )
    seconds = time.perf_counter() - start
    compared = [
        compare(model, photo, caption, inverter, numbered(on_progress, index, len(pictures)))
        for index, (photo, caption) in enumerate(pictures, start=1)
    ]
    of_scenes, of_photos = compared[: len(scenes)], compared[len(scenes) :]

    bound, ddim = fmean(each.vae_db for each in of_scenes), fmean(each.ddim_guided_db for each in of_scenes)
    return ReconstructionFigures(
        vae_bound_db=bound,
        nulltext_db=fmean(each.nulltext_db for each in of_scenes),
        ddim_guided_db=ddim,
        nulltext_gap_db=_gap(of_scenes),
        ddim_gap_db=bound - ddim,
        photo_gap_db=_gap(of_photos),
        invert_seconds=seconds,
        pictures=len(of_scenes),
        photos=len(of_photos),
        guidance=guidance,
    )


def _gap(comparisons: list[Comparison]) -> float:
    return fmean(each.vae_db - each.nulltext_db for each in comparisons)
