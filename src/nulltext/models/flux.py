"""FLUX.1 (Black Forest Labs, 2024): dev, to which guidance is told, and schnell, which has none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, final

import diffusers
import torch
import transformers

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import UnsupportedScheduleError
from nulltext.models.build import Build
from nulltext.models.flux_transformer import PATCH, FluxTransformer, check_fit
from nulltext.models.frozen_autoencoder import scale_of, side_of
from nulltext.models.kl_autoencoder import KLAutoencoder, check_scaling
from nulltext.models.latent_model import LatentModel
from nulltext.models.parts import Inventory, Parts
from nulltext.models.quiet import quiet
from nulltext.models.recommended import Recommended
from nulltext.models.schedulers import SCHEDULER, flow_config, read_scheduler
from nulltext.models.t5 import ready_t5
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.tokenizers import read_clip_tokenizer, read_t5_tokenizer
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens
from nulltext.types import Pooled

INVENTORY: Final = Inventory(
    {
        "transformer": ("transformer", diffusers.FluxTransformer2DModel),
        "vae": ("vae", diffusers.AutoencoderKL),
        "text_encoder": ("text_encoder", transformers.CLIPTextModel),
        "text_encoder_2": ("text_encoder_2", transformers.T5EncoderModel),
    },
    {
        "tokenizer": ("tokenizer", read_clip_tokenizer),
        "tokenizer_2": ("tokenizer_2", read_t5_tokenizer),
        "scheduler_config": ("scheduler", read_scheduler),
    },
)
ROWS: Final = 512
"""The rows of an embedding, as the pipeline has them (``max_sequence_length``)."""
ROWS_OF_SCHNELL: Final = 256
"""Those that schnell was made for."""
_SIDE: Final = 1024
"""The pixels on a side that it was made for, where no config says."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class FluxEncoder:
    """T5 as the text, and CLIP as one vector for the whole, see `nulltext.models.text_encoder.PromptReader`.

    Attributes:
        t5: Reads prompts.
        clip: Reads them, too, as far as its length goes, and as one vector.
        word_list: The words that the model was taught, if it has a list.
    """

    t5: PromptEncoder
    clip: PromptEncoder
    word_list: TaughtWords | None = None

    @property
    def length(self) -> int:
        """L, the rows of an embedding."""
        return self.t5.length

    def embed(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """Embeddings of prompts as the pipeline computes them, at every size, and a guidance scale of 1.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        told = replace(self.t5.embed(prompts, size), pooled=self._pooled(prompts))
        return told.with_guidance(1.0)

    def null(self, size: tuple[int, int]) -> Conditioning:  # noqa: ARG002  as `embed`
        """The embedding of the empty text, one row. Guidance makes no use of it."""
        return self._empty.with_text(self._empty.text.clone())  # whose gradient may be asked for

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        if self.word_list is not None:
            self.word_list.check(prompt, self.t5.model)
        self.t5.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as T5 cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        return self.t5.tokenize(prompt)

    @cached_property
    def _empty(self) -> Conditioning:
        """Kept, because every run asks for it and T5 is large."""
        return self.embed([""], (0, 0))

    def _pooled(self, prompts: Sequence[str]) -> Pooled:
        """CLIP's vectors. It reads 77 tokens where T5 reads 512: of a longer prompt the beginning, as in training."""
        clip = self.clip
        cut: Any = clip.tokenizer(
            list(prompts), padding="max_length", max_length=clip.length, truncation=True, return_tensors="pt"
        )
        with torch.no_grad(), quiet(), clip.offload.in_use(clip.network):
            return clip.network(cut.input_ids.to(clip.offload.device)).pooler_output.float()


@final
class Flux:
    """The adapter of ``FluxPipeline``, see `nulltext.models.families.Adapter`."""

    read: Final = INVENTORY.read

    @staticmethod
    def from_parts(parts: Parts, build: Build) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        config, vae, where = parts.transformer.config, parts.vae.config, f"{build.called}/{SCHEDULER}"
        t5, clip = parts.text_encoder_2.config.d_model, parts.text_encoder.config.hidden_size
        check_fit(config, vae, build.called, t5=t5, pooled=clip)
        check_scaling(vae, build.called)
        scheduler = _levels(flow_config(parts.scheduler_config, where), where)
        guided = bool(config.guidance_embeds)
        return LatentModel(
            family="FLUX.1 dev" if guided else "FLUX.1 schnell",
            identity=build.identity,
            device=build.device,
            text=_encoder(parts, build, ROWS if guided else ROWS_OF_SCHNELL),
            autoencoder=KLAutoencoder.ready(parts.vae, build),
            unet=FluxTransformer.ready(parts.transformer, build),
            scheduler_config=scheduler,
            recommended=_recommended(build.best(3.5), guided=guided),
            quantised=build.quantised,
            patch=PATCH,
            side=side_of(vae, _SIDE) // scale_of(vae),
        )


def _encoder(parts: Parts, build: Build, rows: int) -> FluxEncoder:
    """The text encoders, for embeddings of so many rows."""
    return FluxEncoder(
        t5=ready_t5(parts.text_encoder_2, parts.tokenizer_2, build, part="text_encoder_2", rows=rows),
        clip=PromptEncoder.ready(parts.text_encoder, parts.tokenizer, build),
        word_list=build.words(parts.tokenizer_2),
    )


def _recommended(given: Recommended, *, guided: bool) -> Recommended:
    """What is published for dev; of schnell the guidance is 1 unless it says another itself."""
    return given if guided or "guidance" in given.own else replace(given, guidance=1.0)


def _levels(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A scheduler's config whose levels are those that the pipeline asks for: evenly from 1 to 1 / T, and shifted.

    Where the shift does not depend on the image's size, as in schnell's config, it is one that is the same at every
    size: the scheduler alone would walk other levels.

    Raises:
        UnsupportedScheduleError: The shift is none.
    """
    if config.get("use_dynamic_shifting"):
        return config
    shift = config.get("shift", 1.0)
    if not shift > 0:
        raise UnsupportedScheduleError(f"{where} has shift={shift}; expected a number above 0, such as 1. Correct it.")
    same = math.log(shift)
    return {**config, "use_dynamic_shifting": True, "base_shift": same, "max_shift": same}
