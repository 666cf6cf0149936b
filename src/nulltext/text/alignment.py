"""Which token of one prompt answers to which token of another."""

from collections.abc import Sequence

from nulltext.text.words import Tokens

Pair = tuple[list[int], list[int]]
"""Positions of tokens in the source, and of those that answer to them in the target."""


def pair_words(source: Tokens, target: Tokens) -> list[Pair] | None:
    """Pairs the words of two prompts in order: Hertz et al., section 3.2, "word swap".

    Args:
        source: The source prompt.
        target: The edited prompt.

    Returns:
        A pair for every word, in order; None if the prompts have different numbers of words.
    """
    ours, theirs = source.words(), target.words()
    if len(ours) != len(theirs):
        return None
    return list(zip(ours, theirs, strict=True))


def align(source: Sequence[int], target: Sequence[int]) -> list[int | None]:
    """Global alignment of two sequences by Needleman and Wunsch (1970): match 1, mismatch -1, gap 0.

    A mismatch costs more than two gaps, so only equal tokens are ever aligned, as many as possible and in order. Among
    alignments of equal score the one is taken that leaves target tokens, read from the end, unaligned first, as the
    authors of Prompt-to-Prompt do.

    Args:
        source: Token numbers, n of them.
        target: Token numbers, m of them.

    Returns:
        For each target token, the position of the source token it is aligned with, or None for a new token.
    """
    best = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for i, ours in enumerate(source, start=1):
        for j, theirs in enumerate(target, start=1):
            match = best[i - 1][j - 1] + (1 if ours == theirs else -1)
            best[i][j] = max(best[i][j - 1], best[i - 1][j], match)
    aligned: list[int | None] = [None] * len(target)
    i, j = len(source), len(target)
    while i and j:
        if best[i][j] == best[i][j - 1]:
            j -= 1
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            aligned[j] = i
    return aligned
