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
from nulltext.models.latent_model import put_together
from nulltext.models.offload import Offload
from nulltext.models.parts import (
    Classes,
    check_classes,
    read_networks,
    read_scheduler,
    read_tokenizer,
    tokenizer_class,
)
from nulltext.models.text_encoder import PromptEncoder
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
@dataclass(frozen=True, kw_only=True)
class PartsXL:
    """What a checkpoint is made of, see `nulltext.models.parts.LatentParts`.

    Attributes:
        unet: ``UNet2DConditionModel``.
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``.
        text_encoder_2: ``CLIPTextModelWithProjection``.
        tokenizer: The first one's.
        tokenizer_2: The second one's.
        scheduler_config: The config of any scheduler.
        zeros: Whether "no prompt" is zeros.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    scheduler_config: Mapping[str, Any]
    zeros: bool

    @property
    def width(self) -> int:
        """D, of the text embeddings."""
        return self.text_encoder.config.hidden_size + self.text_encoder_2.config.hidden_size

    @property
    def pooled(self) -> int:
        """P, of the pooled text."""
        return self.text_encoder_2.config.projection_dim

    def reader(self, offload: Offload, model: str, words: TaughtWords | None) -> TwoEncoders:
        """See `nulltext.models.parts.LatentParts.reader`."""
        first = PromptEncoder.ready(self.text_encoder, self.tokenizer, offload, model, words)
        second = PromptEncoder.ready(self.text_encoder_2, self.tokenizer_2, offload, model, part="text_encoder_2")
        if first.length != second.length:
            raise UnsupportedPipelineError(
                f"{model}: its two text encoders read {first.length} and {second.length} tokens; expected as many of "
                "each. One of them, or its tokenizer, is another checkpoint's: fetch them from one."
            )
        return TwoEncoders(first=first, second=second, zeros=self.zeros, model=model)


@final
class StableDiffusionXL:
    """The adapter of ``StableDiffusionXLPipeline``, see `nulltext.models.families.Adapter`."""

    from_parts: Final = partial(put_together, "StableDiffusionXL")

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> PartsXL:
        """The parts of a folder in diffusers' format."""
        _null_is_zeros(folder, index)  # before gigabytes are read
        return parts_of(folder, index, read_networks(folder, network_classes(folder, index)), read_scheduler(folder))


def network_classes(folder: Path, index: Mapping[str, Any]) -> Classes:
    """The networks of a Stable Diffusion XL, see `nulltext.models.parts.network_classes`."""
    check_classes(folder, {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"})
    encoders = {
        "text_encoder": transformers.CLIPTextModel,
        "text_encoder_2": transformers.CLIPTextModelWithProjection,
    }
    for part, made in encoders.items():
        if index.get(part, ["transformers", made.__name__]) != ["transformers", made.__name__]:
            raise UnsupportedPipelineError(
                f"{folder / 'model_index.json'} names {shown(index[part])} for the {part}; expected "
                f"{made.__name__} of transformers. Choose a Stable Diffusion XL base checkpoint."
            )
    return {
        "unet": ("unet", diffusers.UNet2DConditionModel),
        "vae": ("vae", diffusers.AutoencoderKL),
        **{part: (part, made) for part, made in encoders.items()},
    }


def parts_of(
    folder: Path, index: Mapping[str, Any], networks: Mapping[str, Any], scheduler: Mapping[str, Any]
) -> PartsXL:
    """The parts of a checkpoint whose networks have been read.

    Args:
        folder: In diffusers' format, with the tokenizers.
        index: What its ``model_index.json`` holds.
        networks: By the names of their parts.
        scheduler: A scheduler's config.

    Raises:
        UnsupportedPipelineError: A tokenizer's class cannot be used, or the latents are scaled by more than a number.
        ModelLoadError: A tokenizer is damaged or incomplete, or the index is.
    """
    if networks["vae"].config.latents_mean is not None or networks["vae"].config.latents_std is not None:
        raise UnsupportedPipelineError(
            f"{folder / 'vae' / 'config.json'} has latents_mean or latents_std, by which latents are scaled channel by "
            "channel; expected scaling_factor alone. Choose another Stable Diffusion XL base checkpoint."
        )
    tokenizers = {
        part: read_tokenizer(folder / part, tokenizer_class(folder, index, part))
        for part in ("tokenizer", "tokenizer_2")
    }
    return PartsXL(**networks, **tokenizers, scheduler_config=scheduler, zeros=_null_is_zeros(folder, index))


def _null_is_zeros(folder: Path, index: Mapping[str, Any]) -> bool:
    zeros: object = index.get(_ZEROS, True)
    if not isinstance(zeros, bool):
        raise ModelLoadError(
            f"{folder / 'model_index.json'} has {_ZEROS}={shown(zeros)}; expected true, for a null of zeros, or false, "
            "for the embedding of the empty text. Correct it, or fetch the model again."
        )
    return zeros
