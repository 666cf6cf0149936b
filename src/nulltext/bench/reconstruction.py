"""How close null-text inversion comes to what the autoencoder allows, and how far plain DDIM stays from it."""

import time
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from nulltext.bench.compare import compare
from nulltext.bench.each import each
from nulltext.bench.pictures import held_out_scenes, photographs, scene_photo
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.stopping import Constants
from nulltext.models.base import Model
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, silent

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
    workers: int = 1,
    on_progress: OnProgress = silent,
) -> ReconstructionFigures:
    """Inverts held-out scenes and photographs, draws them again, and measures.

    Args:
        model: The model; it has to know the words of `scenes`.
        limit: At most so many scenes, and photographs; 64 scenes and 4 photographs if None.
        steps: T.
        inner_steps: N.
        guidance: The weight w.
        workers: How many pictures at a time; more than one needs a model on the CPU.
        on_progress: Told of every step of every picture, numbered, or with several workers of every picture.

    Raises:
        SettingError: A setting is out of range, or scikit-image is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    inverter = NullText(steps=steps, inner_steps=inner_steps, guidance=guidance)
    photos = photographs(model)[:limit]
    scenes = [scene_photo(scene, model) for scene in held_out_scenes(SCENES if limit is None else min(limit, SCENES))]

    start = time.perf_counter()
    NullText(steps=steps, inner_steps=inner_steps, guidance=guidance, constants=NO_EARLY_STOP)(
        model, *scenes[0], on_progress
    )
    seconds = time.perf_counter() - start
    measure = partial(_reconstruct, inverter=inverter)
    compared = each(model, [*scenes, *photos], measure, workers=workers, on_progress=on_progress)
    of_scenes, of_photos = compared[: len(scenes)], compared[len(scenes) :]

    bound, ddim = fmean(r.vae_db for r in of_scenes), fmean(r.ddim_guided_db for r in of_scenes)
    return ReconstructionFigures(
        vae_bound_db=bound,
        nulltext_db=fmean(r.nulltext_db for r in of_scenes),
        ddim_guided_db=ddim,
        nulltext_gap_db=_gap(of_scenes),
        ddim_gap_db=bound - ddim,
        photo_gap_db=_gap(of_photos),
        invert_seconds=seconds,
        pictures=len(of_scenes),
        photos=len(of_photos),
        guidance=guidance,
    )


@dataclass(frozen=True, kw_only=True)
class _Reconstructed:
    vae_db: float
    ddim_guided_db: float
    nulltext_db: float


def _reconstruct(
    model: Model, picture: tuple[Photo, str], on_progress: OnProgress, *, inverter: NullText
) -> _Reconstructed:
    compared = compare(model, *picture, inverter, on_progress)
    return _Reconstructed(
        vae_db=compared.vae_db, ddim_guided_db=compared.ddim_guided_db, nulltext_db=compared.nulltext_db
    )


def _gap(reconstructed: list[_Reconstructed]) -> float:
    return fmean(r.vae_db - r.nulltext_db for r in reconstructed)
