"""Whether two images are laid out alike, whatever their colours and textures."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nulltext.metrics.missing import Missing
from nulltext.types import OnePixels, Pixels

Keys = Float[Tensor, "batch token feature"]
"""[B, N, D] the keys of an attention layer, its heads side by side."""


@runtime_checkable
class ImageKeys(Protocol):
    """A vision transformer that shows the keys of its last attention layer."""

    def keys(self, pixels: Pixels) -> Keys:
        """[B, N, D] the keys of images [B, 3, H, W] in [-1, 1], that of the class token among them."""
        ...


def structure_distance(a: OnePixels, b: OnePixels, *, dino: ImageKeys | Missing) -> float | Missing:
    """DINO structure distance: Tumanyan et al., Splice, CVPR 2022, arXiv 2201.00424, section 3; lower is closer.

    ``mean_ij (S(a)_ij - S(b)_ij)²`` with ``S(x)_ij = cos(k_i(x), k_j(x))``, k_i being the key of token i in the last
    attention layer of a DINO ViT-B/8, all heads side by side. The paper takes the norm of the difference; the mean of
    its squares is what the authors' code and PIE-Bench measure.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        dino: What shows the keys: `nulltext.models.dino.Dino`.

    Returns:
        0 to 4; missing if `dino` is.
    """
    if isinstance(dino, Missing):
        return dino
    one, other = (functional.normalize(dino.keys(pixels)[0].double(), dim=-1) for pixels in (a, b))
    return functional.mse_loss(one @ one.T, other @ other.T).item()
