"""Kandinsky 2.2: Razzhigaev et al., arXiv 2310.03502; a decoder of image embeddings, and the prior that makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers

from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import ModelLoadError, UnsupportedPipelineError, shown
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.clip_parts import check_named, read_processor, read_unclip_scheduler
from nulltext.models.image_prior import ClipPair, Prior, PriorReader
from nulltext.models.image_unet import ImageUNet
from nulltext.models.latent_model import LatentModel
from nulltext.models.layout import layout_for
from nulltext.models.movq import MoVQ
from nulltext.models.offload import Offload
from nulltext.models.parts import SCHEDULER, check_classes, ddim_config, read_networks, read_scheduler, read_tokenizer
from nulltext.models.recommended import Recommended
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords

_NETWORKS: Final[Mapping[str, tuple[str, type[Any]]]] = {
    "unet": ("unet", diffusers.UNet2DConditionModel),
    "movq": ("movq", diffusers.VQModel),
    "prior": ("prior_prior", diffusers.PriorTransformer),
    "vision": ("prior_image_encoder", transformers.CLIPVisionModelWithProjection),
    "text_encoder": ("prior_text_encoder", transformers.CLIPTextModelWithProjection),
}
"""The folder of each network, and its class."""
_PRIOR_SCHEDULER: Final = "prior_scheduler/scheduler_config.json"
_GUIDANCE: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint is made of.

    Attributes:
        unet: ``UNet2DConditionModel``.
        movq: ``VQModel``.
        prior: ``PriorTransformer``.
        vision: ``CLIPVisionModelWithProjection``.
        text_encoder: ``CLIPTextModelWithProjection``.
        tokenizer: Its tokenizer.
        processor: Fits images to the vision tower.
        scheduler_config: The config of any scheduler.
        prior_scheduler_config: The config of an ``UnCLIPScheduler``.
    """

    unet: Any
    movq: Any
    prior: Any
    vision: Any
    text_encoder: Any
    tokenizer: Any
    processor: Any
    scheduler_config: Mapping[str, Any]
    prior_scheduler_config: Mapping[str, Any]


@final
class Kandinsky22:
    """The adapter of ``KandinskyV22CombinedPipeline``, see `nulltext.models.families.Adapter`."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format."""
        check_classes(folder, {part: made.__name__ for part, made in list(_NETWORKS.values())[:3]})
        check_named(folder, index, dict(list(_NETWORKS.values())[3:]))
        return Parts(
            tokenizer=read_tokenizer(folder / "prior_tokenizer"),
            processor=read_processor(folder / "prior_image_processor"),
            prior_scheduler_config=read_unclip_scheduler(folder / _PRIOR_SCHEDULER),
            scheduler_config=read_scheduler(folder),
            **read_networks(folder, _NETWORKS),
        )

    @staticmethod
    def from_parts(
        parts: Parts,
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recommended: Recommended | None = None,
        quantised: Autoencoder | None = None,
        word_list: Path | None = None,
        low_memory: bool = False,
    ) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        called = identity.id
        check_fit(parts, called)
        # Clipping what the latents should become, which pipelines do at each step, cannot be undone by an inversion.
        plain = {**parts.scheduler_config, "thresholding": False}
        scheduler = ddim_config(plain, f"{called}/{SCHEDULER}")
        ScheduleConfig.read(scheduler)
        layout, offload = layout_for(device, dtype), Offload(device, low_memory)
        words = None if word_list is None else TaughtWords.read(word_list, parts.tokenizer)
        text = PromptEncoder.ready(
            parts.text_encoder, parts.tokenizer, offload, called, words, part="prior_text_encoder"
        )
        if text.length != parts.prior.config.num_embeddings:
            raise UnsupportedPipelineError(
                f"{called}: the prior reads {parts.prior.config.num_embeddings} tokens, its text encoder gives "
                f"{text.length}; expected as many. Put in its place the one that the prior was trained with."
            )
        return LatentModel(
            family="Kandinsky22",
            identity=identity,
            device=device,
            text=PriorReader(
                clip=ClipPair.ready(text, parts.vision, parts.processor, offload),
                prior=Prior.ready(parts.prior, parts.prior_scheduler_config, offload),
                model=called,
            ),
            autoencoder=MoVQ.ready(parts.movq, offload, layout, f"in {dtype} with {called}"),
            unet=ImageUNet.ready(
                parts.unet,
                device=device,
                dtype=dtype,
                layout=layout,
                prediction=scheduler["prediction_type"],
                low_memory=low_memory,
            ),
            scheduler_config=scheduler,
            recommended=recommended or Recommended(guidance=_GUIDANCE),
            quantised=quantised,
            patch=2 ** (len(parts.unet.config.block_out_channels) - 1),
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
    if not isinstance(unet.sample_size, int) or unet.sample_size < 1:
        raise ModelLoadError(
            f"{called}: unet/config.json has sample_size={shown(unet.sample_size)}; expected the side of the latents, "
            "such as 64. Correct it, or fetch the model again."
        )
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
