"""A model seen by one of several methods that share its network's batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import Denoiser, Error, descend
from nulltext.diffusion.steering import AttentionPlan
from nulltext.models.base import Autoencoder, Model, ModelIdentity
from nulltext.models.capabilities import ImageReader, WordList, image_reader_of, quantised_of, word_list_of
from nulltext.models.inpainting import inpaints
from nulltext.models.recommended import Recommended
from nulltext.text.words import Tokens
from nulltext.types import Embeddings, Latents, Pixels, Times


def sharing(model: Model, denoiser: Denoiser) -> Model:
    """A view of a model whose network is asked by way of another denoiser, such as the share that `share` gives.

    Any inverter or editor that is given the view shares batches: ``inverter(sharing(model, own), photo, prompt)``.

    Args:
        model: The model, which answers all but `predict` and `descend`.
        denoiser: Answers these.
    """
    return _Shared(model, denoiser)


@final
@dataclass(frozen=True, eq=False)
class _Shared:
    """Attributes: the model; what answers in its network's place."""

    model: Model
    own: Denoiser

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        return self.own.predict(x, t, conditioning, attention)

    def descend(
        self, x: Latents, t: float | Times, conditioning: Conditioning, error: Error
    ) -> tuple[Tensor, Embeddings]:
        return descend(self.own, x, t, conditioning, error)

    @property
    def identity(self) -> ModelIdentity:
        return self.model.identity

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def latent_channels(self) -> int:
        return self.model.latent_channels

    @property
    def scale(self) -> int:
        return self.model.scale

    @property
    def default_size(self) -> tuple[int, int]:
        return self.model.default_size

    @property
    def prediction(self) -> Prediction:
        return self.model.prediction

    @property
    def guidance(self) -> float:
        return self.model.guidance

    @property
    def recommended(self) -> Recommended:
        return self.model.recommended

    @property
    def denoiser(self) -> nn.Module:
        return self.model.denoiser

    @property
    def inpaints(self) -> bool:
        return inpaints(self.model)

    @property
    def word_list(self) -> WordList | None:
        return word_list_of(self.model)

    @property
    def quantised(self) -> Autoencoder | None:
        return quantised_of(self.model)

    @property
    def images(self) -> ImageReader | None:
        return image_reader_of(self.model)

    def schedule(self, steps: int, size: tuple[int, int] | None = None) -> Schedule:
        return self.model.schedule(steps, size)

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        return self.model.embed(prompts, size)

    @property
    def text_length(self) -> int:
        return self.model.text_length

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        return self.model.null(size)

    def check_prompt(self, prompt: str) -> None:
        self.model.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        return self.model.tokenize(prompt)

    def encode(self, pixels: Pixels) -> Latents:
        return self.model.encode(pixels)

    def decode(self, latents: Latents) -> Pixels:
        return self.model.decode(latents)
