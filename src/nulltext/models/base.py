"""What a model is to the rest of the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.steering import AttentionPlan
from nulltext.models.recommended import Recommended
from nulltext.text.words import Span, Tokens, check_words
from nulltext.types import Embeddings, Latents, Pixels, Times


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights these are; goes into every inversion file and is compared when one is used.

    Attributes:
        id: A hub id, or the name of the folder or file.
        revision: The hub commit, or for a folder or file "sha256:" and a digest of its configs and weights.
    """

    id: str
    revision: str

    def same_weights(self, other: "ModelIdentity") -> bool:
        """Whether both name the same weights. A digest decides alone, so that a folder may be moved or renamed."""
        return self.revision == other.revision and (self.revision.startswith("sha256:") or self.id == other.id)


@runtime_checkable
class Autoencoder(Protocol):
    """Pictures as latents and back. All tensors in and out are float32."""

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, h, w] latents of pictures [B, 3, H, W] in [-1, 1]."""
        ...

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, H, W] pictures of latents, clamped to [-1, 1]; differentiable with respect to the latents."""
        ...


@runtime_checkable
class Model(Protocol):
    """A frozen text-to-image latent diffusion model. All tensors in and out are float32 on `device`."""

    @property
    def identity(self) -> ModelIdentity:
        """Which weights these are."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are and where tensors are taken and given."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which precision the denoiser computes inside."""
        ...

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        ...

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell; heights and widths are multiples of it."""
        ...

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the checkpoint was made for."""
        ...

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        ...

    @property
    def guidance(self) -> float:
        """The weight w of classifier-free guidance at which the checkpoint is best used."""
        ...

    @property
    def recommended(self) -> Recommended:
        """What the checkpoint is best used with, `guidance` among it."""
        ...

    @property
    def denoiser(self) -> nn.Module:
        """The network behind `predict`, whose attention layers can be controlled."""
        ...

    @property
    def quantised(self) -> Autoencoder | None:
        """The autoencoder with a codebook that the checkpoint holds besides its own, if it holds one."""
        ...

    @property
    def words(self) -> frozenset[str] | None:
        """The words the model was taught, in lower case, if it was taught so few; None for one that takes any."""
        ...

    def unknown(self, caption: str) -> tuple[Span, ...]:
        """Where in a caption words stand that the model was not taught, [start, end) each."""
        ...

    def schedule(self, steps: int) -> Schedule:
        """The model's noise schedule in so many steps.

        Raises:
            SettingError: `steps` is out of range.
        """
        ...

    def embed(self, captions: Sequence[str]) -> Embeddings:
        """[B, L, D] embeddings of captions; "" is the null caption.

        Raises:
            CaptionTooLongError: A caption has more tokens than the model reads; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        ...

    def check_caption(self, caption: str) -> None:
        """Raises what `embed` would for a caption, and embeds nothing."""
        ...

    def tokenize(self, caption: str) -> Tokens:
        """A caption as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        ...

    def predict(self, x: Latents, t: int | Times, text: Embeddings, attention: AttentionPlan = ()) -> Latents:
        """The network's raw output (see `prediction`), differentiable with respect to `text`.

        Args:
            x: [B, C, h, w] latents.
            t: The time the network is told, or one for each of the B.
            text: [B, L, D] embeddings.
            attention: For the B rows, in order: so many, and what is done to their attention.
        """
        ...

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, H / scale, W / scale] latents of pictures: the mode of the posterior, scaled for the denoiser."""
        ...

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, h * scale, w * scale] pictures of latents, clamped to [-1, 1].

        Differentiable with respect to the latents; where those ask for no gradient none is prepared.

        Raises:
            DivergedError: The pictures became infinite or not-a-number.
        """
        ...


def embed_captions(model: Model, captions: Sequence[str]) -> Embeddings:
    """[B, L, D] embeddings of captions that are meant to say something.

    Raises:
        EmptyCaptionError: A caption has no word in it, or there is no caption.
        CaptionError: A caption has characters that are no text.
        CaptionTooLongError: A caption has more tokens than the model reads.
        UnknownWordError: The model does not know a word.
    """
    check_words(captions)
    return model.embed(captions)


def check_captions(model: Model, captions: Sequence[str]) -> None:
    """Raises what `embed_captions` would, and embeds nothing."""
    check_words(captions)
    for caption in captions:
        model.check_caption(caption)
