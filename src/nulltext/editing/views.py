"""Random views of an image, so that CLIP judges what it shows and not single pixels.

Both methods that optimise an image by CLIP (`vqgan_clip`, `text2live`) need them: a few pixels changed in ways that
nobody sees raise the similarity of one view, but not of many (Crowson et al., arXiv 2204.08583, section 3.1).
"""

from dataclasses import dataclass
from typing import cast, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nulltext.types import Pixels

Crops = Float[Tensor, "view 3 row column"]
"""[n, 3, h, w] parts of images, RGB around [-1, 1], of another number and size than the images."""


@final
@dataclass(frozen=True, kw_only=True)
class Views:
    """How much views may differ.

    Attributes:
        smallest: The least share of height and width that a view shows, above 0 to 1; it lies anywhere inside.
        tilt: By how much of a view's half side each of its corners may be off, which turns, shears and tilts it.
        jitter: By how much brightness, contrast and saturation may be off, as a share.
        noise: The largest standard deviation of the noise laid over; an image's values span 2.
    """

    smallest: float = 1.0
    tilt: float = 0.0
    jitter: float = 0.0
    noise: float = 0.0

    def __call__(self, images: Pixels, count: int, size: tuple[int, int], generator: torch.Generator) -> Crops:
        """Views of images; those of one are the same as those of another, part for part and colour for colour.

        Args:
            images: [B, 3, H, W] in [-1, 1].
            count: How many of each.
            size: (height, width) of a view.
            generator: Of all random draws; on the CPU.

        Returns:
            [B * count, 3, height, width], all of the first image first. Differentiable.
        """
        images = _shrunk(images, size)
        many, device = len(images), images.device

        def uniform(*shape: int) -> Tensor:
            """Even draws from -1 to 1."""
            return torch.rand(shape, generator=generator) * 2 - 1

        share = self.smallest + (1 - self.smallest) * (uniform(count, 1, 1) + 1) / 2
        corners = (1 - share) * uniform(count, 1, 2) + share * (_CORNERS + self.tilt * uniform(count, 4, 2))
        grid = _grid(corners, size).to(device).repeat(many, 1, 1, 1)
        seen = F.grid_sample(
            images.repeat_interleave(count, 0), grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        brightness, contrast, saturation = (
            (1 + self.jitter * uniform(count, 1, 1, 1)).to(device).repeat(many, 1, 1, 1) for _ in range(3)
        )
        seen = (seen + 1) * brightness - 1
        middle = seen.mean((1, 2, 3), keepdim=True)
        seen = middle + contrast * (seen - middle)
        grey = seen.mean(1, keepdim=True)
        seen = grey + saturation * (seen - grey)
        if not self.noise:
            return seen
        laid = self.noise * (uniform(count, 1, 1, 1) + 1) / 2 * torch.randn((count, 3, *size), generator=generator)
        return seen + laid.to(device).repeat(many, 1, 1, 1)


_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
"""Of an image, as (x, y), in the coordinates of `grid_sample`."""


def _shrunk(images: Pixels, size: tuple[int, int]) -> Crops:
    """Images brought to at most 3/2 of a view, smoothly: `grid_sample` would skip what lies between its points."""
    height, width = (min(have, side * 3 // 2) for have, side in zip(images.shape[-2:], size, strict=True))
    if (height, width) == images.shape[-2:]:
        return images
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True)


def _grid(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """[n, height, width, 2] where the points of a view lie in the image, from where its corners [n, 4, 2] do.

    The homography ``x = (a u + b v + c) / (g u + h v + 1)``, ``y = (d u + e v + f) / (g u + h v + 1)`` that takes the
    corners (u, v) of the view to (x, y); linear in its eight numbers.
    """
    count = len(corners)
    points = torch.cat([_CORNERS, torch.ones(4, 1)], 1).expand(count, 4, 3)
    zeros = torch.zeros_like(points)
    x, y = corners[..., :1], corners[..., 1:]
    rows_x = torch.cat([points, zeros, -x * points[..., :2]], -1)
    rows_y = torch.cat([zeros, points, -y * points[..., :2]], -1)
    numbers = cast("Tensor", torch.linalg.solve(torch.cat([rows_x, rows_y], 1), torch.cat([x, y], 1)))
    homography = torch.cat([numbers[..., 0], torch.ones(count, 1)], 1).view(count, 3, 3)
    height, width = size
    v, u = torch.meshgrid(
        (torch.arange(height) * 2 + 1) / height - 1, (torch.arange(width) * 2 + 1) / width - 1, indexing="ij"
    )
    seen = torch.einsum("nij,hwj->nhwi", homography, torch.stack([u, v, torch.ones_like(u)], -1))
    return seen[..., :2] / seen[..., 2:]
