"""Many photographs inverted together: one batch of the network serves several of them."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final, Literal, get_args, overload

from nulltext.checks import Count, checked
from nulltext.diffusion.sharing import SharedDenoiser, Work, share
from nulltext.errors import (
    CaptionError,
    ImageError,
    InversionError,
    NulltextError,
    OutOfMemoryError,
    PicturesFailedError,
    SettingError,
)
from nulltext.inversion.base import Inversion
from nulltext.inversion.invert import Inverter
from nulltext.models.base import Model, check_captions
from nulltext.models.memory import pictures_at_once
from nulltext.models.shared import sharing
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent

Errors = Literal["raise", "return"]

OF_ONE_PICTURE: Final = (CaptionError, ImageError, InversionError, OutOfMemoryError)
"""What can go wrong with one picture while others beside it are well."""

_LISTED = 3
"""Errors that a message has, of more it says how many."""


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
    if errors not in get_args(Errors):
        raise SettingError(f"got errors={errors!r}; expected 'raise' or 'return'.")
    at_once = checked("at_once", at_once, Count | None)
    pace = pictures_at_once(model) if at_once is None else at_once
    wrong = _wrong(model, pictures) if isinstance(pictures, Sequence) else {}
    if wrong and errors == "raise":
        raise _failure(wrong, {})
    made = _settled(model, inverter, pictures, wrong=wrong, at_once=pace, on_progress=on_progress)
    return made if errors == "return" else _raising(made)


def _settled(
    model: Model,
    inverter: Inverter,
    pictures: Iterable[tuple[Photo, str]],
    *,
    wrong: Mapping[int, NulltextError],
    at_once: int,
    on_progress: OnProgress,
) -> Generator[tuple[int, Inversion | NulltextError]]:
    """What was made of each picture, or its error; of those that are known to be wrong at once."""
    yield from wrong.items()
    taken, broken = list[int](), list[NulltextError]()

    def works() -> Iterator[Work[Inversion | NulltextError]]:
        try:
            for index, (photo, caption) in enumerate(pictures):
                if index not in wrong:
                    taken.append(index)
                    told = partial(_numbered, on_progress, index + 1)
                    yield _settled_alone(inverting(model, inverter, photo, caption, told))
        except OF_ONE_PICTURE as error:  # of an iterator, which has no more
            broken.append(error)

    with closing(share(model, works(), at_once)) as results:
        yield from ((taken[at], made) for at, made in results)
    yield from enumerate(broken, start=len(taken))


def _raising(made: Generator[tuple[int, Inversion | NulltextError]]) -> Iterator[tuple[int, Inversion]]:
    """The inversions; when all are done, the errors as one."""
    failed, done = dict[int, NulltextError](), dict[int, Inversion]()
    with closing(made):
        for index, each in made:
            if isinstance(each, NulltextError):
                failed[index] = each
            else:
                done[index] = each
                yield index, each
    if failed:
        raise _failure(failed, done)


def inverting(
    model: Model, inverter: Inverter, photo: Photo, caption: str, on_progress: OnProgress = silent
) -> Work[Inversion]:
    """The inversion of one photograph, as a work that shares the network's batches with others."""

    def work(denoiser: SharedDenoiser) -> Inversion:
        _check(model, photo, caption)
        return inverter(sharing(model, denoiser), photo, caption, on_progress)

    return work


def _settled_alone(work: Work[Inversion]) -> Callable[[SharedDenoiser], Inversion | NulltextError]:
    """A work whose result is its error, where that is one picture's own."""

    def settled(denoiser: SharedDenoiser) -> Inversion | NulltextError:
        try:
            return work(denoiser)
        except OF_ONE_PICTURE as error:
            return error

    return settled


def _wrong(model: Model, pictures: Sequence[tuple[Photo, str]]) -> dict[int, NulltextError]:
    """What is wrong with pictures, by their index."""
    wrong: dict[int, NulltextError] = {}
    for index, (photo, caption) in enumerate(pictures):
        try:
            _check(model, photo, caption)
        except OF_ONE_PICTURE as error:
            wrong[index] = error
    return wrong


def _check(model: Model, photo: Photo, caption: str) -> None:
    """Makes sure that a picture can be inverted.

    Raises:
        CaptionError: The caption is empty, too long, or has an unknown word.
        ImageError: The photograph is fitted to another model.
    """
    check_captions(model, [caption])
    height, width = photo.pixels.shape[-2:]
    if height % model.scale or width % model.scale:
        raise ImageError(
            f"got a photograph fitted to {width} x {height}; {model.identity.id} takes multiples of {model.scale}. "
            "Open it with open_image(..., model)."
        )


def _failure(failed: Mapping[int, NulltextError], done: Mapping[int, Inversion]) -> PicturesFailedError:
    """One error of many."""
    reasons = [f"number {index}, {type(error).__name__}: {error}" for index, error in sorted(failed.items())]
    more = f" And {len(reasons) - _LISTED} more." if len(reasons) > _LISTED else ""
    rest = f"the {len(done)} others are done" if done else "no other is done"
    return PicturesFailedError(
        f"{len(failed)} could not be inverted, {rest} (counted from 0): {' '.join(reasons[:_LISTED])}{more}",
        dict(failed),
        dict(done),
    )


def _numbered(on_progress: OnProgress, number: int, event: Progress) -> None:
    on_progress(replace(event, picture=number))
