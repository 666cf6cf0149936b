"""What the work makes, as the page and the API show it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

from PIL import Image

from nulltext.editing.table import EDITOR
from nulltext.models.recommended import Recommended
from nulltext.web.requests import EditRequest, InversionRequest

UNSEEN, SMALL = 1.0, 3.0
"""Up to so many decibels below the autoencoder alone a loss is not seen, or only in small details."""
ALIKE = 40.0
"""The decibels from which on two images look alike: the bound of a model of pixels, whose own is infinite."""


class Origin(NamedTuple):
    """Where an inversion comes from: what an edit of it has to know, and no more, as it may wait for long.

    Attributes:
        request: How it was asked for.
        name: What the image's file was called.
        opened: Whether it is an inversion that was kept, and not one made here.
    """

    request: InversionRequest
    name: str
    opened: bool


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Inverted:
    """An inversion, for the person who asked for it.

    Attributes:
        number: The inversion file's.
        request: What was asked for.
        recommended: What the model recommends for edits of it.
        name: What the image's file was called.
        opened: Whether it is an inversion that was kept, and not one made here.
        size: (height, width) of the photograph, upright.
        fitted: (height, width) of the image that the model works on.
        source: The fitted photograph in its surroundings, to look at.
        reconstruction: Drawn again from the inversion, likewise.
        psnr: Of the reconstruction, decibels.
        vae_psnr: Of the autoencoder alone, the bound.
        losses: The objective at each step, where the method has one.
        seconds: What it took; 0 if it was here already.
        warning: That the model was not made for the size, in a sentence; nothing if it was.
    """

    number: str
    request: InversionRequest
    recommended: Recommended
    name: str
    opened: bool
    size: tuple[int, int]
    fitted: tuple[int, int]
    source: Image.Image
    reconstruction: Image.Image
    psnr: float
    vae_psnr: float
    losses: tuple[float, ...]
    seconds: float
    warning: str = ""

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return Origin(self.request, self.name, self.opened)

    @property
    def verdict(self) -> str:
        """Whether it is good enough to edit, in a sentence."""
        exact = math.isinf(self.vae_psnr)
        gap = (ALIKE if exact else self.vae_psnr) - self.psnr
        bound = f" of at most {self.vae_psnr:.1f} dB that this model's autoencoder allows"
        figures = f"{self.psnr:.1f} dB{', where no autoencoder loses anything' if exact else bound}"
        if gap <= UNSEEN:
            return f"Very good: the image comes back as well as it can ({figures}). Edit away."
        if gap <= SMALL:
            return f"Good enough to edit: small details are lost ({figures})."
        return (
            f"Not good enough: the image drifts when it is reconstructed ({figures}). Take the method direct or "
            "null-text, or a prompt that describes the image better."
        )

    def why(self, name: str) -> str:
        """What a setting of edits, "cross" or "self_share", is if none is given, and where that comes from."""
        return self.recommended.why(
            {"cross": "cross_attention", "self_share": "self_attention"}[name], self.request.model
        )

    def record(self) -> Mapping[str, object]:
        """The result for JSON."""
        return {
            "inversion": self.number, "method": self.request.method,
            "psnr": self.psnr, "vae_psnr": self.vae_psnr, "seconds": self.seconds, "warning": self.warning,
            "verdict": self.verdict, "recommended": {name: self.why(name) for name in ("cross", "self_share")},
        }  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Edited:
    """An edit, or one in several strengths.

    Attributes:
        requests: What was asked for, one for every image.
        images: The images, to look at.
        numbers: Their files, of the photograph's size.
        masks: The files of painted masks, each with the name that the code calls it by.
        source: The source beside them, to look at.
        python: For each of them a script that makes it.
        shell: Commands that do.
        settings: For each of them what was in force, as JSON has it.
        seconds: What it took.
    """

    requests: tuple[EditRequest, ...]
    images: tuple[Image.Image, ...]
    numbers: tuple[str, ...]
    masks: tuple[tuple[str, str], ...]
    source: Image.Image
    python: tuple[str, ...]
    shell: tuple[str, ...]
    settings: tuple[Mapping[str, object], ...]
    seconds: float

    def record(self) -> Mapping[str, object]:
        """The result for JSON."""
        return {
            "images": list(self.numbers), "python": list(self.python), "shell": list(self.shell),
            "editor": self.requests[-1].editor,
            "settings": [
                {"cross": one.cross, "self_share": one.self_share} if one.editor == EDITOR else its
                for one, its in zip(self.requests, self.settings, strict=True)
            ],
            "seconds": self.seconds,
        }  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Insight:
    """What can be seen inside of an inversion.

    Attributes:
        maps: Where each word of the prompt looks, over the image.
        strip: The trajectory from noise to image.
        losses: The objective at each step of the optimisation; empty if the method has none, or the file does not say.
    """

    maps: Mapping[str, Image.Image]
    strip: Image.Image
    losses: tuple[float, ...]
