"""unCLIP, as Karlo has it: Ramesh et al., arXiv 2204.06125; a decoder of image embeddings, of 64 x 64 pixels.

The two networks that enlarge its images are not loaded: they draw what they add anew, from noise, so that a photograph
would not come back from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import diffusers
import torch
import transformers
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from torch.nn import functional

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import PromptError, UnsupportedPipelineError, shown
from nulltext.models.build import Build
from nulltext.models.clip_pair import ClipPair, read_processor
from nulltext.models.embedding_reader import EmbeddingReader
from nulltext.models.image_unet import ImageUNet, check_size
from nulltext.models.latent_model import LatentModel
from nulltext.models.offload import Offload, waiting
from nulltext.models.parts import Inventory, Parts
from nulltext.models.pixels import PixelSpace
from nulltext.models.schedulers import ddim_schedule, read_unclip_scheduler
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.tokenizers import read_tokenizer
from nulltext.models.unet import halved_by
from nulltext.types import Pooled

_PARTS: Final = Inventory(
    {
        "decoder": ("decoder", diffusers.UNet2DConditionModel),
        "text_proj": ("text_proj", UnCLIPTextProjModel),
        "text_encoder": ("text_encoder", transformers.CLIPTextModelWithProjection),
        "vision": ("image_encoder", transformers.CLIPVisionModelWithProjection),
    },
    {
        "tokenizer": ("tokenizer", read_tokenizer),
        "processor": ("feature_extractor", read_processor),
        "scheduler_config": ("decoder_scheduler", read_unclip_scheduler),
    },
)
_SCHEDULER: Final = "decoder_scheduler/scheduler_config.json"
_CHANNELS: Final = 3
_GUIDANCE: Final = 8.0


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class VariationReader(EmbeddingReader):
    """What the decoder is told of image embeddings beside an empty text, as ``UnCLIPImageVariationPipeline`` does.

    Attributes:
        projection: The ``UnCLIPTextProjModel``, in float32.
        offload: Where it computes.
    """

    projection: Any
    offload: Offload

    @property
    def length(self) -> int:
        """L, the tokens that are made of an image embedding, and those of a text."""
        return self.projection.clip_extra_context_tokens + self.clip.text.length

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """What stands for no image: an embedding that the checkpoint has learnt for it."""
        return self.told(self.projection.learned_classifier_free_guidance_embeddings.to(self.offload.device)[None])

    def imagine(self, prompt: str) -> Pooled:
        """Refused: image variations have no prior.

        Raises:
            PromptError: Always.
        """
        raise PromptError(
            f"got the prompt {shown(prompt)} to draw, but {self.model} has no prior, which makes an image embedding of "
            "a prompt; expected an image to start from. Invert one, and take the editor text-diff."
        )

    def told(self, embeddings: Pooled) -> Conditioning:
        """What the network is told of images by their embeddings, [B, D]."""
        empty, (_, seen) = self.clip.text.read([""]), self.clip.text.padded([""])
        rows = len(embeddings)
        with torch.no_grad(), self.offload.in_use(self.projection):
            text, beside = self.projection(
                image_embeddings=embeddings.to(self.offload.device),
                prompt_embeds=empty.text_embeds.expand(rows, -1),
                text_encoder_hidden_states=empty.last_hidden_state.expand(rows, -1, -1),
                do_classifier_free_guidance=False,
            )
        mask = functional.pad(seen.bool(), (self.projection.clip_extra_context_tokens, 0), value=True)
        return Conditioning(text=text, pooled=beside, extras={"seen": mask.expand(rows, -1)})


@final
class UnCLIP:
    """The adapter of ``UnCLIPImageVariationPipeline``, see `nulltext.models.families.Adapter`."""

    read: Final = _PARTS.read

    @staticmethod
    def from_parts(parts: Parts, build: Build) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        check_fit(parts, build.called)
        scheduler = _schedule(parts.scheduler_config, f"{build.called}/{_SCHEDULER}")
        return LatentModel(
            family="UnCLIP",
            identity=build.identity,
            device=build.device,
            text=_reader(parts, build),
            autoencoder=PixelSpace(device=build.device, where=build.where),
            unet=ImageUNet.ready(parts.decoder, build, scheduler["prediction_type"]),
            scheduler_config=scheduler,
            recommended=build.best(_GUIDANCE),
            quantised=build.quantised,
            patch=halved_by(parts.decoder.config),
        )


def _reader(parts: Parts, build: Build) -> VariationReader:
    text = PromptEncoder.ready(parts.text_encoder, parts.tokenizer, build, build.words(parts.tokenizer))
    return VariationReader(
        clip=ClipPair.ready(text, parts.vision, parts.processor, build.offload),
        projection=waiting(parts.text_proj, build.offload),
        offload=build.offload,
        model=build.called,
    )


def _schedule(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A DDIM over the levels of an ``UnCLIPScheduler``, at DDIM's own times: that one's first is nothing but noise."""
    own = diffusers.UnCLIPScheduler(**config).config
    levels = {"num_train_timesteps": own.num_train_timesteps, "prediction_type": own.prediction_type}
    return ddim_schedule({"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, **levels}, where)


def check_fit(parts: Parts, called: str) -> None:
    """Makes sure that the parts are a decoder's of pixels, made for each other.

    Raises:
        UnsupportedPipelineError: They are not.
        ModelLoadError: The denoiser's config has no size.
    """
    unet, projection = parts.decoder.config, parts.text_proj.config
    got = (unet.in_channels, unet.out_channels, unet.class_embed_type)
    if got != (expected := (_CHANNELS, 2 * _CHANNELS, "identity")):
        raise UnsupportedPipelineError(
            f"{called}: decoder/config.json has in_channels, out_channels and class_embed_type {got}; expected "
            f"{expected}. Put in its place the decoder that the checkpoint was trained with."
        )
    check_size(unet.sample_size, f"{called}: decoder/config.json", "an image")
    widths = {
        "text_proj": projection.clip_embeddings_dim,
        "image_encoder": parts.vision.config.projection_dim,
        "text_encoder": parts.text_encoder.config.projection_dim,
        "text_encoder's states": parts.text_encoder.config.hidden_size,
    }
    if len(set(widths.values())) > 1 or projection.cross_attention_dim != unet.cross_attention_dim:
        raise UnsupportedPipelineError(
            f"{called}: its parts have embeddings of {widths} numbers, and tell {projection.cross_attention_dim} for "
            f"{unet.cross_attention_dim}; expected as many of each. One is another checkpoint's: fetch them from one."
        )
