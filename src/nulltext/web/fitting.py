"""Images of other sizes than a model's own: which are taken, and how code asks for them."""

from collections.abc import Sequence
from typing import Final, Protocol

from nulltext.errors import SettingError
from nulltext.models.sizes import AREA, HasSize


class Fitted(Protocol):
    """What says how an image is fitted."""

    @property
    def fit(self) -> str:
        """Cropped or padded."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in pixels; None for the model's own."""
        ...


_MOST: Final = AREA[1]
"""Of a model's own size, in pixels: an evaluation takes as many times as long."""


def check_size(model: HasSize, size: Sequence[int]) -> None:
    """Refuses sizes that would keep the device busy for too long.

    Args:
        model: The model.
        size: (height, width) in pixels.

    Raises:
        SettingError: It is one.
    """
    height, width = model.default_size
    if size[0] * size[1] > _MOST * height * width:
        raise SettingError(
            f"got an image of {size[0]} x {size[1]} pixels; expected at most {_MOST:g} times as many as the model's "
            f"own {height} x {width}. Invert it at a smaller size."
        )


def as_python(asked: Fitted) -> str:
    """The arguments of `nulltext.open_image`."""
    fit = "" if asked.fit == "crop" else f", fit={asked.fit!r}"
    return fit if asked.size is None else f"{fit}, size={tuple(asked.size)}"


def as_options(asked: Fitted) -> list[str]:
    """The options of `nulltext invert`."""
    fit = [] if asked.fit == "crop" else ["--fit", asked.fit]
    return fit if asked.size is None else [*fit, "--size", f"{asked.size[0]}x{asked.size[1]}"]
