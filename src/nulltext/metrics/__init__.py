"""How near images are to each other, to prompts and to an edit asked for: one function a figure.

What cannot be measured, for want of weights, a library or a single pixel, is `Missing`, never a number. A mask says
which pixels count: pass the edited part for inside, its opposite for outside. `pie` has the figures of PIE-Bench as
they were published, which take a mask otherwise.
"""

from nulltext.metrics.clip import clip_directional_similarity, clip_image_similarity, clip_text_similarity
from nulltext.metrics.masks import intersection_over_union
from nulltext.metrics.missing import Missing
from nulltext.metrics.perceptual import lpips
from nulltext.metrics.pixels import mse, psnr, structural_similarity
from nulltext.metrics.structure import structure_distance

__all__ = [
    "Missing",
    "clip_directional_similarity",
    "clip_image_similarity",
    "clip_text_similarity",
    "intersection_over_union",
    "lpips",
    "mse",
    "psnr",
    "structural_similarity",
    "structure_distance",
]
