"""Latent diffusion from text at 256 pixels: Rombach et al., arXiv 2112.10752, ``CompVis/ldm-text2im-large-256``."""

from functools import partial
from typing import Final, final

import diffusers
import transformers
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertModel

from nulltext.models.latent_model import of_one_encoder
from nulltext.models.parts import Inventory
from nulltext.models.schedulers import read_scheduler
from nulltext.models.tokenizers import read_tokenizer

_PARTS: Final = Inventory(
    {
        "unet": ("unet", diffusers.UNet2DConditionModel),
        "vae": ("vqvae", diffusers.AutoencoderKL),
        "text_encoder": ("bert", LDMBertModel),
    },
    {
        "tokenizer": ("tokenizer", partial(read_tokenizer, made=transformers.BertTokenizer)),
        "scheduler_config": ("scheduler", read_scheduler),
    },
)


@final
class LatentDiffusion:
    """The adapter of ``LDMTextToImagePipeline``, see `nulltext.models.families.Adapter`."""

    read: Final = _PARTS.read
    from_parts: Final = partial(of_one_encoder, "LatentDiffusion")
