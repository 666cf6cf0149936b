"""Stable Diffusion XL, its base checkpoints: Podell et al., arXiv 2307.01952."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers
from torch import Tensor

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import ModelLoadError, UnsupportedPipelineError, shown
from nulltext.models.build import Build
from nulltext.models.latent_model import LatentModel, check_parts, put_together
from nulltext.models.parts import Inventory, Parts
from nulltext.models.schedulers import read_scheduler
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.tokenizers import read_tokenizer, tokenizer_class
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens
from nulltext.types import Embeddings

_ZEROS: Final = "force_zeros_for_empty_prompt"


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class TwoEncoders:
    """Two text encoders that read the same prompt, see `nulltext.models.text_encoder.PromptReader`.

    Attributes:
        first: Reads prompts as everywhere.
        second: Reads them, too, and as one vector for the whole.
        zeros: Whether "no prompt" is zeros, as the checkpoint was trained, or the embedding of the empty text.
        model: What errors call the model.
    """

    first: PromptEncoder
    second: PromptEncoder
    zeros: bool
    model: str

    @property
    def length(self) -> int:
        """L, the tokens of an embedding, the two that mark start and end among them."""
        return self.first.length

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.first.word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """What prompts tell the network.

        Args:
            prompts: B of them.
            size: (height, width) of the image in pixels: the original's, the target's, nothing cropped.

        Returns:
            The states before the last layer of both encoders side by side, the second's pooled text, and ``time_ids``.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
            UnsupportedPipelineError: The two tokenizers cut a prompt in different places.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        first, second = (own.read(prompts, output_hidden_states=True) for own in (self.first, self.second))
        text = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1).float()
        return Conditioning(text=text, pooled=second[0].float(), extras=_sizes(size, text))

    def null(self, size: tuple[int, int]) -> Conditioning:
        """What stands for "no prompt", one row: zeros, or the empty text."""
        if not self.zeros:
            return self.embed([""], size)
        configs = self.first.network.config, self.second.network.config
        text = torch.zeros(1, self.length, sum(each.hidden_size for each in configs), device=self.first.offload.device)
        pooled = text.new_zeros(1, configs[1].projection_dim)
        return Conditioning(text=text, pooled=pooled, extras=_sizes(size, text))

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        self.first.check_prompt(prompt)
        if self.first.tokenize(prompt).spans != self.second.tokenize(prompt).spans:
            raise UnsupportedPipelineError(
                f"{self.model}: its two tokenizers cut the prompt {shown(prompt)} in different places, so that its "
                "words have no one place in the embedding; expected one cut. Put the same words into both, and fetch "
                "tokenizer and tokenizer_2 from one checkpoint."
            )

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        return self.first.tokenize(prompt)


def _sizes(size: tuple[int, int], text: Embeddings) -> dict[str, Tensor]:
    """Of the original, of where it was cropped, of the target; a row for each text."""
    return {"time_ids": text.new_tensor([*size, 0, 0, *size]).expand(len(text), -1)}


@final
class StableDiffusionXL:
    """The adapter of ``StableDiffusionXLPipeline``, see `nulltext.models.families.Adapter`."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format, and whether "no prompt" is zeros."""
        _null_is_zeros(folder, index)  # before gigabytes are read
        return finished(inventory(folder, index).read(folder, index), folder, index)

    @staticmethod
    def from_parts(parts: Parts, build: Build) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        first, second = parts.text_encoder.config, parts.text_encoder_2.config
        check_parts(parts, build, first.hidden_size + second.hidden_size, second.projection_dim)
        return put_together("StableDiffusionXL", parts, build, _reader(parts, build))


def inventory(folder: Path, index: Mapping[str, Any]) -> Inventory:
    """What such a checkpoint holds, with the tokenizers that its index names.

    Raises:
        UnsupportedPipelineError: One of them is none of transformers'.
    """
    tokenizers = {
        part: (part, partial(read_tokenizer, made=tokenizer_class(folder, index, part)))
        for part in ("tokenizer", "tokenizer_2")
    }
    return Inventory(
        {
            "unet": ("unet", diffusers.UNet2DConditionModel),
            "vae": ("vae", diffusers.AutoencoderKL),
            "text_encoder": ("text_encoder", transformers.CLIPTextModel),
            "text_encoder_2": ("text_encoder_2", transformers.CLIPTextModelWithProjection),
        },
        tokenizers | {"scheduler_config": ("scheduler", read_scheduler)},
    )


def finished(parts: Parts, folder: Path, index: Mapping[str, Any]) -> Parts:
    """The parts of a checkpoint with "zeros": whether "no prompt" is zeros.

    Args:
        parts: What was read of them.
        folder: In diffusers' format, for errors.
        index: What its ``model_index.json`` holds.

    Raises:
        UnsupportedPipelineError: The latents are scaled by more than a number.
        ModelLoadError: The index is damaged.
    """
    if parts.vae.config.latents_mean is not None or parts.vae.config.latents_std is not None:
        raise UnsupportedPipelineError(
            f"{folder / 'vae' / 'config.json'} has latents_mean or latents_std, by which latents are scaled channel by "
            "channel; expected scaling_factor alone. Choose another Stable Diffusion XL base checkpoint."
        )
    return parts.but(zeros=_null_is_zeros(folder, index))


def _reader(parts: Parts, build: Build) -> TwoEncoders:
    first = PromptEncoder.ready(parts.text_encoder, parts.tokenizer, build, build.words(parts.tokenizer))
    second = PromptEncoder.ready(parts.text_encoder_2, parts.tokenizer_2, build, part="text_encoder_2")
    if first.length != second.length:
        raise UnsupportedPipelineError(
            f"{build.called}: its two text encoders read {first.length} and {second.length} tokens; expected as many "
            "of each. One of them, or its tokenizer, is another checkpoint's: fetch them from one."
        )
    return TwoEncoders(first=first, second=second, zeros=parts.zeros, model=build.called)


def _null_is_zeros(folder: Path, index: Mapping[str, Any]) -> bool:
    zeros: object = index.get(_ZEROS, True)
    if not isinstance(zeros, bool):
        raise ModelLoadError(
            f"{folder / 'model_index.json'} has {_ZEROS}={shown(zeros)}; expected true, for a null of zeros, or false, "
            "for the embedding of the empty text. Correct it, or fetch the model again."
        )
    return zeros
