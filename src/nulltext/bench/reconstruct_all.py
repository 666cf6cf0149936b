"""One photograph through everything the paper's figure of reconstructions compares."""

import time
from dataclasses import dataclass

from nulltext.images import SourceImage
from nulltext.inversion.base import Inversion
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.reconstruct import reconstruct
from nulltext.metrics import psnr
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent
from nulltext.types import Pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What the autoencoder alone, plain DDIM and null-text inversion leave of one photograph.

    Attributes:
        inversion: The null-text inversion.
        seconds: What making it took.
        vae: [1, 3, H, W] in [-1, 1] the photograph through the autoencoder and back: the bound.
        ddim: [1, 3, H, W] plain DDIM inversion, reconstructed without guidance (w = 1).
        ddim_guided: [1, 3, H, W] the same, reconstructed at the inversion's guidance.
        nulltext: [1, 3, H, W] reconstructed at that guidance with the optimised null embeddings.
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
    model: Model, image: SourceImage, prompt: str, inverter: NullText | None = None, on_progress: OnProgress = silent
) -> Comparison:
    """Inverts a photograph, by default with the settings of `NullText`, and reconstructs it in every way.

    Raises:
        PromptError: The prompt is empty, too long, or has an unknown word.
        DivergedError: Numbers became infinite or not-a-number.
    """
    start = time.perf_counter()
    inversion = (inverter or NullText())(model, image, prompt, on_progress)
    seconds = time.perf_counter() - start
    plain = DDIM(steps=len(inversion.schedule))(model, image, prompt, on_progress)
    vae = model.decode(model.encode(image.pixels)).cpu()
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
        vae_db=psnr(image.pixels, vae),
        ddim_db=psnr(image.pixels, ddim),
        ddim_guided_db=psnr(image.pixels, ddim_guided),
        nulltext_db=psnr(image.pixels, nulltext),
    )
