"""Names for tensors, with their shapes.

Sizes: B pictures in a batch, C latent channels, H x W pixels, h x w latent cells, L tokens, D text width.
"""

from jaxtyping import Float, UInt8
from torch import Tensor

Latents = Float[Tensor, "batch channel height width"]
"""[B, C, h, w] latents, float32."""

Pixels = Float[Tensor, "batch 3 height width"]
"""[B, 3, H, W] pictures, RGB in [-1, 1], float32."""

Embeddings = Float[Tensor, "batch token width"]
"""[B, L, D] text embeddings, float32. Null embeddings are the same with a step where the batch is."""

Picture = UInt8[Tensor, "height width 3"]
"""[H, W, 3] one picture, RGB in 0..255."""
