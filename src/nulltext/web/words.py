"""Prompts as the page shows them: words that a model does not know marked, words that changed lit up."""

import difflib
import re
from collections.abc import Sequence
from html import escape

from nulltext.text.words import Span


def changed_words(source: str, target: str) -> list[str]:
    """The words of a new prompt that are not where the source's were: replaced or added."""
    old, new = (re.findall(r"\w+", prompt.lower()) for prompt in (source, target))
    matches = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return list(dict.fromkeys(word for kind, _, _, start, end in matches if kind != "equal" for word in new[start:end]))


def marked(prompt: str, spans: Sequence[Span], title: str) -> str:
    """A prompt as HTML, some of its characters marked.

    Args:
        prompt: The prompt.
        spans: What is marked, [start, end) each, in order.
        title: What the mark means; read out by screen readers.
    """
    parts, at = list[str](), 0
    for start, end in spans:
        word = escape(prompt[start:end])
        parts += [escape(prompt[at:start]), f'<mark title="{escape(title)}">{word}</mark>']
        at = end
    return f'<span class="prompt">{"".join(parts)}{escape(prompt[at:])}</span>'


def highlight(source: str, target: str) -> str:
    """A new prompt as HTML, its words lit up where they are not those of the source, and what was taken out named."""
    changed = set(changed_words(source, target))
    spans = [match.span() for match in re.finditer(r"\w+", target) if match[0].lower() in changed]
    gone = changed_words(target, source)
    html = marked(target, spans, "changed")
    if not changed and not gone:
        return f"{html} <small>Nothing has changed yet.</small>"
    return f"{html} <small>instead of: {escape(', '.join(gone))}</small>" if gone else html
