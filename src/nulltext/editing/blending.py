"""Local blends at work: the masks of a run, made from attention maps and drawn ones, and the source put back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.control import steps_of
from nulltext.attention.placed import placed
from nulltext.attention.record import Maps, Record
from nulltext.attention.word_steps import find_in_any
from nulltext.editing.base import filled
from nulltext.editing.blend import Blend
from nulltext.editing.masks import HALF, AnyMask, check_not_empty
from nulltext.errors import EmptyMaskError, listed, shown
from nulltext.text.words import Tokens
from nulltext.types import Latents, Mask, Masks, Pixels

Cells = Bool[Tensor, "latent_row latent_column"]
"""[h, w] a choice of the latents' cells."""

FindMask = Callable[[AnyMask, str], Mask]
"""(what a blend has as its mask, target prompt) -> [1, 1, h, w] the mask over the latents."""


@final
class Blender:
    """The blends of one run at work, one for each new prompt."""

    def __init__(
        self,
        blends: Sequence[Blend | None],
        prompts: Sequence[Tokens],
        *,
        bases: Sequence[int],
        steps: int,
        find_mask: FindMask,
        latent_size: tuple[int, int],
        record: Record,
    ) -> None:
        """Looks up the words and the masks.

        Args:
            blends: For each of the P - 1 new prompts its settings, in force; None lets it change everywhere.
            prompts: The source prompt and the new ones.
            bases: For each new prompt the prompt that it is an edit of.
            steps: T.
            find_mask: Gives the masks that blends have besides words.
            latent_size: (h, w).
            record: Where the maps of the run are kept.

        Raises:
            WordNotFoundError: A word is in no prompt, or a new prompt has none of its target words.
            ImageError: A mask cannot be read, or has another aspect ratio than the photograph.
            EmptyMaskError: A mask has nothing white in it.
        """
        self._masks: Masks = torch.ones(len(bases), 1, *latent_size)
        self._prompts, self._bases, self._record = prompts, bases, record
        self._word_masks = [
            None
            if blend is None
            else _WordMask.of(blend, prompts, row, steps=steps, find_mask=find_mask, size=latent_size)
            for row, blend in enumerate(blends, start=1)
        ]

    def __call__(self, step: int, x: Latents) -> Latents:
        """Puts the source back outside the masks: ``x_p = x_b + mask_p (x_p - x_b)``.

        Args:
            step: The step just done.
            x: [P, C, h, w], the source first.

        Raises:
            EmptyMaskError: A mask is empty.
        """
        everywhere = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device)
        masks, blended = [everywhere], list(x)
        for row, (base, where) in enumerate(zip(self._bases, self._word_masks, strict=True), start=1):
            if where is None or step < where.first:
                masks.append(everywhere)
                continue
            mask, reached = where.mask(self._record.maps() if where.blend.by_maps else None, everywhere)
            if base:  # what the edit before may change, this one may as well
                mask = mask | masks[base]
            if not mask.any():
                blend, prompt = where.blend, self._prompts[row].prompt
                if not (words := listed((*blend.source_words, *blend.target_words))):
                    raise EmptyMaskError(
                        f"the mask of {shown(prompt)} is empty: the places of {listed(blend.keep_out_words)}, which "
                        f"are kept out, cover all of it; expected some to be left. Raise the threshold of "
                        f"{where.threshold:g}, above which a place belongs to a word."
                    )
                raise EmptyMaskError(
                    f"the mask of {shown(prompt)} is empty: where a change is allowed, the map of {words} reaches "
                    f"{float(reached):.2f} of its maximum; expected more than the threshold of {where.threshold:g}. "
                    "Lower it, or check the mask and the words to keep out."
                )
            masks.append(mask)
            blended[row] = torch.where(mask, blended[row], blended[base])
        self._masks = torch.stack(masks[1:])[:, None].float()
        return torch.stack(blended)

    @property
    def masks(self) -> Masks:
        """[P - 1, 1, h, w] the masks used last, on the CPU; white as long as there were none."""
        return self._masks.cpu()

    def finish(self, pixels: Pixels) -> Pixels:
        """Puts the source back outside the masks used last in the decoded images, where a blend asks for that.

        Args:
            pixels: [P, 3, H, W], the source first.
        """
        halves = F.interpolate(self.masks, size=pixels.shape[-2:], mode="bilinear")  # 0.5 on the border of a mask
        soft = (halves / HALF).clamp(max=1).to(pixels)
        finished = list(pixels)
        for row, (base, where) in enumerate(zip(self._bases, self._word_masks, strict=True), start=1):
            if where is not None and where.blend.pixels:
                finished[row] = torch.lerp(finished[base], finished[row], soft[row - 1])
        return torch.stack(finished)


@dataclass(frozen=True, eq=False, kw_only=True)
class _WordMask:
    """A blend with its words looked up, for one new prompt: positions of tokens in the source and in that prompt."""

    blend: Blend
    row: int
    first: int
    source: list[int]
    target: list[int]
    kept: tuple[list[int], list[int]]
    user_mask: Cells
    threshold: float

    @classmethod
    def of(
        cls,
        blend: Blend,
        prompts: Sequence[Tokens],
        row: int,
        *,
        steps: int,
        find_mask: FindMask,
        size: tuple[int, int],
    ) -> "_WordMask":
        own = prompts[row]
        for word in blend.target_words:
            find_in_any(prompts[1:], word)
        having = [word for word in blend.target_words if own.has(word)] or blend.target_words[:1]
        kept = [find_in_any(prompts, word) for word in blend.keep_out_words]
        user_mask = torch.ones(1, 1, *size)
        if blend.mask is not None:
            user_mask = find_mask(blend.mask, own.prompt)
        check_not_empty(user_mask)
        return cls(
            blend=blend,
            row=row,
            first=min(steps_of(blend.start, steps).stop, steps - 1),
            source=[position for word in blend.source_words for position in prompts[0].find(word)],
            target=[position for word in having for position in own.find(word)],
            kept=(
                [position for found in kept for position in found.get(0, [])],
                [position for found in kept for position in found.get(row, [])],
            ),
            user_mask=user_mask[0, 0] > HALF,
            threshold=filled(blend.threshold),
        )

    def mask(self, maps: Maps | None, everywhere: Cells) -> tuple[Cells, Tensor]:
        """Where the prompt may change the image, and the highest value of its words' maps there, a scalar."""
        free = everywhere & placed(self.user_mask, everywhere.device)
        if maps is None:
            return free, torch.ones(())
        size, threshold = free.shape, self.threshold
        for its_maps, positions in zip((maps[0], maps[self.row]), self.kept, strict=True):
            free = free & (place(its_maps, positions, size) <= threshold)
        if not self.source and not self.target:
            return free, torch.zeros(())
        likely = torch.maximum(
            place(maps[0], self.source, size, pool=True), place(maps[self.row], self.target, size, pool=True)
        )
        return free & (likely > threshold), (likely * free).max()


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
    summed = torch.stack([maps[position] for position in positions]).sum(0)[None, None]
    if pool:
        summed = F.max_pool2d(summed, 3, 1, 1)
    wide = F.interpolate(summed, size=tuple(size))[0, 0]
    return wide / wide.max().clamp(min=torch.finfo(wide.dtype).tiny)  # a word that nothing looks at is nowhere
