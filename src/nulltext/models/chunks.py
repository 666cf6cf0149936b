"""Prompts longer than a text encoder reads, in chunks that it reads one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, final

from torch import Tensor

from nulltext.text.words import Span, Tokens

MOST_CHUNKS: Final = 16
"""Of a prompt."""
MARKS: Final = 2
"""Of start and end, which every chunk has."""

_Part = list[tuple[int, Span | None]]
"""Tokens with the characters that they stand for."""


def in_chunks(whole: Tokens, length: int, chunks: int) -> Tokens:
    """A prompt's tokens cut into chunks, between words where a word fits into a chunk.

    Args:
        whole: With the marks of start and end around all of it.
        length: The tokens of a chunk, its marks among them.
        chunks: How many there are. The last has all that the others have no room for; those that nothing is left for
            have only marks.
    """
    start, end, room = whole.ids[0], whole.ids[-1], length - MARKS
    parts: list[_Part] = [[]]
    for word in _words(list(zip(whole.ids, whole.spans, strict=True))[1:-1]):
        if len(parts[-1]) + len(word) > room >= len(word):
            parts.append([])
        for token in word:
            if len(parts[-1]) == room:
                parts.append([])
            parts[-1].append(token)
    parts = [*parts[: chunks - 1], list(chain(*parts[chunks - 1 :])), *([] for _ in range(chunks - len(parts)))]
    parts = parts[:chunks]
    found: Tokens | None = None
    for part in reversed(parts):
        ids, spans = (start, *(token for token, _ in part), end), (None, *(span for _, span in part), None)
        behind = None if found is None else (length, found)
        found = Tokens(whole.prompt, ids, spans, behind=behind, continued=found is not None)
    assert found is not None
    return found


def _words(tokens: _Part) -> Iterator[_Part]:
    """The tokens of each word: those with no character between them."""
    word: _Part = []
    for token in tokens:
        span, last = token[1], word[-1][1] if word else None
        if word and (span is None or last is None or span[0] > last[1]):
            yield word
            word = []
        word.append(token)
    if word:
        yield word


@final
@dataclass(frozen=True, eq=False)
class Joined:
    """What a text encoder returned of chunks, as it would return it of prompts.

    Attributes:
        first: What its output has first.
        hidden_states: Those of all layers, if they were asked for.
        text_embeds: One vector for the whole, of an encoder with a projection.
    """

    first: Tensor
    hidden_states: tuple[Tensor, ...]
    text_embeds: Tensor | None

    def __getitem__(self, index: int) -> Tensor:
        assert index == 0
        return self.first


def joined(output: Any, chunks: int) -> Joined:  # noqa: ANN401  of a class for each network
    """States one after the other; of what is one vector for the whole, the first chunk's."""
    embeds = output.get("text_embeds")
    return Joined(
        _joined(output[0], chunks),
        tuple(_joined(each, chunks) for each in output.get("hidden_states") or ()),
        None if embeds is None else _joined(embeds, chunks),
    )


def _joined(tensor: Tensor, chunks: int) -> Tensor:
    if tensor.ndim == 2:  # noqa: PLR2004  one vector for each prompt
        return tensor[::chunks]
    return tensor.reshape(-1, chunks * tensor.shape[1], tensor.shape[2])
