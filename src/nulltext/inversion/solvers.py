"""How an embedding moves, once it is known which way is down."""

from collections.abc import Mapping
from typing import Literal, final

import torch
from torch import Tensor

from nulltext.errors import SettingError
from nulltext.types import Embeddings

Solver = Literal["adam", "lbfgs"]
"""Adam as published; L-BFGS, which needs about a third of its iterations."""

_MEMORY = 10
_LONGEST = 10
"""The longest step of L-BFGS in any coordinate, as a multiple of the learning rate."""


@final
class Adam:
    """Kingma and Ba, arXiv 1412.6980."""

    def __init__(self, start: Embeddings, learning_rate: float) -> None:
        self._embedding = start.clone()
        self._adam = torch.optim.Adam([self._embedding], lr=learning_rate)

    def move(self, gradient: Embeddings) -> Embeddings:
        """Where the embedding is after a step, given the gradient where it was."""
        self._embedding.grad = gradient
        self._adam.step()
        return self._embedding.clone()


@final
class LBFGS:
    """Limited-memory BFGS, Liu and Nocedal 1989, with whole steps and no line search, which would cost evaluations.

    The error of a step is nearly quadratic in the embedding, so that whole steps are nearly right; the first, of which
    nothing is known, is of the learning rate's length, and none is longer than ten times that, both in the coordinate
    that moves most.
    """

    def __init__(self, start: Embeddings, learning_rate: float) -> None:
        self._embedding, self._rate = start.clone(), learning_rate
        self._gradient = self._last = torch.zeros_like(start)
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def move(self, gradient: Embeddings) -> Embeddings:
        """Where the embedding is after a step, given the gradient where it was."""
        direction, longest = -self._two_loops(gradient), self._rate
        if self._pairs:
            longest *= _LONGEST
        largest = direction.abs().max()
        scale = longest / largest.clamp(min=torch.finfo(largest.dtype).tiny)
        step = direction * (scale.clamp(max=1) if self._pairs else scale)
        self._last = step
        self._gradient = gradient
        self._embedding = self._embedding + step
        return self._embedding

    def _two_loops(self, gradient: Tensor) -> Tensor:
        """The gradient times what is known of the inverse Hessian."""
        moved, bent = self._last, gradient - self._gradient
        if (moved * bent).sum() > 0:
            self._pairs = [*self._pairs[1 - _MEMORY :], (moved, bent)]
        if not self._pairs:
            return gradient
        q, weights = gradient, list[Tensor]()
        for moved, bent in reversed(self._pairs):
            weights.append((moved * q).sum() / (moved * bent).sum())
            q = q - weights[-1] * bent
        moved, bent = self._pairs[-1]
        q = q * (moved * bent).sum() / (bent * bent).sum()
        for (moved, bent), weight in zip(self._pairs, reversed(weights), strict=True):
            q = q + (weight - (bent * q).sum() / (moved * bent).sum()) * moved
        return q


SOLVERS: Mapping[Solver, type[Adam] | type[LBFGS]] = {"adam": Adam, "lbfgs": LBFGS}


def check_null_guidance(guidance: float | None) -> None:
    """Makes sure that a null embedding takes part in the guidance.

    Raises:
        SettingError: It does not.
    """
    if guidance == 1:
        raise SettingError(
            "got guidance=1, at which the null embedding has no part; expected another. For w=1 use DDIM(), which "
            "the command line calls --method ddim."
        )
