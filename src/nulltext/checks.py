"""What comes from outside, checked where it enters: numbers of the right kind and in range, tensors that are finite.

A setting says which numbers it takes in its annotation, ``steps: Annotated[int, Range(least=1)]``; `check_numbers` in
``__post_init__`` sees to all of a dataclass. A number without a `Range` has to be finite all the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, final, get_args, get_origin

from nulltext.errors import MOST_BITS, DivergedError, NulltextError, SettingError, shown

if TYPE_CHECKING:  # the command line does not wait for torch
    from _typeshed import DataclassInstance
    from torch import Tensor

Value = TypeVar("Value")


@final
@dataclass(frozen=True, kw_only=True)
class Range:
    """Which numbers a setting takes.

    Attributes:
        least: Itself allowed.
        most: Itself allowed.
        above: Not itself allowed.
        below: Not itself allowed.
        infinite: Whether infinity is a value with a meaning; minus infinity and not-a-number never are.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    infinite: bool = False

    def takes(self, number: float) -> bool:
        """Whether a number is one of them."""
        inside = self.least <= number <= self.most
        if math.isinf(number):
            return self.infinite and number > 0
        return inside and self.above < number < self.below

    def __str__(self) -> str:
        low = f"above {_plain(self.above)}" if self.above > -math.inf else f"from {_plain(self.least)}"
        high = f"below {_plain(self.below)}" if self.below < math.inf else _plain(self.most)
        has_low, has_high = max(self.above, self.least) > -math.inf, min(self.below, self.most) < math.inf
        if has_low and has_high:
            return f" {low} to {high}"
        if has_low:
            return f" {low}" if self.above > -math.inf else f" of at least {_plain(self.least)}"
        return f" of at most {high}" if has_high else ""


def _plain(number: float) -> str:
    """A bound of a range, which is whole or short."""
    return str(number) if isinstance(number, int) else f"{number:g}"


Count = Annotated[int, Range(least=1)]
"""At least one."""
CountOrZero = Annotated[int, Range(least=0)]
"""None at all may be asked for."""
Seed = Annotated[int, Range(least=0)]
"""What torch seeds a generator with."""
Guidance = Annotated[float, Range()]
"""A guidance scale w of classifier-free guidance."""
Rate = Annotated[float, Range(above=0)]
"""A learning rate."""
Share = Annotated[float, Range(least=0, most=1)]
"""Of a whole."""
Weight = Annotated[float, Range(least=0)]
"""How much of a loss counts."""


def check_numbers(settings: "DataclassInstance") -> None:
    """Makes sure of every number of a dataclass; numpy's become Python's, which JSON can hold.

    Raises:
        SettingError: One is not-a-number, infinite, out of range or no number.
    """
    for field in fields(settings):
        given = getattr(settings, field.name)
        taken = checked(field.name, given, field.type)
        if taken is not given:
            object.__setattr__(settings, field.name, taken)  # this is its constructor


def checked(name: str, value: Value, annotation: Any) -> Value:  # noqa: ANN401  an annotation can be anything
    """A value as its annotation wants it; one whose annotation is not of a number, as it is.

    Args:
        name: What the user calls it.
        value: What was given.
        annotation: ``int`` or ``float``, perhaps with a `Range`, perhaps optional.

    Raises:
        SettingError: It is not-a-number, infinite, out of range or no number.
    """
    kind = _number(annotation)
    if kind is None or (value is None and kind[2]):
        return value
    whole, limits, optional = kind
    number: Any = value
    if isinstance(number, bool) or not isinstance(number, Integral if whole else Real):
        taken = None
    elif isinstance(number, Integral):
        taken = int(number) if int(number).bit_length() <= MOST_BITS else None
    else:
        try:
            taken = float(number)
        except OverflowError:
            taken = None
    if taken is None or not limits.takes(taken):
        finite = "" if limits.infinite else "finite "
        raise SettingError(
            f"got {name}={shown(value)}; expected a {'whole ' if whole else finite}number{limits}"
            f"{', or None' if optional else ''}."
        )
    return number if type(number) is type(taken) else taken  # pyright: ignore[reportReturnType]


@cache
def _number(annotation: Any) -> tuple[bool, Range, bool] | None:  # noqa: ANN401  as in `checked`
    """Whether an annotation's number is whole, its range, and whether None will do; None if it is of no number."""
    if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) in (Union, UnionType):
        annotation = get_args(annotation)[0]
    alternatives: Sequence[Any] = (annotation,)
    if get_origin(annotation) in (Union, UnionType):
        alternatives = get_args(annotation)
    kinds = [each for each in alternatives if each is not NoneType]
    if len(kinds) != 1:
        return None
    kind, limits = kinds[0], Range()
    if get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        limits = next((note for note in notes if isinstance(note, Range)), limits)
    return (kind is int, limits, len(alternatives) > 1) if kind in (int, float) else None


def check_finite(
    what: str,
    tensor: "Tensor",
    *,
    where: str = "",
    error: type[NulltextError] = DivergedError,
    advice: str | None = None,
) -> None:
    """Makes sure that a tensor has neither infinities nor not-a-number, before it becomes an image or a file.

    Args:
        what: What the user calls it.
        tensor: Of any shape, on any device.
        where: In which model, and how it computes.
        error: What to raise.
        advice: What to do; None for another precision, unless that is float32 already, and a lower guidance.
    """
    if not tensor.isfinite().all():
        if advice is None:
            finer = "" if "float32" in where else "Load the model with dtype float32 or bfloat16, or t"
            advice = f"{finer or 'T'}ake a lower guidance."
        raise error(
            f"the {what} became infinite or not-a-number{f' {where}' if where else ''}; expected finite numbers. "
            f"{advice}"
        )
