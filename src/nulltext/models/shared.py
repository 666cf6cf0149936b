"""A model whose network answers several at once."""

from typing import Any, cast, final

from torch import Tensor

from nulltext.diffusion.sharing import Error, SharedDenoiser
from nulltext.diffusion.steering import AttentionPlan
from nulltext.models.base import Model
from nulltext.types import Embeddings, Latents, Times


@final
class _SharedModel:
    """A model, but that its network is asked through a share of it."""

    def __init__(self, model: Model, denoiser: SharedDenoiser) -> None:
        self._model = model
        self._denoiser = denoiser

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the model has
        return getattr(self._model, name)

    def predict(self, x: Latents, t: int | Times, text: Embeddings, attention: AttentionPlan = ()) -> Latents:
        """See `nulltext.diffusion.sharing.SharedDenoiser`."""
        return self._denoiser.predict(x, t, text, attention)

    def descend(self, x: Latents, t: int | Times, text: Embeddings, error: Error) -> tuple[Tensor, Embeddings]:
        """See `nulltext.diffusion.sharing.SharedDenoiser`."""
        return self._denoiser.descend(x, t, text, error)


def sharing(model: Model, denoiser: SharedDenoiser) -> Model:
    """A view of a model for one of several that share its network's batches.

    Args:
        model: The model.
        denoiser: The share, as `nulltext.diffusion.sharing.share` gives it.
    """
    return cast("Model", _SharedModel(model, denoiser))
