"""What every study returns, for whoever prints it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final


@final
@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table for a person.

    Attributes:
        title: Over it.
        headings: Of its columns.
        rows: Its cells.
        names: How many columns, from the left, are names and not figures.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


@final
@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a study finds in its rows beside the means.

    Attributes:
        figures: For JSON, by key.
        sheets: The same for a person.
    """

    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sheets: Sequence[Sheet] = ()


class Result(Protocol):
    """The figures of a study."""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        ...

    def shown(self) -> Iterable[Sheet | str]:
        """For a person: tables and lines."""
        ...

    def complaint(self) -> str:
        """What could not be measured, and why; "" where all could."""
        return ""
