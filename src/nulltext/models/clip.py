"""CLIP for the metrics: pictures and captions as unit vectors in one space (Radford et al., 2021)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from nulltext.errors import ModelNotFoundError
from nulltext.models import embedded
from nulltext.models.quiet import quiet

_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own pixel statistics."""


def normalized(pixels: Tensor) -> Tensor:
    """Pixels [n, 3, h, w] in [-1, 1] as CLIP's vision tower takes them."""
    mean = torch.tensor(_MEAN, device=pixels.device)[:, None, None]
    std = torch.tensor(_STD, device=pixels.device)[:, None, None]
    return ((pixels + 1) / 2 - mean) / std


class Clip:
    """A frozen CLIPModel and its tokenizer."""

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        """Freeze the model."""
        self.model = model.float().eval().requires_grad_(requires_grad=False)
        self.tokenizer = tokenizer
        self.side = int(model.vision_model.config.to_dict()["image_size"])

    @staticmethod
    def load(folder: str | Path = embedded.CLIP) -> "Clip":
        """Any CLIPModel saved by transformers with its tokenizer; the embedded one by default.

        Raises:
            ModelNotFoundError: The folder holds no CLIP.
        """
        try:
            with quiet():
                return Clip(CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder))
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"got {str(folder)!r}; expected a folder with a CLIPModel and its tokenizer, as transformers saves it."
            ) from error

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> Tensor:
        """Captions as unit vectors, [n, D]."""
        tokens = self.tokenizer(list(captions), padding="longest", return_tensors="pt").input_ids
        said = self.model.text_model(input_ids=tokens.to(self.model.device)).pooler_output
        return functional.normalize(self.model.text_projection(said), dim=-1)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """Pictures [n, 3, h, w] in [-1, 1] as unit vectors, [n, D]; scaled to the tower's size where they are not."""
        side = self.side
        if pixels.shape[-2:] != (side, side):
            pixels = functional.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)
        seen = self.model.vision_model(pixel_values=normalized(pixels.to(self.model.device))).pooler_output
        return functional.normalize(self.model.visual_projection(seen), dim=-1)
