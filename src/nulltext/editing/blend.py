"""Local blend: an edit kept where the words that change are, or where a hand-drawn mask says."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.record import Record
from nulltext.attention.schedule import find_in_any
from nulltext.errors import EmptyMaskError, SettingError
from nulltext.pictures import Frame, open_mask
from nulltext.text.words import Tokens
from nulltext.types import Latents, Masks

Words = str | Sequence[str]

HALF = 0.5
"""From here on a cell of a drawn mask is white."""


@final
@dataclass(frozen=True)
class Blend:
    """Where an edit may change the picture; everywhere else the source stays (Hertz et al., "local editing").

    The place is where the cross-attention maps of words say, or a mask, or both, intersected.

    Attributes:
        source: Words of the source caption whose places may change.
        target: Words of the new captions whose places may change; of several captions each needs at least one of them.
        threshold: From which share of a map's highest value on a place belongs to the word, 0 to 1.
        start: After which share of the steps the source is put back, 0 to 1. Early maps say little.
        keep_out: Words of any of the captions whose places must not change ("substruct" in the authors' code).
        mask: A picture, or the path of one, drawn over the photograph: white may change, black must not.

    Raises:
        SettingError: A number is out of range, or there are neither words nor a mask.
    """

    source: Words = ()
    target: Words = ()
    threshold: float = 0.3
    start: float = 0.2
    keep_out: Words = ()
    mask: Image.Image | str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1 or not 0 <= self.start <= 1:
            raise SettingError(
                f"got threshold={self.threshold:g}, start={self.start:g}; expected 0 <= threshold < 1, 0 <= start <= 1."
            )
        if not self.by_maps and self.mask is None:
            raise SettingError("a blend needs words, a mask, or both; got neither. Name what changes: Blend('cat').")

    @property
    def by_maps(self) -> bool:
        """Whether it goes by attention maps."""
        return bool(self.source or self.target or self.keep_out)


@final
class Blender:
    """One blend at work.

    Attributes:
        masks: [P - 1, 1, h, w] the masks used last; white as long as there were none.
    """

    def __init__(
        self,
        blend: Blend,
        captions: Sequence[Tokens],
        *,
        bases: Sequence[int],
        first: int,
        frame: Frame,
        latent_size: tuple[int, int],
        record: Record,
    ) -> None:
        """Looks up the words and opens the mask.

        Args:
            blend: The settings.
            captions: The source caption and the P - 1 new ones.
            bases: For each new caption the prompt that it is an edit of.
            first: The first step, 0 to T - 1, after which the source is put back.
            frame: Where the fitted picture lies in the photograph.
            latent_size: (h, w).
            record: Where the maps of the run are kept.

        Raises:
            WordNotFoundError: A word is in no caption, or a new caption has none of the target words.
            ImageError: The mask cannot be read, or has another aspect ratio than the photograph.
        """
        self.masks: Masks = torch.ones(len(bases), 1, *latent_size)
        self._blend, self._captions, self._bases, self._first, self._record = blend, captions, bases, first, record
        self._by_words = bool(blend.source or blend.target)
        source, *targets = captions
        self._changing = [[position for word in _words(blend.source) for position in source.find(word)]]
        for target in targets:
            having = [word for word in _words(blend.target) if target.has(word)] or _words(blend.target)[:1]
            self._changing.append([position for word in having for position in target.find(word)])
        self._kept: list[list[int]] = [[] for _ in captions]
        for word in _words(blend.keep_out):
            for prompt, positions in find_in_any(captions, word).items():
                self._kept[prompt] += positions
        drawn = torch.ones(1, 1, *latent_size)
        if blend.mask is not None:
            drawn = F.interpolate(frame.fit_mask(open_mask(blend.mask)), size=latent_size, mode="area")
        self._drawn = drawn[0, 0] > HALF

    def __call__(self, step: int, x: Latents) -> Latents:
        """Puts the source back outside the masks: ``x_p = x_b + mask_p (x_p - x_b)``.

        Args:
            step: The step just done.
            x: [P, C, h, w], the source first.

        Raises:
            EmptyMaskError: A mask is empty.
        """
        if step < self._first:
            return x
        size, threshold = x.shape[-2:], self._blend.threshold
        allowed = [self._drawn.to(x.device)] * len(x)
        reached = [1.0] * len(x)
        if self._blend.by_maps:
            maps = self._record.maps()
            likely = [place(m, positions, size, pool=True) for m, positions in zip(maps, self._changing, strict=True)]
            kept = [place(m, positions, size) > threshold for m, positions in zip(maps, self._kept, strict=True)]
            for prompt, base in enumerate(self._bases, start=1):
                free = allowed[prompt] & ~kept[prompt] & ~kept[0]
                here = torch.maximum(likely[prompt], likely[0])
                allowed[prompt] = free & (here > threshold) if self._by_words else free
                reached[prompt] = float((here * free).max())
                if base:  # what the edit before may change, this one may as well
                    allowed[prompt] = allowed[prompt] | allowed[base]
        blended = list(x)
        for prompt, base in enumerate(self._bases, start=1):
            if not allowed[prompt].any():
                raise EmptyMaskError(
                    f"the mask of {self._captions[prompt].caption!r} is empty: where a change is allowed, the map of "
                    f"{self._blend.source or self._blend.target!r} reaches {reached[prompt]:.2f} of its maximum; "
                    f"expected more than the threshold of {threshold:g}. Lower it, or check the mask and the words to "
                    "keep out."
                )
            blended[prompt] = torch.where(allowed[prompt], blended[prompt], blended[base])
        self.masks = torch.stack(allowed[1:])[:, None].float().cpu()
        return torch.stack(blended)


def place(
    maps: Float[Tensor, "token row column"], positions: Sequence[int], size: Sequence[int], *, pool: bool = False
) -> Tensor:
    """How much every place belongs to some tokens, as a share of the highest value; 0 everywhere for no tokens.

    Args:
        maps: [L, rows, columns] the maps of one prompt.
        positions: The tokens.
        size: (h, w) of the result.
        pool: Whether to widen the places by one cell of the maps.

    Returns:
        [h, w] in [0, 1].
    """
    if not positions:
        return maps.new_zeros(*size)
    summed = maps[list(positions)].sum(0)[None, None]
    if pool:
        summed = F.max_pool2d(summed, 3, 1, 1)
    wide = F.interpolate(summed, size=tuple(size))[0, 0]
    return wide / wide.max()


def _words(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)
