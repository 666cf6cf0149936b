"""What some models have beside what every model has."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from nulltext.diffusion.conditioning import Conditioning
from nulltext.models.base import Autoencoder, Model
from nulltext.models.lending import Loan
from nulltext.text.words import Span
from nulltext.types import Pixels, Pooled


@runtime_checkable
class WordList(Protocol):
    """The words that a model was taught, where it was taught so few."""

    @property
    def words(self) -> frozenset[str]:
        """The words, in lower case."""
        ...

    def unknown(self, prompt: str) -> tuple[Span, ...]:
        """Where in a prompt words stand that are not among them, [start, end) each."""
        ...


@runtime_checkable
class HasWordList(Protocol):
    """A model that may have a word list."""

    @property
    def word_list(self) -> WordList | None:
        """The list; None for a model that takes any word."""
        ...


@runtime_checkable
class HasQuantised(Protocol):
    """A model that may have an autoencoder with a codebook besides its own."""

    @property
    def quantised(self) -> Autoencoder | None:
        """That autoencoder, if its checkpoint holds one."""
        ...


@runtime_checkable
class ImageReader(Protocol):
    """CLIP as the source of what a network is told: of an image or a prompt as a vector, both in one space."""

    def see(self, pixels: Pixels) -> Pooled:
        """[B, D] the embeddings of images in [-1, 1]."""
        ...

    def read(self, prompts: Sequence[str]) -> Pooled:
        """[B, D] the embeddings of prompts.

        Raises:
            PromptError: A prompt is too long, or has an unknown word.
        """
        ...

    def imagine(self, prompt: str) -> Pooled:
        """[1, D] the embedding of an image that a prompt could describe."""
        ...

    def told(self, embeddings: Pooled) -> Conditioning:
        """What the network is told of images by their embeddings, [B, D]."""
        ...


@runtime_checkable
class HasImageReader(Protocol):
    """A model that may be told of images by their embeddings."""

    @property
    def images(self) -> ImageReader | None:
        """What embeds them; None for a model that is told of text."""
        ...


@runtime_checkable
class HasMultiple(Protocol):
    """A model whose network reads several latent cells as one."""

    @property
    def multiple(self) -> int:
        """Pixels of which heights and widths are multiples."""
        ...


@runtime_checkable
class HasScale(Protocol):
    """What is made of latent cells."""

    @property
    def scale(self) -> int:
        """Pixels on the side of one."""
        ...


@runtime_checkable
class Closable(Model, Protocol):
    """A model whose networks may belong to a pipeline."""

    @property
    def loan(self) -> Loan:
        """Whether it may still use them."""
        ...

    def close(self) -> None:
        """Gives them back, as they were; the model is of no use then."""
        ...

    def __enter__(self) -> "Closable": ...  # noqa: PYI034  Self is not known to what checks types in tests

    def __exit__(self, *raised: object) -> None: ...


def word_list_of(model: Model) -> WordList | None:
    """The word list of a model; None for one that takes any word."""
    return model.word_list if isinstance(model, HasWordList) else None


def quantised_of(model: Model) -> Autoencoder | None:
    """The autoencoder with a codebook that a model's checkpoint holds besides its own, if it holds one."""
    return model.quantised if isinstance(model, HasQuantised) else None


def image_reader_of(model: Model) -> ImageReader | None:
    """What embeds images for a model that is told of those; None for one that is told of text."""
    return model.images if isinstance(model, HasImageReader) else None


def multiple_of(model: HasScale) -> int:
    """Pixels of which heights and widths are multiples: of one latent cell, or of as many as are read as one."""
    return model.multiple if isinstance(model, HasMultiple) else model.scale
