"""Editors that several studies compare."""

from collections.abc import Callable, Mapping

from nulltext.bench.candidate import always
from nulltext.bench.case import Case
from nulltext.editing.base import Editor
from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_swap import PromptSwap
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt


def blended(case: Case, *, threshold: float | None = None) -> PromptToPrompt:
    """Prompt-to-Prompt, kept where the words are that the case names, if it names any."""
    return PromptToPrompt(blend=None if case.blend is None else Blend(*case.blend, threshold=threshold))


EDITORS: Mapping[str, Callable[[Case], Editor]] = {
    "plain": always(PromptSwap()),
    "p2p": always(PromptToPrompt()),
    "p2p_blend": blended,
}
"""The plain prompt swap, Prompt-to-Prompt as it comes, and the same kept local where the edit is."""
