"""Word swap: the new word looks where the old one looked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from nulltext.attention.placed import placed
from nulltext.text.alignment import Pair
from nulltext.text.words import Tokens
from nulltext.types import PromptProbs


@final
@dataclass(frozen=True, eq=False)
class Replace:
    """Hertz et al., section 3.2, "word swap": ``Edit(M, M*) = M``, through a mapper where words differ in tokens.

    Attributes:
        mapper: [L, L] how much of each source token's attention (row) each target token (column) takes.
    """

    mapper: Float[Tensor, "source target"]

    def __call__(self, source: PromptProbs, target: PromptProbs) -> PromptProbs:
        """What the target is given in place of its own; see `nulltext.attention.follow.TokenEdit`."""
        return source @ placed(self.mapper, source.device, source.dtype)

    @classmethod
    def of(cls, source: Tokens, target: Tokens, pairs: Sequence[Pair], length: int) -> "Replace":
        """Makes the mapper.

        Words of as many tokens are mapped token by token; otherwise every token of the new word takes an equal share of
        what all tokens of the old one have. The marks of start and end answer to each other, and so does the padding.
        (The authors' code maps what follows the last swapped word by position. That is the same, unless the swapped
        words differ in their number of tokens; then it is off by the difference.)

        Args:
            source: The source prompt.
            target: The edited prompt.
            pairs: Its words paired with the source's.
            length: L, the tokens of an embedding.
        """
        mapper = torch.zeros(length, length)
        for pair in pairs:
            for rows, _ in target.sections(length):
                ours, theirs = ([token for token in own if token in rows] for own in pair)
                ours = ours or pair[0]  # of a word that is in another chunk of the source
                if len(ours) == len(theirs):
                    mapper[ours, theirs] = 1
                else:
                    for token in theirs:
                        mapper[ours, token] = 1 / len(theirs)
        for (rows, ours), (_, theirs) in zip(source.sections(length), target.sections(length), strict=True):
            if theirs.spans[0] is None:
                mapper[rows[0], rows[0]] = 1
            end, shift = len(theirs.ids) - 1, len(ours.ids) - len(theirs.ids)
            for token in rows[end:]:  # the end mark and the padding behind it
                mapper[min(token + shift, rows[-1]), token] = 1
        return cls(mapper)
