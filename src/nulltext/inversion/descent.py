"""Adam on one embedding: what every method that optimises one turns around."""

from typing import final

import torch
from torch import Tensor

from nulltext.errors import SettingError
from nulltext.types import Embeddings


@final
class Descent:
    """An embedding on its way down.

    Attributes:
        embedding: [1, L, D] where it is now, a leaf that gradients reach.
    """

    def __init__(self, start: Embeddings, learning_rate: float) -> None:
        self.embedding: Embeddings = start.detach().clone().requires_grad_()
        self._adam = torch.optim.Adam([self.embedding], lr=learning_rate)

    def step(self, error: Tensor) -> float:
        """Takes one step of Adam down an error, a scalar computed from `embedding`.

        Returns:
            The error, from before the step.
        """
        self._adam.zero_grad()
        error.backward()
        self._adam.step()
        return error.item()


def check_descent(inner_steps: int, learning_rate: float) -> None:
    """Makes sure that settings lead anywhere.

    Raises:
        SettingError: They do not.
    """
    if inner_steps < 1:
        raise SettingError(f"got inner_steps={inner_steps}; expected at least 1.")
    if not learning_rate > 0:
        raise SettingError(f"got learning_rate={learning_rate:g}; expected more than 0. Take 0.01, the paper's.")
