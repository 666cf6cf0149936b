"""Prompts as DeepFloyd IF reads them: by a T5, in lower case."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.models.quiet import quiet
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Span, Tokens, check_text


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class LowerCaseReader:
    """A T5 that reads prompts in lower case and does not see the padding, see `nulltext.models.text_encoder`.

    Attributes:
        t5: The T5.
    """

    t5: PromptEncoder

    @property
    def length(self) -> int:
        """L, the rows of an embedding."""
        return self.t5.length

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.t5.word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """Embeddings of prompts, as the pipeline computes them with ``clean_caption=False``, at every size.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more than L tokens; names the words that do not fit.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        ids, seen = self.t5.padded([_lowered(prompt)[0] for prompt in prompts])
        network = self.t5.network
        with torch.no_grad(), quiet(), self.t5.offload.in_use(network):
            states = network(ids, attention_mask=seen)[0]
        return Conditioning(text=states.float())

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """The embedding of the empty text, one row."""
        return self.embed([""], size)

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        check_text(prompt)
        self.t5.check_prompt(_lowered(prompt)[0])

    def tokenize(self, prompt: str) -> Tokens:
        """A prompt as `embed` cuts it: row i of the embedding is token i, and the rows after the last are padding."""
        text, places = _lowered(prompt)
        cut = self.t5.tokenize(text)
        return Tokens(prompt, cut.ids, tuple(None if span is None else _back(span, places) for span in cut.spans))


def _lowered(prompt: str) -> tuple[str, list[int]]:
    """A prompt as it is read, and of each of its characters the place in the prompt; last the end of the prompt."""
    text = prompt.lower()
    places = [place for place, own in enumerate(prompt) for _ in own.lower()]  # some become two
    start = len(text) - len(text.lstrip())
    text = text.strip()
    return text, [*places[start : start + len(text)], len(prompt)]


def _back(span: Span, places: Sequence[int]) -> Span:
    """The characters of a prompt that some characters of its reading stand for."""
    start, end = span
    return places[start], places[end - 1] + 1 if end > start else places[start]
