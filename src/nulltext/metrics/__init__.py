"""How near pictures are to each other, to captions and to an edit asked for: one function a figure.

What cannot be measured, for want of weights, a library or a single pixel, is `Missing`, never a number.
"""

from nulltext.metrics.missing import Missing
from nulltext.metrics.pixels import psnr, structural_similarity

__all__ = ["Missing", "psnr", "structural_similarity"]
