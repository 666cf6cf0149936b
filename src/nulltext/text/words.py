"""Words of a caption, and the tokens they are made of."""

import difflib
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from nulltext.errors import (
    MOST_OF_A_WORD,
    CaptionError,
    CaptionTooLongError,
    EmptyCaptionError,
    WordNotFoundError,
    listed,
    shown,
)
from nulltext.showing import brief

MOST_CHARACTERS = 10_000
"""The longest caption that is looked at; no text encoder of this kind reads a tenth of it."""

Span = tuple[int, int]
"""[start, end) characters of a caption."""


def different_words(caption: str) -> list[str]:
    """The different words of a caption, in order; capitals make no difference."""
    words: dict[str, str] = {}
    for word in re.findall(r"\w+", caption):
        words.setdefault(word.lower(), word)
    return list(words.values())


def is_punctuation(text: str) -> bool:
    """Whether this is what stands between words; an emoji, which a font draws as a picture, is not."""
    return all(one in string.punctuation or unicodedata.category(one).startswith("P") for one in text)


def check_words(captions: Sequence[str]) -> None:
    """Makes sure that captions are meant to say something, whatever model reads them.

    Raises:
        EmptyCaptionError: A caption has no word in it (a run of punctuation or emoji is none), or there is no caption.
        CaptionError: A caption has control characters, or bytes that are not UTF-8.
        CaptionTooLongError: A caption has more than `MOST_CHARACTERS`.
    """
    if not captions:
        raise EmptyCaptionError(
            "got no caption; expected one or more, each with at least one word. Say what the picture shows."
        )
    for caption in captions:
        check_text(caption)
        if not any(character.isalnum() for character in caption):
            raise EmptyCaptionError(
                f"got the caption {shown(caption)}; expected at least one word. Say what is in the picture."
            )


def check_text(caption: str) -> None:
    """Makes sure that a caption is text that a tokenizer can read at once; the empty one, for the null caption, is.

    Raises:
        CaptionError: It has control characters, or bytes that are not UTF-8.
        CaptionTooLongError: It has more than `MOST_CHARACTERS`.
    """
    if not isinstance(caption, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # who has no checker may give any
        raise CaptionError(f"got the caption {shown(caption)}; expected text, a str.")
    if len(caption) > MOST_CHARACTERS:
        raise CaptionTooLongError(
            f"the caption has {len(caption)} characters; expected at most {MOST_CHARACTERS}, and far fewer for most "
            f"models. It begins {shown(caption)}. Say it in a sentence."
        )
    for character in caption:
        kind = unicodedata.category(character)
        if kind == "Cs":
            raise CaptionError(
                f"the caption {shown(caption)} has bytes that are not UTF-8; expected text. Write it again."
            )
        if kind == "Cc" and not character.isspace():
            raise CaptionError(
                f"the caption {shown(caption)} has the control character {character!r}; expected text. Leave it out."
            )


@dataclass(frozen=True)
class Tokens:
    """A caption as a tokenizer cuts it, its start and end marks included, padding left out.

    Attributes:
        caption: The caption, as written.
        ids: The tokens' numbers, n of them.
        spans: For each token the characters it stands for; None for a mark.
    """

    caption: str
    ids: tuple[int, ...]
    spans: tuple[Span | None, ...]

    __repr__ = brief

    def covering(self, *spans: Span) -> list[int]:
        """The positions of the tokens that stand for any character of these spans, in order."""
        return [
            position
            for position, own in enumerate(self.spans)
            if own is not None and any(own[0] < end and start < own[1] for start, end in spans)
        ]

    def words(self) -> list[list[int]]:
        """The positions of the tokens of each word, a word being what stands between blanks."""
        return [self.covering(match.span()) for match in re.finditer(r"\S+", self.caption)]

    def find(self, word: str) -> list[int]:
        """The positions of the tokens of a word, wherever the caption has it.

        Capitals do not matter, nor punctuation around a word; "shirt" is found in "t-shirt", and several words are
        found where they follow each other. A word that stands twice is found twice.

        Args:
            word: A word or several.

        Raises:
            WordNotFoundError: The caption does not have it; names the nearest words that it has.
        """
        positions = self._places(word)
        if positions:
            return positions
        known = {own.lower(): own for own in different_words(self.caption)}
        like = word[:MOST_OF_A_WORD].lower()
        near = [known[match] for match in difflib.get_close_matches(like, known, n=3, cutoff=0.5)]
        raise WordNotFoundError(
            f"the word {shown(word)} is not in the caption {shown(self.caption)}. "
            + (f"Did you mean {' or '.join(map(shown, near))}?" if near else f"It has: {listed(known.values())}.")
        )

    def has(self, word: str) -> bool:
        """Whether `find` would find the word."""
        return bool(self._places(word))

    def _places(self, word: str) -> list[int]:
        phrase = r"[\W_]+".join(re.escape(part) for part in re.findall(r"\w+", word))
        wanted = rf"(?<!\w){phrase}(?!\w)" if phrase else re.escape(word.strip())
        found = re.finditer(wanted, self.caption, re.IGNORECASE) if wanted else ()
        return self.covering(*(match.span() for match in found))
