"""Stable Diffusion 1.x and 2.x."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import diffusers
import transformers

from nulltext.models.latent_model import of_one_encoder
from nulltext.models.parts import Inventory, Parts
from nulltext.models.schedulers import read_scheduler
from nulltext.models.tokenizers import class_named, read_tokenizer, tokenizer_class


@final
class StableDiffusion:
    """The adapter of ``StableDiffusionPipeline``, see `nulltext.models.families.Adapter`."""

    from_parts: Final = partial(of_one_encoder, "StableDiffusion")

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format."""
        return inventory(folder, index).read(folder, index)


def inventory(folder: Path, index: Mapping[str, Any]) -> Inventory:
    """What such a checkpoint holds, with the text encoder of transformers that its index names.

    Raises:
        UnsupportedPipelineError: The index names another's.
    """
    encoder = class_named(index, "text_encoder", "CLIPTextModel", transformers.PreTrainedModel, folder)
    tokenizer = partial(read_tokenizer, made=tokenizer_class(folder, index))
    return Inventory(
        {
            "unet": ("unet", diffusers.UNet2DConditionModel),
            "vae": ("vae", diffusers.AutoencoderKL),
            "text_encoder": ("text_encoder", encoder),
        },
        {"tokenizer": ("tokenizer", tokenizer), "scheduler_config": ("scheduler", read_scheduler)},
    )
