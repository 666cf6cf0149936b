"""CLIP's two towers, by which a photograph and a prompt are vectors of one space (Radford et al., arXiv 2103.00020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
import transformers
from PIL import Image
from torch import Tensor

from nulltext.errors import ModelLoadError
from nulltext.models.configs import check_sizes, read_config
from nulltext.models.networks import check_regular, first_line
from nulltext.models.offload import Offload, waiting
from nulltext.models.quiet import quiet
from nulltext.models.text_encoder import PromptEncoder
from nulltext.types import Pixels, Pooled


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ClipPair:
    """CLIP's two towers, frozen and in float32, see `nulltext.models.capabilities.ImageReader`.

    Attributes:
        text: Reads prompts: ``CLIPTextModelWithProjection``.
        vision: Sees images: ``CLIPVisionModelWithProjection``.
        processor: Fits images to it: ``CLIPImageProcessor``, which crops what is not square.
        offload: Where they compute.
    """

    text: PromptEncoder
    vision: Any
    processor: Any
    offload: Offload

    @classmethod
    def ready(cls, text: PromptEncoder, vision: Any, processor: Any, offload: Offload) -> "ClipPair":  # noqa: ANN401  the libraries carry no types
        """Takes over what sees images: puts it where it waits, and freezes it."""
        return cls(text=text, vision=waiting(vision, offload), processor=processor, offload=offload)

    def see(self, pixels: Pixels) -> Pooled:
        """[B, D] the embeddings of images in [-1, 1], as 8-bit images."""
        levels = ((pixels.detach().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        images = [Image.fromarray(each.permute(1, 2, 0).contiguous().numpy()) for each in levels]
        with quiet():
            return self._of(self.processor(images, return_tensors="pt").pixel_values)

    def read(self, prompts: Sequence[str]) -> Pooled:
        """[B, D] the embeddings of prompts."""
        for prompt in prompts:
            self.text.check_prompt(prompt)
        return self.text.read(prompts).text_embeds.float()

    @cached_property
    def unseen(self) -> Pooled:
        """[1, D] the embedding of zeros, in the vision tower's own scale, which stands for no image."""
        side: int = self.vision.config.image_size
        return self._of(torch.zeros(1, 3, side, side))

    def _of(self, pixels: Tensor) -> Pooled:
        with torch.no_grad(), quiet(), self.offload.in_use(self.vision):
            return self.vision(pixels.to(self.offload.device, torch.float32)).image_embeds


def read_processor(folder: Path) -> Any:  # noqa: ANN401  transformers carries no types
    """What fits images to the vision tower, by Pillow, so that its pixels do not depend on what else is installed.

    Raises:
        ModelLoadError: Its config is damaged, or describes none.
    """
    check_regular(folder)
    config = read_config(folder / "preprocessor_config.json")
    check_sizes(config, folder / "preprocessor_config.json")
    try:
        with quiet():
            return transformers.CLIPImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # of values that are no sizes, of any kind
        raise ModelLoadError(
            f"{folder / 'preprocessor_config.json'} describes no image processor: {first_line(error)}. Correct it, or "
            "fetch the model again."
        ) from error
