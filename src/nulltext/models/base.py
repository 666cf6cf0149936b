"""What a model is to the rest of the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import nn

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import Denoiser
from nulltext.errors import SettingError, shown
from nulltext.models.recommended import Recommended
from nulltext.text.hints import hint
from nulltext.text.words import Tokens, check_text, check_words
from nulltext.types import Latents, Pixels


@dataclass(frozen=True, slots=True)
class Addition:
    """Something that was added to a checkpoint, or put in a part's place.

    Attributes:
        kind: What it is, as the option is called that adds it; "chunks" of prompts are none, but change as much.
        name: The name of its file or folder; of chunks, how many.
        digest: "sha256:" and a digest of it.
        weight: How much of it was added.
    """

    kind: Literal["lora", "vae", "embedding", "chunks"]
    name: str
    digest: str
    weight: float = 1.0

    def __str__(self) -> str:
        if self.kind == "chunks":
            return f"--chunks {self.name}"
        weight = f"={self.weight:g}" if self.kind == "lora" else ""
        return f"--{self.kind} {self.name}{weight} ({self.digest[:19]})"


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights these are; goes into every inversion file and is compared when one is used.

    Attributes:
        id: A hub id, or the name of the folder or file, or the class of the pipeline.
        revision: The hub commit, or for all others "sha256:" and a digest of its configs and weights.
        additions: What was added to it.
    """

    id: str
    revision: str
    additions: tuple[Addition, ...] = ()

    def same_weights(self, other: "ModelIdentity") -> bool:
        """Whether both name the same weights. A digest decides alone, so that a folder may be moved or renamed."""
        same = self.revision == other.revision and (self.revision.startswith("sha256:") or self.id == other.id)
        return same and _digests(self) == _digests(other)

    def __str__(self) -> str:
        added = f" with {', '.join(map(str, self.additions))}" if self.additions else ""
        return f"{self.id} ({self.revision[:19]}){added}"


def _digests(identity: ModelIdentity) -> list[tuple[str, str, float]]:
    """What was added to a model, in whatever order, under whatever names."""
    return sorted((each.kind, each.digest, each.weight) for each in identity.additions)


@runtime_checkable
class Autoencoder(Protocol):
    """Images as latents and back. All tensors in and out are float32."""

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, h, w] latents of images [B, 3, H, W] in [-1, 1]."""
        ...

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, H, W] images of latents, clamped to [-1, 1].

        Differentiable with respect to the latents; where those ask for no gradient none is prepared.

        Raises:
            DivergedError: The images became infinite or not-a-number.
        """
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Prompts as what a network is told of them."""

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """What prompts tell the network, a row for each of them.

        Args:
            prompts: B of them.
            size: (height, width) of the image in pixels, of which some models are told; None for the default.

        Raises:
            PromptTooLongError: A prompt has more tokens than the model reads; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        ...

    @property
    def text_length(self) -> int:
        """L, the tokens of an embedding."""
        ...

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """What stands for "no prompt", one row; `size` as in `embed`."""
        ...

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        ...

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        ...


@runtime_checkable
class Model(Denoiser, TextEncoder, Autoencoder, Protocol):
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
    def guidance(self) -> float:
        """The guidance scale w of classifier-free guidance at which the checkpoint is best used."""
        ...

    @property
    def recommended(self) -> Recommended:
        """What the checkpoint is best used with, `guidance` among it."""
        ...

    @property
    def denoiser(self) -> nn.Module:
        """The network behind `predict`, whose attention layers can be controlled."""
        ...

    def schedule(self, steps: int, size: tuple[int, int] | None = None) -> Schedule:
        """The model's noise schedule in so many steps.

        Args:
            steps: T.
            size: (height, width) of the image in pixels, on which it depends for some models; None for the default.

        Raises:
            SettingError: `steps` is out of range.
        """
        ...


def embed_prompts(model: Model, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
    """What prompts that are meant to say something tell the network, a row for each.

    Args:
        model: The model.
        prompts: B prompts.
        size: (height, width) of the image in pixels; None for the model's default.

    Raises:
        EmptyPromptError: A prompt has no word in it, or there is no prompt.
        PromptError: A prompt has characters that are no text.
        PromptTooLongError: A prompt has more tokens than the model reads.
        UnknownWordError: The model does not know a word.
    """
    check_words(prompts)
    hint(prompts)
    return model.embed(prompts, size)


def embed_negative(model: Model, negative_prompt: str, size: tuple[int, int] | None = None) -> Conditioning:
    """What guidance leads away from, one row: what a negative prompt tells the network, or the null where it is blank.

    Raises:
        PromptError: See `embed_prompts`.
        SettingError: There is a negative prompt, and the model's guidance is distilled.
    """
    check_text(negative_prompt)
    null = model.null(size)
    if not negative_prompt.strip():
        return null
    if null.distilled:
        raise SettingError(
            f"got the negative prompt {shown(negative_prompt)}; {model.identity.id} is guidance-distilled, and leads "
            "away from nothing. Leave it out."
        )
    hint([negative_prompt])
    return model.embed([negative_prompt], size)


def check_prompts(model: Model, prompts: Sequence[str]) -> None:
    """Raises what `embed_prompts` would, and embeds nothing."""
    check_words(prompts)
    for prompt in prompts:
        model.check_prompt(prompt)
