"""Kandinsky 2.2: Razzhigaev et al., arXiv 2310.03502; a decoder of image embeddings, and the prior that makes them."""

from typing import Final, final

import diffusers
import transformers

from nulltext.errors import UnsupportedPipelineError, shown
from nulltext.models.build import Build
from nulltext.models.clip_pair import ClipPair, read_processor
from nulltext.models.image_prior import Prior, PriorReader
from nulltext.models.image_unet import ImageUNet, check_size
from nulltext.models.latent_model import LatentModel
from nulltext.models.movq import MoVQ
from nulltext.models.parts import Inventory, Parts
from nulltext.models.schedulers import SCHEDULER, ddim_schedule, read_scheduler, read_unclip_scheduler
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.tokenizers import read_tokenizer
from nulltext.models.unet import halved_by

_PARTS: Final = Inventory(
    {
        "unet": ("unet", diffusers.UNet2DConditionModel),
        "movq": ("movq", diffusers.VQModel),
        "prior": ("prior_prior", diffusers.PriorTransformer),
        "vision": ("prior_image_encoder", transformers.CLIPVisionModelWithProjection),
        "text_encoder": ("prior_text_encoder", transformers.CLIPTextModelWithProjection),
    },
    {
        "tokenizer": ("prior_tokenizer", read_tokenizer),
        "processor": ("prior_image_processor", read_processor),
        "prior_scheduler_config": ("prior_scheduler", read_unclip_scheduler),
        "scheduler_config": ("scheduler", read_scheduler),
    },
)
_GUIDANCE: Final = 4.0


@final
class Kandinsky22:
    """The adapter of ``KandinskyV22CombinedPipeline``, see `nulltext.models.families.Adapter`."""

    read: Final = _PARTS.read

    @staticmethod
    def from_parts(parts: Parts, build: Build) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        check_fit(parts, build.called)
        # Clipping what the latents should become, which pipelines do at each step, cannot be undone by an inversion.
        plain = {**parts.scheduler_config, "thresholding": False}
        scheduler = ddim_schedule(plain, f"{build.called}/{SCHEDULER}")
        return LatentModel(
            family="Kandinsky22",
            identity=build.identity,
            device=build.device,
            text=_reader(parts, build),
            autoencoder=MoVQ.ready(parts.movq, build),
            unet=ImageUNet.ready(parts.unet, build, scheduler["prediction_type"]),
            scheduler_config=scheduler,
            recommended=build.best(_GUIDANCE),
            quantised=build.quantised,
            patch=halved_by(parts.unet.config),
        )


def _reader(parts: Parts, build: Build) -> PriorReader:
    words = build.words(parts.tokenizer)
    text = PromptEncoder.ready(parts.text_encoder, parts.tokenizer, build, words, part="prior_text_encoder")
    if text.length != parts.prior.config.num_embeddings:
        raise UnsupportedPipelineError(
            f"{build.called}: the prior reads {parts.prior.config.num_embeddings} tokens, its text encoder gives "
            f"{text.length}; expected as many. Put in its place the one that the prior was trained with."
        )
    return PriorReader(
        clip=ClipPair.ready(text, parts.vision, parts.processor, build.offload),
        prior=Prior.ready(parts.prior, parts.prior_scheduler_config, build.offload),
        model=build.called,
    )


def check_fit(parts: Parts, called: str) -> None:
    """Makes sure that the parts are those of a text-to-image checkpoint, made for each other.

    Raises:
        UnsupportedPipelineError: They are not.
        ModelLoadError: The denoiser's config has no size.
    """
    unet, movq = parts.unet.config, parts.movq.config
    channels = movq.vq_embed_dim or movq.latent_channels
    told = (unet.addition_embed_type, unet.encoder_hid_dim_type)
    if told != ("image", "image_proj") or unet.in_channels != channels or unet.out_channels != 2 * channels:
        raise UnsupportedPipelineError(
            f"{called}: the denoiser takes {unet.in_channels} channels, gives {unet.out_channels} and is told of "
            f"{shown(told)}; expected {channels}, {2 * channels} and ('image', 'image_proj'). Choose the text-to-image "
            "decoder: one for inpainting, one with a ControlNet or of Kandinsky 2.1 cannot be used."
        )
    if movq.norm_type != "spatial":
        raise UnsupportedPipelineError(
            f"{called}: movq/config.json has norm_type={shown(movq.norm_type)}; expected 'spatial'. Put in its place "
            "the autoencoder that the decoder was trained with."
        )
    check_size(unet.sample_size, f"{called}: unet/config.json", "the latents")
    widths = {
        "unet": unet.encoder_hid_dim,
        "prior_prior": parts.prior.config.embedding_dim,
        "prior_image_encoder": parts.vision.config.projection_dim,
        "prior_text_encoder": parts.text_encoder.config.projection_dim,
    }
    if len(set(widths.values())) > 1:
        raise UnsupportedPipelineError(
            f"{called}: its parts have embeddings of {widths} numbers; expected as many of each. One is another "
            "checkpoint's: save decoder and prior again, of one release."
        )
