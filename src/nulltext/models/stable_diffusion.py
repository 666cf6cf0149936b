"""Stable Diffusion 1.x and 2.x behind the `Model` protocol."""

import difflib
import json
import re
from bisect import bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import Any, cast, final

import diffusers
import torch
from torch import Tensor, nn

from nulltext.attention.steering import steered
from nulltext.checks import check_finite
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.schedule import Schedule, ScheduleConfig
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import (
    MOST_OF_A_WORD,
    CaptionTooLongError,
    ModelLoadError,
    UnknownWordError,
    UnsupportedPipelineError,
    shown,
)
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.gradients import ScaledGradient, clamp
from nulltext.models.layout import quickest_layout
from nulltext.models.networks import first_line
from nulltext.models.parts import SCHEDULER, Parts, ddim_config
from nulltext.models.quiet import quiet
from nulltext.models.recommended import Recommended
from nulltext.text.words import Span, Tokens, check_text, is_punctuation
from nulltext.types import Embeddings, Latents, Pixels, Times

_USUAL_SIDE = 512
"""The pixels on a side that Stable Diffusion was made for, where no config says."""


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
        recommended: What the checkpoint is best used with.
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
    recommended: Recommended = field(default_factory=Recommended)
    quantised: Autoencoder | None = None
    words: frozenset[str] | None = None
    word_list: Path | None = None
    layout: torch.memory_format = torch.contiguous_format
    low_memory: bool = False

    def __repr__(self) -> str:
        """Which model it is and where; its networks have millions of characters."""
        precision = str(self.dtype).removeprefix("torch.")
        return (
            f"StableDiffusion({shown(self.identity.id)}, {shown(self.identity.revision)}, {precision} on {self.device})"
        )

    @classmethod
    def from_pipeline(
        cls,
        pipeline: "diffusers.StableDiffusionPipeline",
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recommended: Recommended | None = None,
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
            recommended: What it is best used with; None for what is published.
            quantised: An autoencoder with a codebook that lies beside it.
            word_list: A text file with one known word a line, if the model only knows some.
            low_memory: Slower, in less memory: activations are computed again for the gradient, the autoencoder works
                in tiles, and what is not used waits on the CPU.

        Raises:
            UnsupportedPipelineError: The parts are not those of a text-to-image Stable Diffusion 1.x or 2.x.
            UnsupportedScheduleError: DDIM cannot walk the scheduler's levels both ways.
        """
        scheduler: Any = pipeline.scheduler
        parts = Parts(
            unet=pipeline.unet,
            vae=pipeline.vae,
            text_encoder=pipeline.text_encoder,
            tokenizer=pipeline.tokenizer,
            scheduler_config={**scheduler.config, "_class_name": type(scheduler).__name__},
        )
        return cls.from_parts(
            parts,
            identity,
            device=device,
            dtype=dtype,
            recommended=recommended,
            quantised=quantised,
            word_list=word_list,
            low_memory=low_memory,
        )

    @classmethod
    def from_parts(
        cls,
        parts: Parts,
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recommended: Recommended | None = None,
        quantised: Autoencoder | None = None,
        word_list: Path | None = None,
        low_memory: bool = False,
    ) -> "StableDiffusion":
        """As `from_pipeline`, of parts that no pipeline holds together.

        Raises:
            UnsupportedPipelineError: The parts are not those of a text-to-image Stable Diffusion 1.x or 2.x.
            UnsupportedScheduleError: DDIM cannot walk the scheduler's levels both ways.
            ModelLoadError: A config has a value of the wrong type.
        """
        _check_fit(parts, identity)
        scheduler_config = ddim_config(parts.scheduler_config, f"{identity.id}/{SCHEDULER}")
        ScheduleConfig.read(scheduler_config)
        height, width = _sample_size(parts.unet.config, parts.vae.config)
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
        _check_reads(parts.text_encoder, identity)
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
            recommended=recommended or Recommended(),
            quantised=quantised,
            words=None if word_list is None else _read_words(word_list),
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
        return _scale(self.vae.config)

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the checkpoint was made for."""
        height, width = _sample_size(self.unet.config, self.vae.config)
        return height * self.scale, width * self.scale

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        return self.scheduler_config["prediction_type"]

    @property
    def guidance(self) -> float:
        """The weight w of classifier-free guidance at which the checkpoint is best used."""
        return self.recommended.guidance

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

    def embed(self, captions: Sequence[str]) -> Embeddings:
        """[B, L, D] embeddings of captions, as the pipeline computes them; "" is the null caption.

        Raises:
            CaptionError: A caption has characters that are no text.
            CaptionTooLongError: A caption has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for caption in captions:
            self.check_caption(caption)
        cut = [self.tokenize(caption).ids for caption in captions]
        length, padding = self.text_length, self.tokenizer.pad_token_id
        ids = torch.tensor([[*own, *[padding] * (length - len(own))] for own in cut], device=self.device)
        seen = torch.tensor([[1] * len(own) + [0] * (length - len(own)) for own in cut], device=self.device)
        # Most checkpoints attend to the padding as well; those that do not say so in their config.
        masked: bool = getattr(self.text_encoder.config, "use_attention_mask", False)
        with torch.no_grad(), self._here(self.text_encoder):
            return self.text_encoder(ids, attention_mask=seen if masked else None)[0].float()

    def check_caption(self, caption: str) -> None:
        """Raises what `embed` would for a caption, and embeds nothing.

        Raises:
            CaptionError: See `embed`.
        """
        check_text(caption)
        self._check_words(caption)
        self._check_length(caption)

    def tokenize(self, caption: str) -> Tokens:
        """A caption as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding.

        A word that was learnt as several vectors (textual inversion, Gal et al., arXiv 2208.01618) is as many tokens,
        each of which stands for the whole word.
        """
        cut = self.tokenizer(
            caption, truncation=False, verbose=False, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        ids: list[int] = []
        spans: list[Span | None] = []
        for token, following, (start, end), mark in zip(
            cut.input_ids, [*cut.input_ids[1:], None], cut.offset_mapping, cut.special_tokens_mask, strict=True
        ):
            further = self._further.get(token, ())
            whole = [token] if further[:1] == (following,) else [token, *further]  # written out by hand
            ids += whole
            spans += [None if mark else (int(start), int(end))] * len(whole)
        return Tokens(caption, tuple(ids), tuple(spans))

    @cached_property
    def _further(self) -> Mapping[int, tuple[int, ...]]:
        """Of each token that was learnt as several vectors, the others: `<cat>` is followed by `<cat>_1`, `<cat>_2`."""
        added: dict[str, int] = self.tokenizer.get_added_vocab()
        found: dict[int, tuple[int, ...]] = {}
        for word, token in added.items():
            numbered = (added.get(f"{word}_{number}") for number in count(1))
            if further := tuple(cast("Iterator[int]", takewhile(lambda other: other is not None, numbered))):
                found[token] = further
        return found

    def predict(self, x: Latents, t: int | Times, text: Embeddings, attention: AttentionPlan = ()) -> Latents:
        """The denoiser's raw output, differentiable with respect to `text`.

        Args:
            x: [B, C, h, w] latents.
            t: The time the network is told, or one for each of the B.
            text: [B, L, D] embeddings.
            attention: For the B rows, in order: so many, and what is done to their attention.
        """
        x = x.to(self.dtype).contiguous(memory_format=self.layout)
        with steered(self.unet, attention):
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
        """[B, 3, h * scale, w * scale] pictures of latents, clamped to [-1, 1]; differentiable.

        Raises:
            DivergedError: The pictures became infinite or not-a-number.
        """
        latents = latents / self.vae.config.scaling_factor + self._shift
        with self._here(self.vae, stays=latents.requires_grad):
            decoded: Tensor = self.vae.decode(latents.contiguous(memory_format=self.layout)).sample
        check_finite("picture", decoded, where=f"in {self.dtype} with {self.identity.id}")  # clamped, infinity is white
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
        return float(self.vae.config.shift_factor or 0.0)

    def unknown(self, caption: str) -> tuple[Span, ...]:
        """Where in a caption words stand that the model was not taught; nowhere for a model that takes any."""
        if self.words is None:
            return ()
        spans: list[Span] = []
        for match in re.finditer(r"[^\W\d_]+|\d|[^\w\s]|_", caption):
            word = match[0].lower()
            ids: list[int] = self.tokenizer(word, add_special_tokens=False).input_ids
            spelled = is_punctuation(word) and self.tokenizer.unk_token_id not in ids  # which needs no listing
            if word not in self.words and not spelled:
                spans.append(match.span())
        return tuple(spans)

    def _check_words(self, caption: str) -> None:
        if self.words is None:
            return
        for start, end in self.unknown(caption):
            word = caption[start:end].lower()
            near = difflib.get_close_matches(word[:MOST_OF_A_WORD], self.words, n=3, cutoff=0.5)
            hint = f" Nearest known: {', '.join(near)}." if near else ""
            raise UnknownWordError(
                f"{self.identity.id} does not know the word {shown(word)} in {shown(caption)}.{hint} "
                f"The {len(self.words)} words it knows are in {self.word_list}."
            )

    def _check_length(self, caption: str) -> None:
        def tokens(text: str) -> int:
            return len(self.tokenize(text).ids)

        length, limit = tokens(caption), self.text_length
        if length <= limit:
            return
        words = caption.split()
        counts = range(1, len(words) + 1)
        fit = bisect_right(counts, limit, key=lambda first: tokens(" ".join(words[:first])))
        raise CaptionTooLongError(
            f"the caption has {length - 2} tokens; {self.identity.id} reads {limit - 2}. "
            f"These words do not fit: {shown(' '.join(words[fit:]))}. Leave out {length - limit} tokens or more."
        )


def _check_fit(parts: Parts, identity: ModelIdentity) -> None:
    """Makes sure that the parts are a text-to-image checkpoint's, made for each other."""
    unet, vae = parts.unet.config, parts.vae.config
    channels = vae.latent_channels
    if unet.class_embed_type is not None:
        raise UnsupportedPipelineError(
            f"{identity.id}: unet/config.json has class_embed_type={unet.class_embed_type!r}: the denoiser is told of "
            "something besides a caption; expected a text-to-image checkpoint. Unclip and upscaling cannot be used."
        )
    if unet.in_channels != channels:
        raise UnsupportedPipelineError(
            f"{identity.id}: the denoiser takes {unet.in_channels} channels, but latents have {channels}; expected a "
            "text-to-image checkpoint. Inpainting, depth and upscaling cannot be used."
        )
    width, embedded = unet.cross_attention_dim, parts.text_encoder.config.hidden_size
    if width != embedded:
        raise UnsupportedPipelineError(
            f"{identity.id}: the denoiser expects text embeddings of width {width}, the text encoder gives {embedded}; "
            "expected a Stable Diffusion 1.x or 2.x checkpoint with its own text encoder."
        )
    known, told = parts.text_encoder.get_input_embeddings().num_embeddings, len(parts.tokenizer)
    if told > known:
        raise ModelLoadError(
            f"{identity.id}: the tokenizer has {told} tokens, the text encoder {known}; expected no more. One of the "
            "two is another checkpoint's: fetch tokenizer/ and text_encoder/ again, from the same place."
        )
    if not vae.scaling_factor:
        raise ModelLoadError(f"{identity.id}: vae/config.json has scaling_factor=0; expected a number such as 0.18215.")


def _check_reads(encoder: Any, identity: ModelIdentity) -> None:  # noqa: ANN401
    """Makes sure that a text encoder works: some values of its config are only found wrong when it does."""
    try:
        with torch.no_grad():
            encoder(torch.zeros(1, 2, dtype=torch.long, device=encoder.device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"{identity.id}: text_encoder/config.json describes no text encoder that works: {first_line(error)}. "
            "Correct it, or fetch the model again."
        ) from error


def _scale(vae: Any) -> int:  # noqa: ANN401 - diffusers carries no types
    return 2 ** (len(vae.block_out_channels) - 1)


def _sample_size(unet: Any, vae: Any) -> tuple[int, int]:  # noqa: ANN401
    """(height, width) of the latents that a checkpoint was made for; by the autoencoder's config if need be."""
    size: Any = unet.sample_size
    if size is None:
        said = "sample_size" not in getattr(vae, "_use_default_values", vae.get("_use_default_values", ()))
        size = (vae.sample_size if said else _USUAL_SIDE) // _scale(vae)
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:  # noqa: PLR2004
        raise ModelLoadError(
            f"unet/config.json has sample_size={json.dumps(size)}; expected the side of the latents, such as 64, or "
            "[height, width]. Correct it, or fetch the model again."
        )
    return sides


def _read_words(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text(encoding="utf-8").lower().split())
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path} cannot be read: {error}; expected a word a line, in UTF-8.") from error
