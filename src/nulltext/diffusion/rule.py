"""Which rule of guidance is followed, and its settings, as an editor holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, final

from nulltext.diffusion.guidance import GuidanceRule
from nulltext.diffusion.table import GUIDANCE
from nulltext.spelling.fields import Option
from nulltext.spelling.records import read
from nulltext.tables import row
from nulltext.types import Scales

NAME: Final = Option(
    name="--guidance-rule",
    named={word: word for word in GUIDANCE},
    help=f"How guidance is done: {'; '.join(f'{word}, {entry.summary}' for word, entry in GUIDANCE.items())}.",
)
SETTINGS: Final = Option(
    name="--guidance-setting",
    metavar="NAME=VALUE",
    help="A setting of --guidance-rule, as in start=0.2; may be given several times.",
)


@final
@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of guidance, without the guidance scale.

    Attributes:
        name: What guides: a row of `nulltext.diffusion.table.GUIDANCE`.
        settings: Those of the rule that are not its defaults, by name.

    Raises:
        SettingError: There is no such rule, or it has no such setting, or a setting is out of range.
    """

    name: Annotated[str, NAME] = "classifier-free"
    settings: Annotated[Mapping[str, Any], SETTINGS] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.at(1.0)

    def __repr__(self) -> str:
        return f"Rule({', '.join([self.name, *(f'{name}={value}' for name, value in self.settings.items())])})"

    def at(self, scale: float | Scales) -> GuidanceRule:
        """The rule at a guidance scale, or at one for each row."""
        return replace(read(row(GUIDANCE, self.name, "--guidance-rule").load(), self.settings), scale=scale)


CLASSIFIER_FREE: Final = Rule()
"""What holds unless another is asked for."""
