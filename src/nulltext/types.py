"""Names for tensors, with their shapes.

Sizes: B images in a batch, C latent channels, H x W pixels, h x w latent cells, L tokens, D text width, T steps.
"""

from jaxtyping import Float, UInt8
from torch import Tensor

Latents = Float[Tensor, "batch channel row column"]
"""[B, C, h, w] latents, float32."""

Times = Float[Tensor, "batch"]
"""[B] the time given to the network, one for each image of a batch, float32."""

Scales = Float[Tensor, "batch 1 1 1"]
"""[B, 1, 1, 1] a guidance scale for each image of a batch, float32."""

Trajectory = Float[Tensor, "point channel row column"]
"""[T+1, C, h, w] the latents that an image passes, from z_T to z_0."""

Pixels = Float[Tensor, "batch 3 height width"]
"""[B, 3, H, W] images, RGB in [-1, 1], float32."""

OnePixels = Float[Tensor, "1 3 height width"]
"""[1, 3, H, W] one image, RGB in [-1, 1], float32."""

Embeddings = Float[Tensor, "batch token feature"]
"""[B, L, D] text embeddings, float32."""

Pooled = Float[Tensor, "batch vector"]
"""[B, P] one vector for each text, float32."""

Vector = Float[Tensor, "vector"]
"""[P] the vector of one text, float32."""

Embedding = Float[Tensor, "token feature"]
"""[L, D] the embedding of one text, float32."""

Null = Float[Tensor, "1 token feature"]
"""[1, L, D] a null embedding, float32."""

Nulls = Float[Tensor, "step token feature"]
"""[T, L, D] a null embedding for each step, in sampling order, float32."""

Mask = Float[Tensor, "1 1 height width"]
"""[1, 1, H, W] where an image may change, 0 to 1, float32."""

Masks = Float[Tensor, "batch 1 height width"]
"""[B, 1, H, W] the same for several."""

Probs = Float[Tensor, "prompt head query key"]
"""[P, heads, queries, keys] attention probabilities of one branch of an image, float32; each row sums to 1."""

PromptProbs = Float[Tensor, "head query key"]
"""[heads, queries, keys] those of one prompt."""

ImageBytes = UInt8[Tensor, "height width 3"]
"""[H, W, 3] one image, RGB in 0..255."""
