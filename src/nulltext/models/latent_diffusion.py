"""Latent diffusion from text at 256 pixels: Rombach et al., arXiv 2112.10752, ``CompVis/ldm-text2im-large-256``."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import diffusers
import transformers
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertModel

from nulltext.models.latent_model import put_together
from nulltext.models.parts import Parts, check_classes, read_parts


@final
class LatentDiffusion:
    """The adapter of ``LDMTextToImagePipeline``, see `nulltext.models.families.Adapter`."""

    from_parts: Final = partial(put_together, "LatentDiffusion")

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:  # noqa: ARG004  it has one text encoder, and no other
        """The parts of a folder in diffusers' format."""
        check_classes(folder, {"unet": "UNet2DConditionModel", "vqvae": "AutoencoderKL"})
        networks = {
            "unet": ("unet", diffusers.UNet2DConditionModel),
            "vae": ("vqvae", diffusers.AutoencoderKL),
            "text_encoder": ("bert", LDMBertModel),
        }
        return read_parts(folder, networks, transformers.BertTokenizer)
