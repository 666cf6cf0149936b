"""Attention maps to look at: which word looks where."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.record import Maps, Record
from nulltext.bars import teller
from nulltext.contact_sheet import Cell, contact_sheet
from nulltext.images import to_image
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import replay
from nulltext.models.base import Model
from nulltext.progress import Telling, silent
from nulltext.showing import brief, html_table, png
from nulltext.text.words import Tokens, different_words
from nulltext.types import Pixels


@final
@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Where the words of prompts look, the mean over steps, heads and sites.

    Attributes:
        prompts: P prompts, the source first.
        maps: [P, L, rows, columns] at the resolution of the sites; over the L tokens they sum to 1.
        pixels: [P, 3, H, W] in [-1, 1] the images that were drawn.
    """

    prompts: tuple[Tokens, ...]
    maps: Maps
    pixels: Pixels

    __repr__ = brief

    def _repr_html_(self) -> str:
        """Every word over its image, and how many tokens each prompt has, in a notebook."""
        rows = [(own.prompt, len(own.ids), ", ".join(self.words(prompt))) for prompt, own in enumerate(self.prompts)]
        return html_table(rows, headings=("prompt", "tokens", "words"), image=self.sheet(), alt="where each word looks")

    def _repr_png_(self) -> bytes:
        """Every word over its image, where no HTML is shown."""
        return png(self.sheet())

    def words(self, prompt: int = 0) -> list[str]:
        """The different words of a prompt, in order; capitals make no difference."""
        return different_words(self.prompts[prompt].prompt)

    def of(self, word: str, prompt: int = 0) -> Float[Tensor, "row column"]:
        """Where a word looks, all its tokens together, [rows, columns], each from 0 to 1.

        Raises:
            WordNotFoundError: The prompt does not have it.
        """
        return self.maps[prompt, self.prompts[prompt].find(word)].sum(0)

    def over(self, word: str, prompt: int = 0) -> Float[Tensor, "height width"]:
        """Where a word looks, as a share of its highest value, scaled up to the image: [H, W] in [0, 1].

        Raises:
            WordNotFoundError: The prompt does not have it.
        """
        own = self.of(word, prompt)[None, None]
        wide = F.interpolate(own, size=self.pixels.shape[-2:], mode="bicubic").clamp(min=0)[0, 0]
        return wide / wide.max().clamp(min=torch.finfo(wide.dtype).tiny)  # a word that nothing looks at is nowhere

    def sheet(self, *, cell_size: int = 160) -> Image.Image:
        """Every word of every prompt over its image, a row a prompt: bright where the word looks."""
        rows: list[list[Cell]] = []
        for prompt, pixels in enumerate(self.pixels):
            row = [Cell(image=to_image(pixels[None]), text=self.prompts[prompt].prompt)]
            for word in self.words(prompt):
                bright = (pixels + 1) * (0.15 + 0.85 * self.over(word, prompt)) - 1
                row.append(Cell(image=to_image(bright[None]), text=word))
            rows.append(row)
        columns = max(map(len, rows))
        blank = Image.new("RGB", rows[0][0].image.size, "white")
        rows = [row + [Cell(image=blank)] * (columns - len(row)) for row in rows]
        return contact_sheet([""] * columns, rows, cell_size=cell_size)


def attention_maps(model: Model, inversion: Inversion, on_progress: Telling = silent) -> AttentionMaps:
    """Reconstructs an inverted photograph and looks at the attention on the way.

    Args:
        model: The model it was inverted with.
        inversion: The inversion.
        on_progress: Called for every step, phase "sample".

    Returns:
        The maps of the source prompt.

    Raises:
        MismatchError: Another model or schedule than the inversion's.
        SessionError: The model has no attention that can be recorded.
    """
    on_progress = teller(on_progress)
    record = Record((inversion.pivot.shape[-2], inversion.pivot.shape[-1]))
    latents = replay(model, inversion, control=record, on_progress=on_progress)
    return AttentionMaps((model.tokenize(inversion.prompt),), record.maps().cpu(), model.decode(latents).cpu())
