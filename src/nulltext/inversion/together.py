"""Many photographs inverted together: one batch of the network serves several of them."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal, overload

from nulltext.checks import Count
from nulltext.diffusion.sharing import Work
from nulltext.errors import CaptionError, ImageError, InversionError, NulltextError, OutOfMemoryError
from nulltext.inversion.base import Inversion
from nulltext.inversion.invert import Inverter
from nulltext.models.base import Model, check_captions
from nulltext.models.together import Errors, Together
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, silent


@overload
def invert_together(
    model: Model,
    inverter: Inverter,
    pictures: Iterable[tuple[Photo, str]],
    *,
    at_once: Count | None = None,
    errors: Literal["raise"] = "raise",
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, Inversion]]: ...
@overload
def invert_together(
    model: Model,
    inverter: Inverter,
    pictures: Iterable[tuple[Photo, str]],
    *,
    at_once: Count | None = None,
    errors: Literal["return"],
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, Inversion | NulltextError]]: ...
def invert_together(
    model: Model,
    inverter: Inverter,
    pictures: Iterable[tuple[Photo, str]],
    *,
    at_once: Count | None = None,
    errors: Errors = "raise",
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, Inversion | NulltextError]]:
    """Inverts photographs, several at once, each at its own pace.

    Each inversion is the one that ``inverter(model, photo, caption)`` makes, but for rounding: no picture has a part
    in another's. One that is done makes room for one that waits, and photographs of different sizes may be mixed.

    What goes wrong with one picture (its caption, its numbers, its size in memory) stops no other.

    Args:
        model: The model.
        inverter: The method.
        pictures: Photographs, fitted to the model, each with its caption. A list is checked before any work. Anything
            else is taken one by one as there is room, so that they may be opened on the way; each is checked then, and
            an iterator that raises a `NulltextError` ends with that as its last picture's.
        at_once: At most so many are under way; None is 8, or on a GPU as many as its memory takes. Where there turns
            out to be no memory for so many, their batches are halved.
        errors: "raise" raises what went wrong when all others are done, with what was made of them, which is kept for
            that; what is wrong with a list, before any work. "return" yields each error in its inversion's place, and
            keeps nothing: take it for more pictures than memory holds.
        on_progress: Told of every step of every picture, with its number.

    Yields:
        Which picture it is, from 0, and its inversion, as they come; with "return" perhaps its error.

    Raises:
        SettingError: A setting is out of range.
        PicturesFailedError: Some could not be inverted: `CaptionError`, `ImageError`, `DivergedError`,
            `OutOfMemoryError`; only with "raise".
    """
    return _inverting(inverter)(model, pictures, at_once=at_once, errors=errors, on_progress=on_progress)


def inverting(
    model: Model, inverter: Inverter, photo: Photo, caption: str, on_progress: OnProgress = silent
) -> Work[Inversion]:
    """The inversion of one photograph, as a work that shares the network's batches with others."""
    return _inverting(inverter).alone(model, (photo, caption), on_progress)


def _inverting(inverter: Inverter) -> Together[tuple[Photo, str], Inversion]:
    return Together(
        check=_check,
        do=partial(_invert, inverter),
        of_one=(CaptionError, ImageError, InversionError, OutOfMemoryError),
        done="inverted",
    )


def _invert(inverter: Inverter, model: Model, picture: tuple[Photo, str], on_progress: OnProgress) -> Inversion:
    return inverter(model, *picture, on_progress)


def _check(model: Model, picture: tuple[Photo, str]) -> None:
    """Makes sure that a picture can be inverted.

    Raises:
        CaptionError: The caption is empty, too long, or has an unknown word.
        ImageError: The photograph is fitted to another model.
    """
    photo, caption = picture
    check_captions(model, [caption])
    height, width = photo.pixels.shape[-2:]
    if height % model.scale or width % model.scale:
        raise ImageError(
            f"got a photograph fitted to {width} x {height}; {model.identity.id} takes multiples of {model.scale}. "
            "Open it with open_image(..., model)."
        )
