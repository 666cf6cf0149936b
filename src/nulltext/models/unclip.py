"""unCLIP, as Karlo has it: Ramesh et al., arXiv 2204.06125; a decoder of image embeddings, of 64 x 64 pixels.

The two networks that enlarge its images are not loaded: they draw what they add anew, from noise, so that a photograph
would not come back from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from torch.nn import functional

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import ModelLoadError, PromptError, UnsupportedPipelineError, shown
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.clip_parts import check_named, read_processor, read_unclip_scheduler
from nulltext.models.image_prior import ClipPair, no_words
from nulltext.models.image_unet import ImageUNet
from nulltext.models.latent_model import LatentModel
from nulltext.models.layout import layout_for
from nulltext.models.offload import Offload
from nulltext.models.parts import check_classes, ddim_config, read_networks, read_tokenizer
from nulltext.models.pixels import PixelSpace
from nulltext.models.quiet import quiet
from nulltext.models.recommended import Recommended
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens
from nulltext.types import Pixels, Pooled

_NETWORKS: Final[Mapping[str, tuple[str, type[Any]]]] = {
    "decoder": ("decoder", diffusers.UNet2DConditionModel),
    "text_proj": ("text_proj", UnCLIPTextProjModel),
    "text_encoder": ("text_encoder", transformers.CLIPTextModelWithProjection),
    "vision": ("image_encoder", transformers.CLIPVisionModelWithProjection),
}
"""The folder of each network, and its class."""
_SCHEDULER: Final = "decoder_scheduler/scheduler_config.json"
_CHANNELS: Final = 3
_GUIDANCE: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint is made of.

    Attributes:
        decoder: ``UNet2DConditionModel``.
        text_proj: ``UnCLIPTextProjModel``.
        text_encoder: ``CLIPTextModelWithProjection``.
        vision: ``CLIPVisionModelWithProjection``.
        tokenizer: The text encoder's.
        processor: Fits images to the vision tower.
        scheduler_config: The config of an ``UnCLIPScheduler``.
    """

    decoder: Any
    text_proj: Any
    text_encoder: Any
    vision: Any
    tokenizer: Any
    processor: Any
    scheduler_config: Mapping[str, Any]


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddingReader:
    """What the decoder is told of image embeddings beside an empty text, as ``UnCLIPImageVariationPipeline`` does.

    Attributes:
        clip: Embeds photographs and prompts.
        projection: The ``UnCLIPTextProjModel``, in float32.
        offload: Where it computes.
        model: What errors call the model.
    """

    clip: ClipPair
    projection: Any
    offload: Offload
    model: str

    @property
    def length(self) -> int:
        """L, the tokens that are made of an image embedding, and those of a text."""
        return self.projection.clip_extra_context_tokens + self.clip.text.length

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.clip.text.word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """Refused, as `imagine`."""
        return self.told(torch.cat([self.imagine(prompt) for prompt in prompts]))

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """What stands for no image: an embedding that the checkpoint has learnt for it."""
        return self.told(self.projection.learned_classifier_free_guidance_embeddings.to(self.offload.device)[None])

    def check_prompt(self, prompt: str) -> None:
        """Raises what `read` would for a prompt, and embeds nothing."""
        self.clip.text.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """Refused: the denoiser is told of no prompt's words.

        Raises:
            SessionError: Always.
        """
        raise no_words(self.model, prompt)

    def see(self, pixels: Pixels) -> Pooled:
        """See `ClipPair.see`."""
        return self.clip.see(pixels)

    def read(self, prompts: Sequence[str]) -> Pooled:
        """See `ClipPair.read`."""
        return self.clip.read(prompts)

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

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format."""
        check_classes(folder, {part: made.__name__ for part, made in list(_NETWORKS.values())[:2]})
        check_named(folder, index, dict(list(_NETWORKS.values())[2:]))
        return Parts(
            tokenizer=read_tokenizer(folder / "tokenizer"),
            processor=read_processor(folder / "feature_extractor"),
            scheduler_config=read_unclip_scheduler(folder / _SCHEDULER),
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
        scheduler = _schedule(parts.scheduler_config, f"{called}/{_SCHEDULER}")
        layout, offload = layout_for(device, dtype), Offload(device, low_memory)
        words = None if word_list is None else TaughtWords.read(word_list, parts.tokenizer)
        text = PromptEncoder.ready(parts.text_encoder, parts.tokenizer, offload, called, words)
        with quiet():
            parts.text_proj.to(device=offload.waiting, dtype=torch.float32)
        parts.text_proj.requires_grad_(requires_grad=False).eval()
        return LatentModel(
            family="UnCLIP",
            identity=identity,
            device=device,
            text=EmbeddingReader(
                clip=ClipPair.ready(text, parts.vision, parts.processor, offload),
                projection=parts.text_proj,
                offload=offload,
                model=called,
            ),
            autoencoder=PixelSpace(device=device, where=f"in {dtype} with {called}"),
            unet=ImageUNet.ready(
                parts.decoder,
                device=device,
                dtype=dtype,
                layout=layout,
                prediction=scheduler["prediction_type"],
                low_memory=low_memory,
            ),
            scheduler_config=scheduler,
            recommended=recommended or Recommended(guidance=_GUIDANCE),
            quantised=quantised,
            patch=2 ** (len(parts.decoder.config.block_out_channels) - 1),
        )


def _schedule(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A DDIM over the levels of an ``UnCLIPScheduler``, at DDIM's own times: that one's first is nothing but noise."""
    own = diffusers.UnCLIPScheduler(**config).config
    levels = {"num_train_timesteps": own.num_train_timesteps, "prediction_type": own.prediction_type}
    scheduler = ddim_config({"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, **levels}, where)
    ScheduleConfig.read(scheduler)
    return scheduler


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
    if not isinstance(unet.sample_size, int) or unet.sample_size < 1:
        raise ModelLoadError(
            f"{called}: decoder/config.json has sample_size={shown(unet.sample_size)}; expected the side of an image, "
            "such as 64. Correct it, or fetch the model again."
        )
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
