"""What reads prompts for decoders that are told of an image by its embedding, and see no words."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import SessionError
from nulltext.models.clip_pair import ClipPair
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens
from nulltext.types import Pixels, Pooled


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddingReader(ABC):
    """Images and prompts as embeddings of one space. What the network is told of an embedding is its family's.

    See `nulltext.models.text_encoder.PromptReader` and `nulltext.models.capabilities.ImageReader`.

    Attributes:
        clip: Embeds photographs and prompts.
        model: What errors call the model.
    """

    clip: ClipPair
    model: str

    @property
    @abstractmethod
    def length(self) -> int:
        """L, the tokens that the network is told of."""
        ...

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.clip.text.word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """What is imagined of prompts, at every size.

        Raises:
            PromptError: A prompt has characters that are no text, or nothing can be imagined.
            PromptTooLongError: A prompt has more tokens than CLIP reads.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        return self.told(torch.cat([self.imagine(prompt) for prompt in prompts]))

    @abstractmethod
    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """What stands for no image, one row."""
        ...

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        self.clip.text.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """Refused: the denoiser sees no words.

        Raises:
            SessionError: Always.
        """
        raise SessionError(
            f"got the prompt {prompt!r} to find its words in an image, but the denoiser of {self.model} is told of an "
            "image embedding and sees no words; expected an editor that needs none, such as text-diff. A blend takes a "
            "mask."
        )

    def see(self, pixels: Pixels) -> Pooled:
        """See `ClipPair.see`."""
        return self.clip.see(pixels)

    def read(self, prompts: Sequence[str]) -> Pooled:
        """See `ClipPair.read`."""
        return self.clip.read(prompts)

    @abstractmethod
    def imagine(self, prompt: str) -> Pooled:
        """[1, D] the embedding of an image that a prompt could describe."""
        ...

    @abstractmethod
    def told(self, embeddings: Pooled) -> Conditioning:
        """What the network is told of images by their embeddings, [B, D]."""
        ...
