"""diffusers' ``AutoencoderKL``: images as latents and back (Rombach et al., arXiv 2112.10752)."""

from typing import Any, ClassVar, final

from torch import Tensor

from nulltext.errors import ModelLoadError
from nulltext.models.frozen_autoencoder import FrozenAutoencoder
from nulltext.types import Latents, Pixels


@final
class KLAutoencoder(FrozenAutoencoder):
    """A frozen ``AutoencoderKL``. Latents are the posterior's mode, by the autoencoder's own scaling."""

    tiles: ClassVar[bool] = True

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        return self.network.config.latent_channels

    def latents_of(self, pixels: Pixels) -> Tensor:
        """See `FrozenAutoencoder.latents_of`."""
        return (self.network.encode(pixels).latent_dist.mode() - self._shift) * self.network.config.scaling_factor

    def image_of(self, latents: Latents) -> Tensor:
        """See `FrozenAutoencoder.image_of`."""
        return self.network.decode(latents / self.network.config.scaling_factor + self._shift).sample

    @property
    def _shift(self) -> float:
        return float(self.network.config.shift_factor or 0.0)


def check_scaling(config: Any, model: str) -> None:  # noqa: ANN401  diffusers carries no types
    """Makes sure that an autoencoder's latents are scaled by something.

    Raises:
        ModelLoadError: They are not.
    """
    if not config.scaling_factor:
        raise ModelLoadError(f"{model}: vae/config.json has scaling_factor=0; expected a number such as 0.18215.")
