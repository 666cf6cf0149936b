"""Many photographs inverted together: one batch of the network serves several of them."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal, overload

from nulltext.bars import teller
from nulltext.checks import Count
from nulltext.diffusion.sharing import Work
from nulltext.errors import ImageError, InversionError, NulltextError, OutOfMemoryError, PromptError
from nulltext.images import SourceImage
from nulltext.inversion.base import Inversion
from nulltext.inversion.invert import Inverter
from nulltext.models.base import Model, check_prompts
from nulltext.models.capabilities import multiple_of
from nulltext.models.many import Errors, Together
from nulltext.progress import OnProgress, Telling, silent


@overload
def invert_many(
    model: Model,
    inverter: Inverter,
    images: Iterable[tuple[SourceImage, str]],
    *,
    at_once: Count | None = None,
    errors: Literal["raise"] = "raise",
    on_progress: Telling = silent,
) -> Iterator[tuple[int, Inversion]]: ...
@overload
def invert_many(
    model: Model,
    inverter: Inverter,
    images: Iterable[tuple[SourceImage, str]],
    *,
    at_once: Count | None = None,
    errors: Literal["return"],
    on_progress: Telling = silent,
) -> Iterator[tuple[int, Inversion | NulltextError]]: ...
def invert_many(
    model: Model,
    inverter: Inverter,
    images: Iterable[tuple[SourceImage, str]],
    *,
    at_once: Count | None = None,
    errors: Errors = "raise",
    on_progress: Telling = silent,
) -> Iterator[tuple[int, Inversion | NulltextError]]:
    """Inverts photographs, several at once, each at its own pace.

    Each inversion is the one that ``inverter(model, image, prompt)`` makes, but for rounding: no image has a part
    in another's. One that is done makes room for one that waits, and photographs of different sizes may be mixed.

    What goes wrong with one image (its prompt, its numbers, its size in memory) stops no other.

    Args:
        model: The model.
        inverter: The method.
        images: Photographs, fitted to the model, each with its prompt. A list is checked before any work. Anything
            else is taken one by one as there is room, so that they may be opened on the way; each is checked then, and
            an iterator that raises a `NulltextError` ends with that as its last image's.
        at_once: At most so many are under way; None is 8, or on a GPU as many as its memory takes. Where there turns
            out to be no memory for so many, their batches are halved.
        errors: "raise" raises what went wrong when all others are done, with what was made of them, which is kept for
            that; what is wrong with a list, before any work. "return" yields each error in its inversion's place, and
            keeps nothing: take it for more images than memory holds.
        on_progress: Called for every step of every image, with its number.

    Yields:
        Which image it is, from 0, and its inversion, as they come; with "return" perhaps its error.

    Raises:
        SettingError: A setting is out of range.
        ImagesFailedError: Some could not be inverted: `PromptError`, `ImageError`, `DivergedError`,
            `OutOfMemoryError`; only with "raise".
    """
    on_progress = teller(on_progress)
    return _inverting(inverter)(model, images, at_once=at_once, errors=errors, on_progress=on_progress)


def inverting(
    model: Model, inverter: Inverter, source_image: SourceImage, prompt: str, on_progress: Telling = silent
) -> Work[Inversion]:
    """The inversion of one photograph, as a work that shares the network's batches with others."""
    on_progress = teller(on_progress)
    return _inverting(inverter).single(model, (source_image, prompt), on_progress)


def _inverting(inverter: Inverter) -> Together[tuple[SourceImage, str], Inversion]:
    return Together(
        check=partial(_check, inverter),
        do=partial(_invert, inverter),
        of_one=(PromptError, ImageError, InversionError, OutOfMemoryError),
        done="inverted",
    )


def _invert(inverter: Inverter, model: Model, image: tuple[SourceImage, str], on_progress: OnProgress) -> Inversion:
    return inverter(model, *image, on_progress)


def _check(inverter: Inverter, model: Model, image: tuple[SourceImage, str]) -> None:
    """Makes sure that an image can be inverted.

    Raises:
        PromptError: The prompt is empty, or it or the negative prompt is too long or has an unknown word.
        ImageError: The photograph is fitted to another model.
    """
    source_image, prompt = image
    check_prompts(model, [prompt])
    model.check_prompt(inverter.negative_prompt)
    height, width = source_image.pixels.shape[-2:]
    if height % (step := multiple_of(model)) or width % step:
        raise ImageError(
            f"got a photograph fitted to {width} x {height}; {model.identity.id} takes multiples of {step}. "
            "Open it with open_image(..., model)."
        )
