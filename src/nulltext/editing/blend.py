"""Local blend: an edit kept where the words that change are, or where a hand-drawn mask says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, final

from nulltext.checks import Range, check_numbers
from nulltext.editing import spelled
from nulltext.editing.base import recommended
from nulltext.editing.masks import AnyMask
from nulltext.errors import SettingError

Words = str | Sequence[str]

LessThanAll = Annotated[float, Range(least=0, below=1)]


@final
@dataclass(frozen=True)
class Blend:
    """Where an edit may change the image; everywhere else the source stays (Hertz et al., "local editing").

    The place is where the cross-attention maps of words say, or a mask, or both, intersected.

    Attributes:
        source: Words of the source prompt whose places may change.
        target: Words of the new prompts whose places may change; of several prompts each needs at least one of them.
        threshold: From which share of a map's highest value on a place belongs to the word, 0 to 1; None is what the
            model recommends (`nulltext.models.recommended`), 0.3 if it says nothing.
        start: After which share of the steps the source is put back, 0 to 1, but in the last step at the latest. Early
            maps say little.
        keep_out: Words of any of the prompts whose places must not change ("substruct" in the authors' code).
        mask: An image, or the path of one, drawn over the photograph: white may change, black must not. Or what finds
            one: a `nulltext.editing.masks.MaskSource`.
        pixels: Whether the decoded image is blended as well, fading out over half a cell of the latents around the
            place. The decoder spreads every change over its surroundings; off, as in the authors' code, only the
            latents are blended.

    Raises:
        SettingError: A number is out of range, or there are neither words nor a mask.
    """

    source: Annotated[Words, spelled.PLACES] = ()
    target: Words = ()
    threshold: Annotated[LessThanAll | None, spelled.THRESHOLD] = field(default=None, metadata=recommended("threshold"))
    start: Annotated[LessThanAll, spelled.START] = 0.2
    keep_out: Annotated[Words, spelled.KEEP_OUT] = ()
    mask: Annotated[AnyMask | None, spelled.MASK] = None
    pixels: Annotated[bool, spelled.PIXELS] = True

    def __post_init__(self) -> None:
        check_numbers(self)
        if not self.by_maps and self.mask is None:
            raise SettingError("a blend needs words, a mask, or both; got neither. Name what changes: Blend('cat').")

    @property
    def source_words(self) -> tuple[str, ...]:
        """`source` as a list."""
        return _listed(self.source)

    @property
    def target_words(self) -> tuple[str, ...]:
        """`target` as a list."""
        return _listed(self.target)

    @property
    def keep_out_words(self) -> tuple[str, ...]:
        """`keep_out` as a list."""
        return _listed(self.keep_out)

    @property
    def by_maps(self) -> bool:
        """Whether it goes by attention maps."""
        return bool(self.source or self.target or self.keep_out)


def _listed(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)
