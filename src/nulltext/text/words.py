"""Words of a prompt, and the tokens they are made of."""

import difflib
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nulltext.errors import (
    MOST_OF_A_WORD,
    EmptyPromptError,
    PromptError,
    PromptTooLongError,
    WordNotFoundError,
    listed,
    shown,
)
from nulltext.showing import brief

MOST_CHARACTERS = 10_000
"""The longest prompt that is looked at; no text encoder of this kind reads a tenth of it."""

Span = tuple[int, int]
"""[start, end) characters of a prompt."""


def different_words(prompt: str) -> list[str]:
    """The different words of a prompt, in order; capitals make no difference."""
    words: dict[str, str] = {}
    for word in re.findall(r"\w+", prompt):
        words.setdefault(word.lower(), word)
    return list(words.values())


def is_punctuation(text: str) -> bool:
    """Whether this is what stands between words; an emoji, which a font draws as an image, is not."""
    return all(one in string.punctuation or unicodedata.category(one).startswith("P") for one in text)


def check_words(prompts: Sequence[str]) -> None:
    """Makes sure that prompts are meant to say something, whatever model reads them.

    Raises:
        EmptyPromptError: A prompt has no word in it (a run of punctuation or emoji is none), or there is no prompt.
        PromptError: A prompt has control characters, or bytes that are not UTF-8.
        PromptTooLongError: A prompt has more than `MOST_CHARACTERS`.
    """
    if not prompts:
        raise EmptyPromptError(
            "got no prompt; expected one or more, each with at least one word. Say what the image shows."
        )
    for prompt in prompts:
        check_text(prompt)
        if not any(character.isalnum() for character in prompt):
            raise EmptyPromptError(
                f"got the prompt {shown(prompt)}; expected at least one word. Say what is in the image."
            )


def check_text(prompt: str) -> None:
    """Makes sure that a prompt is text that a tokenizer can read at once; the empty one, for the null text, is.

    Raises:
        PromptError: It has control characters, or bytes that are not UTF-8.
        PromptTooLongError: It has more than `MOST_CHARACTERS`.
    """
    if not isinstance(prompt, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # who has no checker may give any
        raise PromptError(f"got the prompt {shown(prompt)}; expected text, a str.")
    if len(prompt) > MOST_CHARACTERS:
        raise PromptTooLongError(
            f"the prompt has {len(prompt)} characters; expected at most {MOST_CHARACTERS}, and far fewer for most "
            f"models. It begins {shown(prompt)}. Say it in a sentence."
        )
    for character in prompt:
        kind = unicodedata.category(character)
        if kind == "Cs":
            raise PromptError(
                f"the prompt {shown(prompt)} has bytes that are not UTF-8; expected text. Write it again."
            )
        if kind == "Cc" and not character.isspace():
            raise PromptError(
                f"the prompt {shown(prompt)} has the control character {character!r}; expected text. Leave it out."
            )


@dataclass(frozen=True)
class Tokens:
    """A prompt as a tokenizer cuts it, its start and end marks included, padding left out.

    Attributes:
        prompt: The prompt, as written.
        ids: The tokens' numbers, n of them.
        spans: For each token the characters it stands for; None for a mark.
        behind: Where a second text encoder's tokens follow behind the padding of the first's: the row of the embedding
            where they begin, and they. Positions are rows of the whole embedding, so that a word has tokens of both.
        continued: Whether what is behind is not another encoder's, but the next chunk of the same one's.
    """

    prompt: str
    ids: tuple[int, ...]
    spans: tuple[Span | None, ...]
    behind: "tuple[int, Tokens] | None" = None
    continued: bool = False

    __repr__ = brief

    def covering(self, *spans: Span) -> list[int]:
        """The positions of the tokens that stand for any character of these spans, in order."""
        found = [
            position
            for position, own in enumerate(self.spans)
            if own is not None and any(own[0] < end and start < own[1] for start, end in spans)
        ]
        if self.behind is None:
            return found
        first, others = self.behind
        return [*found, *(first + position for position in others.covering(*spans))]

    @property
    def rows(self) -> int:
        """The rows of an embedding as far as the last token, padding between text encoders included."""
        return len(self.ids) if self.behind is None else self.behind[0] + self.behind[1].rows

    def sections(self, length: int) -> "list[tuple[range, Tokens]]":
        """The rows of an embedding that one text encoder made, with its tokens, and so on for every encoder.

        Args:
            length: L, the rows of the whole embedding.
        """
        if self.behind is None:
            return [(range(length), self)]
        first, others = self.behind
        own, rest = replace(self, behind=None, continued=False), others.sections(length - first)
        return [(range(first), own), *((range(first + rows.start, first + rows.stop), each) for rows, each in rest)]

    def followed_by(self, first: int, others: "Tokens") -> "Tokens":
        """The same with another text encoder's tokens behind its last, from a row on."""
        if self.behind is None:
            return replace(self, behind=(first, others))
        at, own = self.behind
        return replace(self, behind=(at, own.followed_by(first - at, others)))

    def encoders(self, length: int) -> "list[list[tuple[range, Tokens]]]":
        """The `sections`, those of each text encoder together."""
        found: list[list[tuple[range, Tokens]]] = []
        at, begins = self, True
        for section in self.sections(length):
            found = [*found, [section]] if begins else [*found[:-1], [*found[-1], section]]
            begins, at = not at.continued, at if at.behind is None else at.behind[1]
        return found

    def words(self) -> list[list[int]]:
        """The positions of the tokens of each word, a word being what stands between blanks."""
        return [self.covering(match.span()) for match in re.finditer(r"\S+", self.prompt)]

    def find(self, word: str) -> list[int]:
        """The positions of the tokens of a word, wherever the prompt has it.

        Capitals do not matter, nor punctuation around a word; "shirt" is found in "t-shirt", and several words are
        found where they follow each other. A word that stands twice is found twice.

        Args:
            word: A word or several.

        Raises:
            WordNotFoundError: The prompt does not have it; names the nearest words that it has.
        """
        positions = self._positions(word)
        if positions:
            return positions
        known = {own.lower(): own for own in different_words(self.prompt)}
        like = word[:MOST_OF_A_WORD].lower()
        near = [known[match] for match in difflib.get_close_matches(like, known, n=3, cutoff=0.5)]
        raise WordNotFoundError(
            f"the word {shown(word)} is not in the prompt {shown(self.prompt)}. "
            + (f"Did you mean {' or '.join(map(shown, near))}?" if near else f"It has: {listed(known.values())}.")
        )

    def has(self, word: str) -> bool:
        """Whether `find` would find the word."""
        return bool(self._positions(word))

    def _positions(self, word: str) -> list[int]:
        phrase = r"[\W_]+".join(re.escape(part) for part in re.findall(r"\w+", word))
        wanted = rf"(?<!\w){phrase}(?!\w)" if phrase else re.escape(word.strip())
        found = re.finditer(wanted, self.prompt, re.IGNORECASE) if wanted else ()
        return self.covering(*(match.span() for match in found))
