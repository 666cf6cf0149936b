"""The words that a model was taught, read from the text file beside its weights."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from nulltext.errors import MOST_OF_A_WORD, ModelLoadError, UnknownWordError, listed, shown
from nulltext.text.words import Span, is_punctuation

_MOST_NAMED: Final = 5


@final
@dataclass(frozen=True, eq=False)
class TaughtWords:
    """The only words that a model was taught.

    Attributes:
        words: In lower case.
        path: The file they are in.
        tokenizer: The model's, which knows further marks.
    """

    words: frozenset[str]
    path: Path
    tokenizer: Any

    @classmethod
    def read(cls, path: Path, tokenizer: Any) -> "TaughtWords":  # noqa: ANN401  transformers carries no types
        """Those of a text file, a word a line.

        Raises:
            ModelLoadError: It cannot be read.
        """
        try:
            words = frozenset(path.read_text(encoding="utf-8").lower().split())
        except (OSError, ValueError) as error:
            raise ModelLoadError(f"{path} cannot be read: {error}; expected a word a line, in UTF-8.") from error
        return cls(words, path, tokenizer)

    def unknown(self, prompt: str) -> tuple[Span, ...]:
        """Where in a prompt words stand that are not among them; punctuation that the tokenizer knows is no word."""
        spans: list[Span] = []
        for match in re.finditer(r"[^\W\d_]+|\d|[^\w\s]|_", prompt):
            word = match[0].lower()
            ids: list[int] = self.tokenizer(word, add_special_tokens=False).input_ids
            spelled = is_punctuation(word) and self.tokenizer.unk_token_id not in ids  # which needs no listing
            if word not in self.words and not spelled:
                spans.append(match.span())
        return tuple(spans)

    def check(self, prompt: str, model: str) -> None:
        """Makes sure that a prompt has no other word.

        Args:
            prompt: The prompt.
            model: What to call the model.

        Raises:
            UnknownWordError: It has; says which are near.
        """
        spans = self.unknown(prompt)
        for start, end in spans:
            word = prompt[start:end].lower()
            rest = listed([shown(prompt[at:to].lower()) for at, to in spans[1:]], _MOST_NAMED)
            others = f", nor {rest}," if rest else ""
            near = difflib.get_close_matches(word[:MOST_OF_A_WORD], self.words, n=3, cutoff=0.5)
            hint = f" Nearest known: {', '.join(near)}." if near else ""
            raise UnknownWordError(
                f"{model} does not know the word {shown(word)}{others} in {shown(prompt)}.{hint} "
                f"The {len(self.words)} words it knows are in {self.path}."
            )
