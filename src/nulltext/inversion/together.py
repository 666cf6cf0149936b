"""Many photographs inverted together: one batch of the network serves several of them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from nulltext.diffusion.evaluations import Evaluations, together
from nulltext.inversion.base import Inversion, Inverter
from nulltext.models.base import Model
from nulltext.models.memory import pictures_at_once
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent


def invert_together(
    model: Model,
    inverter: Inverter,
    pictures: Iterable[tuple[Photo, str]],
    *,
    at_once: int | None = None,
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, Inversion]]:
    """Inverts photographs, several at once, each at its own pace.

    Each inversion is the one that ``inverter(model, photo, caption)`` makes, but for rounding: no picture has a part
    in another's. One that is done makes room for one that waits, and photographs of different sizes may be mixed.

    Args:
        model: The model.
        inverter: The method.
        pictures: Photographs, fitted to the model, each with its caption; taken one by one as there is room, so that
            they may be opened on the way.
        at_once: At most so many are under way; None is 8, or on a GPU as many as its memory takes. Where there turns
            out to be no memory for so many, their batches are halved.
        on_progress: Told of every step of every picture, with its number.

    Yields:
        Which picture it is, from 0, and its inversion, as they come.

    Raises:
        SettingError: A setting is out of range.
        CaptionError: A caption is empty, too long, or has an unknown word; those before it are lost unless taken.
        OutOfMemoryError: There is no memory for one alone.
        DivergedError: Numbers became infinite or not-a-number.
    """

    def works() -> Iterator[Evaluations[Inversion]]:
        for number, (photo, caption) in enumerate(pictures, start=1):
            yield inverter.inverting(model, photo, caption, partial(_numbered, on_progress, number))

    return together(model, works(), pictures_at_once(model) if at_once is None else at_once)


def _numbered(on_progress: OnProgress, number: int, event: Progress) -> None:
    on_progress(replace(event, picture=number))
