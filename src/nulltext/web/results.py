"""What the work makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from PIL import Image

from nulltext.images import to_pixels
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model
from nulltext.models.recommended import Recommended
from nulltext.models.sizes import warning_of
from nulltext.types import OnePixels
from nulltext.web.opening import thumbnail
from nulltext.web.requests import EditRequest, InversionRequest


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

    def why(self, name: str) -> str:
        """What a setting of edits, "cross" or "self_share", is if none is given, and where that comes from."""
        return self.recommended.why(
            {"cross": "cross_attention", "self_share": "self_attention"}[name], self.request.model
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Edited:
    """An edit, or one in several strengths.

    Attributes:
        requests: What was asked for, one for every image.
        images: The images, to look at.
        numbers: Their files, of the photograph's size.
        masks: The masks of the chain, each with the name that the code calls it by.
        python: For each of them a script that makes it.
        shell: Commands that do.
        settings: For each of them what was in force, as JSON has it.
        seconds: What it took.
    """

    requests: tuple[EditRequest, ...]
    images: tuple[Image.Image, ...]
    numbers: tuple[str, ...]
    masks: tuple[tuple[Image.Image, str], ...]
    python: tuple[str, ...]
    shell: tuple[str, ...]
    settings: tuple[Mapping[str, object], ...]
    seconds: float


def inverted(
    inversion: Inversion,
    again: OnePixels,
    request: InversionRequest,
    model: Model,
    *,
    number: str,
    name: str,
    opened: bool = False,
    losses: Sequence[float] = (),
    seconds: float = 0.0,
) -> Inverted:
    """An inversion with what is shown of it, the reconstructed image among that."""
    return Inverted(
        number=number,
        request=request,
        recommended=model.recommended,
        name=name,
        opened=opened,
        size=inversion.frame.size,
        fitted=inversion.frame.fitted,
        source=thumbnail(inversion.restore(to_pixels(inversion.image))),
        reconstruction=thumbnail(inversion.restore(again)),
        psnr=inversion.scores.psnr,
        vae_psnr=inversion.scores.vae_psnr,
        losses=tuple(losses),
        seconds=seconds,
        warning=warning_of(model, inversion.frame.fitted) or "",
    )
