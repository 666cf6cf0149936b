"""Sizes of images that a model was not made for."""

import re
import warnings
from typing import Final, Protocol, runtime_checkable

from nulltext.errors import SettingError, shown

AREA: Final = (0.5, 2.0)
"""Of the size that a model was made for: within this range it draws as it does there."""
LEAST_SIDE: Final = 8
"""Pixels on a side: what one latent cell stands for, below which there is no image."""
ASPECT: Final = 2.5
"""The longer side against the shorter one, and that against the model's own."""


class SizeWarning(UserWarning):
    """An image has a size that its model was not made for."""


@runtime_checkable
class HasSize(Protocol):
    """What was made for images of a size."""

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...


def warning_of(model: HasSize, size: tuple[int, int]) -> str | None:
    """What to say of a size that a model was not made for, in a sentence; None for others.

    Args:
        model: The model.
        size: (height, width) in pixels.
    """
    (height, width), (own_height, own_width) = size, model.default_size
    area = height * width / (own_height * own_width)
    shape = (height / width) / (own_height / own_width)
    if AREA[0] <= area <= AREA[1] and 1 / ASPECT <= shape <= ASPECT:
        return None
    return (
        f"the model was made for images of about {own_height} x {own_width} pixels, and of {height} x {width} it "
        f"repeats or loses things; expected {AREA[0]:g} to {AREA[1]:g} times as many pixels, and no side above "
        f"{ASPECT:g} times the other."
    )


def warn_of(model: HasSize, size: tuple[int, int]) -> None:
    """Warns whoever called the caller of a size that the model was not made for."""
    if (said := warning_of(model, size)) is not None:
        warnings.warn(said, SizeWarning, stacklevel=3)


def read_size(name: str, text: str) -> tuple[int, int]:
    """(height, width) of "128x192".

    Args:
        name: What was given so.
        text: The text.

    Raises:
        SettingError: It is no size.
    """
    match = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})", text)
    if match is None:
        raise SettingError(f"got {name} {shown(text)}; expected height and width in pixels, as in 128x192.")
    return int(match[1]), int(match[2])
