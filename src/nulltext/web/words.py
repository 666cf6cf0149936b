"""Which words of a prompt are new."""

import difflib
import re


def changed_words(source: str, target: str) -> list[str]:
    """The words of a new prompt that are not where the source's were: replaced or added."""
    old, new = (re.findall(r"\w+", prompt.lower()) for prompt in (source, target))
    matches = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return list(dict.fromkeys(word for kind, _, _, start, end in matches if kind != "equal" for word in new[start:end]))
