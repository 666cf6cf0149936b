"""Attention kept, to look at it or to blend by it."""

import math
from typing import final

from jaxtyping import Float
from torch import Tensor

from nulltext.attention.control import Attention
from nulltext.attention.sites import Site
from nulltext.errors import SessionError

Maps = Float[Tensor, "prompt token row column"]
"""[P, L, rows, columns] how much each place looks at each token; over the tokens they sum to 1, or to what joint
attention leaves to the text."""

FINEST_SHARE = 4
LEAST_SIDE = 16


@final
class Record:
    """Sums up the cross-attention of one level of the denoiser as the steps go by; changes nothing.

    The level is the nearest to a quarter of the latents' side, but to no less than 16: the authors take 16 x 16 of
    latents of 64 x 64, and at a quarter of smaller latents there is nothing to see.
    """

    def __init__(self, latent_size: tuple[int, int]) -> None:
        """Begins with nothing recorded.

        Args:
            latent_size: (h, w) of the latents.
        """
        rows, columns = latent_size
        shrink = max(1.0, min(FINEST_SHARE, (rows * columns) ** 0.5 / LEAST_SIDE))
        wanted = rows * columns / shrink**2
        levels = [(rows, columns)]
        while levels[-1] != (1, 1):
            levels.append((-(-levels[-1][0] // 2), -(-levels[-1][1] // 2)))
        self._level = min(levels, key=lambda level: abs(math.log(level[0] * level[1] / wanted)))
        self._sum: Tensor | None = None
        self._count = 0
        self._step, self._seen = -1, dict[str, Tensor]()

    def wants(self, site: Site, step: int) -> bool:
        """Cross-attention of that level, or of the only one that a network has, in every step."""
        return site.kind == "cross" and (site.one_size or (site.rows, site.columns) == self._level)

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """See `nulltext.attention.control.Control`. Of a site seen twice in a step the latter counts."""
        self._level = site.rows, site.columns
        if step != self._step:
            self._sum, self._count = self._so_far()
            self._step, self._seen = step, {}
        self._seen[site.name] = attention.probs().mean(1)
        return attention

    def maps(self) -> Maps:
        """The mean over sites, heads and the steps so far, [P, L, rows, columns].

        Raises:
            SessionError: The denoiser has no cross-attention at that level.
        """
        rows, columns = self._level
        total, count = self._so_far()
        if total is None:
            raise SessionError(
                f"no cross-attention with maps of {rows} x {columns} was met; expected some. Take an image of the "
                "size the model was made for, or edit without maps and without a blend by words."
            )
        mean = total / count
        return mean.view(len(mean), rows, columns, -1).permute(0, 3, 1, 2)

    def _so_far(self) -> tuple[Tensor | None, int]:
        """The sum, and of how many."""
        total = self._sum
        for mean in self._seen.values():
            total = mean if total is None else total + mean
        return total, self._count + len(self._seen)
