"""Stable Diffusion 1.x and 2.x behind the `Model` protocol."""

import difflib
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import diffusers
import torch
from torch import Tensor, nn

from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.schedule import Schedule, ScheduleConfig
from nulltext.errors import (
    CaptionTooLongError,
    UnknownWordError,
    UnsupportedPipelineError,
    UnsupportedScheduleError,
)
from nulltext.models.base import Autoencoder, ModelIdentity, check_said
from nulltext.models.gradients import ScaledGradient, clamp
from nulltext.models.layout import quickest_layout
from nulltext.models.quiet import quiet
from nulltext.models.weights import GUIDANCE
from nulltext.text.words import Span, Tokens
from nulltext.types import Embeddings, Latents, Pixels, Times


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class StableDiffusion:
    """A Stable Diffusion 1.x or 2.x checkpoint, frozen.

    The denoiser computes in `dtype`. The text encoder and the autoencoder run once for a picture and stay in float32:
    their rounding would be in every result, and a float16 autoencoder can overflow to a black picture.

    Attributes:
        identity: Which weights these are.
        device: Where they are.
        dtype: The denoiser's precision.
        unet: ``UNet2DConditionModel``.
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``.
        tokenizer: ``CLIPTokenizer``.
        scheduler_config: A full ``DDIMScheduler`` config.
        guidance: The weight w of classifier-free guidance at which the checkpoint is best used.
        quantised: The autoencoder with a codebook that the checkpoint holds besides its own, if it holds one.
        words: The words the model was taught, if it has a list; None for a model that takes any.
        word_list: Where that list is.
        layout: The memory layout in which the denoiser's convolutions are quickest.
        low_memory: Whether text encoder and autoencoder wait on the CPU while they are not used.
    """

    identity: ModelIdentity
    device: torch.device
    dtype: torch.dtype
    # diffusers and transformers carry no types: the four parts are Any, and what leaves this class is annotated.
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]
    guidance: float = GUIDANCE
    quantised: Autoencoder | None = None
    words: frozenset[str] | None = None
    word_list: Path | None = None
    layout: torch.memory_format = torch.contiguous_format
    low_memory: bool = False

    @classmethod
    def from_pipeline(
        cls,
        pipeline: "diffusers.StableDiffusionPipeline",
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        guidance: float = GUIDANCE,
        quantised: Autoencoder | None = None,
        word_list: Path | None = None,
        low_memory: bool = False,
    ) -> "StableDiffusion":
        """Takes over a pipeline's parts: moves them, sets their precision, and freezes them.

        Args:
            pipeline: Its parts are used, not copied.
            identity: What to call the weights.
            device: Where to compute.
            dtype: The denoiser's precision: float32, float16 or bfloat16.
            guidance: The weight w at which it is best used.
            quantised: An autoencoder with a codebook that lies beside it.
            word_list: A text file with one known word a line, if the model only knows some.
            low_memory: Slower, in less memory: activations are computed again for the gradient, the autoencoder works
                in tiles, and what is not used waits on the CPU.

        Raises:
            UnsupportedPipelineError: The parts are not those of a text-to-image Stable Diffusion 1.x or 2.x.
            UnsupportedScheduleError: DDIM cannot walk the scheduler's levels both ways.
        """
        parts: Any = pipeline
        channels = parts.vae.config.latent_channels
        if parts.unet.config.in_channels != channels or parts.unet.config.class_embed_type is not None:
            raise UnsupportedPipelineError(
                f"{identity.id}: the denoiser takes {parts.unet.config.in_channels} channels, but latents have "
                f"{channels}; expected a text-to-image checkpoint. Inpainting, depth and upscaling cannot be used."
            )
        width, embedded = parts.unet.config.cross_attention_dim, parts.text_encoder.config.hidden_size
        if width != embedded:
            raise UnsupportedPipelineError(
                f"{identity.id}: the denoiser expects text embeddings of width {width}, the text encoder gives "
                f"{embedded}; expected a Stable Diffusion 1.x or 2.x checkpoint with its own text encoder."
            )
        size: Any = parts.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        layout = quickest_layout(device, dtype, parts.unet.config.block_out_channels[0], (2, height, width))
        waiting = torch.device("cpu") if low_memory else device
        with quiet():
            parts.unet.to(device=device, dtype=dtype, memory_format=layout)
            parts.vae.to(device=waiting, dtype=torch.float32, memory_format=layout)
            parts.text_encoder.to(device=waiting, dtype=torch.float32)
            if low_memory:
                parts.unet.enable_gradient_checkpointing()
                parts.vae.enable_tiling()
                parts.vae.enable_slicing()
            scheduler_config = _ddim_config(parts.scheduler)
        for part in (parts.unet, parts.vae, parts.text_encoder):
            part.requires_grad_(requires_grad=False).eval()
        return cls(
            identity=identity,
            device=device,
            dtype=dtype,
            unet=parts.unet,
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            scheduler_config=scheduler_config,
            guidance=guidance,
            quantised=quantised,
            words=None if word_list is None else frozenset(word_list.read_text(encoding="utf-8").lower().split()),
            word_list=word_list,
            layout=layout,
            low_memory=low_memory,
        )

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        return self.vae.config.latent_channels

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell: the autoencoder halves once between two of its blocks."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the checkpoint was made for."""
        size: int | Sequence[int] = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return height * self.scale, width * self.scale

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        return self.scheduler_config["prediction_type"]

    @property
    def denoiser(self) -> nn.Module:
        """The UNet."""
        return self.unet

    def schedule(self, steps: int) -> Schedule:
        """The checkpoint's noise schedule in so many steps, as ``DDIMScheduler`` would walk it.

        Raises:
            SettingError: `steps` is out of range.
        """
        return Schedule.from_config(self.scheduler_config, steps)

    @property
    def text_length(self) -> int:
        """L, the tokens of an embedding, the two that mark start and end among them."""
        return min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)

    def check_caption(self, caption: str) -> None:
        """Says what `embed` would refuse of a caption that is meant to say something, and computes nothing.

        Raises:
            EmptyCaptionError: It has no word in it.
            CaptionTooLongError: It has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        check_said([caption])
        self._check_words(caption)
        self._check_length(caption)

    def embed(self, captions: Sequence[str]) -> Embeddings:
        """[B, L, D] embeddings of captions, as the pipeline computes them; "" is the null caption.

        Raises:
            CaptionTooLongError: A caption has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for caption in captions:
            self._check_words(caption)
            self._check_length(caption)
        tokens = self.tokenizer(
            list(captions), padding="max_length", max_length=self.text_length, truncation=False, return_tensors="pt"
        )
        # Most checkpoints attend to the padding as well; those that do not say so in their config.
        masked: bool = getattr(self.text_encoder.config, "use_attention_mask", False)
        with torch.no_grad(), self._here(self.text_encoder):
            return self.text_encoder(
                tokens.input_ids.to(self.device),
                attention_mask=tokens.attention_mask.to(self.device) if masked else None,
            )[0].float()

    def tokenize(self, caption: str) -> Tokens:
        """A caption as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        cut = self.tokenizer(caption, truncation=False, return_offsets_mapping=True, return_special_tokens_mask=True)
        spans = [
            None if mark else (int(start), int(end))
            for (start, end), mark in zip(cut.offset_mapping, cut.special_tokens_mask, strict=True)
        ]
        return Tokens(caption, tuple(cut.input_ids), tuple(spans))

    def predict(self, x: Latents, t: int | Times, text: Embeddings) -> Latents:
        """The denoiser's raw output, differentiable with respect to `text`.

        Args:
            x: [B, C, h, w] latents.
            t: The time the network is told, or one for each of the B.
            text: [B, L, D] embeddings.
        """
        x = x.to(self.dtype).contiguous(memory_format=self.layout)
        if self.dtype == torch.float16 and text.requires_grad:
            scaled = ScaledGradient()
            return scaled.leave(self.unet(x, t, scaled.enter(text).to(self.dtype)).sample.float())
        return self.unet(x, t, text.to(self.dtype)).sample.float()

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, H / scale, W / scale] latents of pictures: the posterior's mode, by the autoencoder's own scaling."""
        pixels = pixels.to(self.device, torch.float32).contiguous(memory_format=self.layout)
        with torch.no_grad(), self._here(self.vae):
            latents: Tensor = self.vae.encode(pixels).latent_dist.mode()
        return (latents.contiguous() - self._shift) * self.vae.config.scaling_factor

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, h * scale, w * scale] pictures of latents, clamped to [-1, 1]; differentiable."""
        latents = latents / self.vae.config.scaling_factor + self._shift
        with self._here(self.vae, stays=latents.requires_grad):
            decoded: Tensor = self.vae.decode(latents.contiguous(memory_format=self.layout)).sample
        return clamp(decoded, -1.0, 1.0).contiguous()

    @contextmanager
    def _here(self, part: nn.Module, *, stays: bool = False) -> Generator[None]:
        """A part on the device for as long as it is used, or for good where a gradient will come back through it."""
        if self.low_memory:
            part.to(self.device)
        try:
            yield
        finally:
            if self.low_memory and not stays:
                part.to("cpu")

    @property
    def _shift(self) -> float:
        return self.vae.config.shift_factor or 0.0

    def unknown(self, caption: str) -> tuple[Span, ...]:
        """Where in a caption words stand that the model was not taught; nowhere for a model that takes any."""
        if self.words is None:
            return ()
        spans: list[Span] = []
        for match in re.finditer(r"[^\W\d_]+|\d|[^\w\s]|_", caption):
            word = match[0].lower()
            ids: list[int] = self.tokenizer(word, add_special_tokens=False).input_ids
            spelled = not word.isalnum() and self.tokenizer.unk_token_id not in ids  # punctuation needs no listing
            if word not in self.words and not spelled:
                spans.append(match.span())
        return tuple(spans)

    def _check_words(self, caption: str) -> None:
        if self.words is None:
            return
        for start, end in self.unknown(caption):
            word = caption[start:end].lower()
            near = difflib.get_close_matches(word, self.words, n=3, cutoff=0.5)
            hint = f" Nearest known: {', '.join(near)}." if near else ""
            raise UnknownWordError(
                f"{self.identity.id} does not know the word {word!r} in {caption!r}.{hint} "
                f"The {len(self.words)} words it knows are in {self.word_list}."
            )

    def _check_length(self, caption: str) -> None:
        def tokens(text: str) -> int:
            return len(self.tokenizer(text, truncation=False, verbose=False).input_ids)

        count, limit = tokens(caption), self.text_length
        if count <= limit:
            return
        words = caption.split()
        fit = min(len(words), limit)  # a word is a token or more
        while fit and tokens(" ".join(words[:fit])) > limit:
            fit -= 1
        raise CaptionTooLongError(
            f"the caption has {count - 2} tokens; {self.identity.id} reads {limit - 2}. "
            f"These words do not fit: {' '.join(words[fit:])!r}. Leave out {count - limit} tokens or more."
        )


def _ddim_config(scheduler: "diffusers.SchedulerMixin") -> Mapping[str, Any]:
    """The config that ``DDIMScheduler.from_config`` makes of any scheduler's."""
    name = type(scheduler).__name__
    if "beta_schedule" not in scheduler.config:
        raise UnsupportedScheduleError(
            f"the checkpoint's scheduler is {name}, whose config has no beta schedule; expected one that describes a "
            "DDIM (DDIM, PNDM, Euler, DPM-Solver, ...). Use a Stable Diffusion 1.x or 2.x checkpoint."
        )
    try:
        config = dict(diffusers.DDIMScheduler.from_config(scheduler.config).config)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UnsupportedScheduleError(f"the config of the checkpoint's {name} describes no DDIM: {error}") from error
    ScheduleConfig.read(config)
    return config
