"""What an edit changes, for one target prompt: its attention by the source's, and where the image may change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast, get_args

from nulltext import checks
from nulltext.attention.control import Share
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.checks import Range, check_numbers, checked
from nulltext.editing import spelled
from nulltext.editing.base import recommended
from nulltext.editing.blend import Blend
from nulltext.errors import SettingError, shown
from nulltext.text.alignment import pair_words
from nulltext.text.words import Tokens

Kind = Literal["auto", "replace", "refine"]

WEIGHTS = (-4.0, 10.0)
"""The range of factors of words that makes sense."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """The settings of Prompt-to-Prompt that each target prompt of a run may have for itself.

    Attributes:
        cross_attention: In which share of the steps the words of the edit look where those of the source look: the end,
            (start, end), or shares by word, "" for all others. More keeps the composition, less gives freedom. None is
            what the model recommends (`nulltext.models.recommended`), 0.8 if it says nothing.
        self_attention: In which share of the steps shapes and places are the source's: the end, or (start, end). None
            is what the model recommends, 0.4 if it says nothing.
        kind: "replace" swaps words one for one, "refine" aligns what both prompts say and leaves new words free;
            "auto" replaces where both prompts have the same number of words, else refines.
        reweight: Factors from -4 to 10 on the attention that words of the edit get.
        blend: Where the image may change; None for everywhere.

    Raises:
        SettingError: A setting is out of range.
    """

    cross_attention: Annotated[Share | Mapping[str, Share] | None, spelled.CROSS] = field(
        default=None, metadata=recommended("cross_attention")
    )
    self_attention: Annotated[Share | None, spelled.SELF] = field(default=None, metadata=recommended("self_attention"))
    kind: Annotated[Kind, spelled.KIND] = "auto"
    reweight: Annotated[Mapping[str, float], spelled.WEIGHT] = field(default_factory=dict[str, float])
    blend: Blend | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        cross: Share | dict[str, Share] | None
        if isinstance(self.cross_attention, Mapping):
            cross = {word: _share("cross_attention", share) for word, share in self.cross_attention.items()}
        else:
            cross = None if self.cross_attention is None else _share("cross_attention", self.cross_attention)
        taken = {
            "cross_attention": cross,
            "self_attention": None if self.self_attention is None else _share("self_attention", self.self_attention),
            "reweight": _factors(self.reweight),
        }
        for name, value in taken.items():
            object.__setattr__(self, name, value)  # this is its constructor
        if self.kind not in get_args(Kind):
            raise SettingError(f"kind: got {shown(self.kind)}; expected {', '.join(get_args(Kind))}.")

    @property
    def shares(self) -> Mapping[str, Share]:
        """The shares of steps of cross-attention that are given, by word, "" for all others."""
        match self.cross_attention:
            case None:
                return {}
            case Mapping():
                return self.cross_attention
            case share:
                return {"": share}

    def alignment(self, source: Tokens, target: Tokens, length: int) -> Replace | Refine:
        """How the tokens of a target prompt follow those of its source.

        Raises:
            SettingError: "replace" is asked for prompts with different numbers of words.
        """
        pairs = None if self.kind == "refine" else pair_words(source, target)
        if pairs is not None:
            return Replace.of(source, target, pairs, length)
        if self.kind == "replace":
            raise SettingError(
                f"got kind='replace' for {shown(source.prompt)} ({len(source.words())} words) and "
                f"{shown(target.prompt)} ({len(target.words())} words); expected as many. Take 'refine', or 'auto'."
            )
        return Refine.of(source, target, length)


def _share(name: str, share: Any) -> Share:  # noqa: ANN401  of any type until it is checked
    """A share of the steps in Python's own numbers, as it goes into records.

    Raises:
        SettingError: It is none.
    """
    try:
        match share:
            case (start, end) if isinstance(share, tuple):
                start, end = checked(name, start, checks.Share), checked(name, end, checks.Share)
                if start <= end:
                    return start, end
            case _:
                return checked(name, share, checks.Share)
    except SettingError:
        pass
    raise SettingError(
        f"{name}: got {shown(share)}; expected a share of the steps from 0 to 1, or (start, end) with start <= end."
    )


def _factors(reweight: Any) -> dict[str, float]:  # noqa: ANN401  as in `_share`
    """Factors by word, in Python's own numbers.

    Raises:
        SettingError: One is out of range.
    """
    low, high = WEIGHTS
    if not isinstance(reweight, Mapping):
        raise SettingError(f"reweight: got {shown(reweight)}; expected factors by word, as in {{'cat': 2.0}}.")
    return {
        word: checked(f"reweight[{shown(word)}]", factor, Annotated[float, Range(least=low, most=high)])
        for word, factor in cast("Mapping[str, float]", reweight).items()
    }
