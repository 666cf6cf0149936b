"""One photograph through everything the paper's figure of reconstructions compares."""

import time
from dataclasses import dataclass, replace

from nulltext.inversion.base import Inversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.reconstruct import reconstruct
from nulltext.inversion.replay import Replay
from nulltext.metrics import psnr
from nulltext.models.base import Model
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, silent
from nulltext.types import Pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What the autoencoder alone, plain DDIM and null-text inversion leave of one photograph.

    Attributes:
        inversion: The null-text inversion.
        seconds: What making it took.
        vae: [1, 3, H, W] in [-1, 1] the photograph through the autoencoder and back: the bound.
        ddim: [1, 3, H, W] plain DDIM inversion, drawn again without guidance (w = 1).
        ddim_guided: [1, 3, H, W] the same, drawn again at the inversion's guidance.
        nulltext: [1, 3, H, W] drawn again at that guidance with the optimised null embeddings.
        vae_db, ddim_db, ddim_guided_db, nulltext_db: Their PSNR against the photograph, decibels.
    """

    inversion: Inversion
    seconds: float
    vae: Pixels
    ddim: Pixels
    ddim_guided: Pixels
    nulltext: Pixels
    vae_db: float
    ddim_db: float
    ddim_guided_db: float
    nulltext_db: float


def compare(
    model: Model, photo: Photo, caption: str, inverter: NullText | None = None, on_progress: OnProgress = silent
) -> Comparison:
    """Inverts a photograph and draws it again in every way.

    Null-text inversion begins with a plain DDIM inversion; without its null embeddings, its file *is* that inversion.

    Args:
        model: The model.
        photo: The photograph, fitted to the model.
        caption: What it shows.
        inverter: The null-text inversion and its settings; the defaults if None.
        on_progress: Told of every step.

    Raises:
        CaptionError: The caption is empty, too long, or has an unknown word.
        DivergedError: Numbers became infinite or not-a-number.
    """
    start = time.perf_counter()
    inversion = (inverter or NullText())(model, photo, caption, on_progress)
    seconds = time.perf_counter() - start
    plain = replace(inversion, replay=Replay())
    vae = model.decode(model.encode(photo.pixels)).cpu()
    ddim = reconstruct(model, plain, 1.0, on_progress).cpu()
    ddim_guided = reconstruct(model, plain, inversion.guidance, on_progress).cpu()
    nulltext = reconstruct(model, inversion, None, on_progress).cpu()
    return Comparison(
        inversion=inversion,
        seconds=seconds,
        vae=vae,
        ddim=ddim,
        ddim_guided=ddim_guided,
        nulltext=nulltext,
        vae_db=psnr(photo.pixels, vae),
        ddim_db=psnr(photo.pixels, ddim),
        ddim_guided_db=psnr(photo.pixels, ddim_guided),
        nulltext_db=psnr(photo.pixels, nulltext),
    )
