"""Masks as lists of runs, the way PIE-Bench writes them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from nulltext.errors import CaseError

Cells = Bool[np.ndarray, "height width"]
"""[H, W] a mask."""


def decode_runs(runs: Sequence[int], *, height: int, width: int) -> Cells:
    """A mask from its runs.

    Args:
        runs: Start and length of each run in turn, counted in cells row by row from 0; in any order, also overlapping.
        height: Of the mask.
        width: Likewise.

    Returns:
        [height, width] true where a run is.

    Raises:
        CaseError: A length is missing, or a run leaves the mask.
    """
    size = height * width
    if len(runs) % 2:
        raise CaseError(
            f"got {len(runs)} numbers, the last run without a length; expected pairs of start and length. The list has "
            "been cut off: copy it again."
        )
    cells = np.zeros(size, dtype=bool)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        if start < 0 or length < 0 or start + length > size:
            raise CaseError(
                f"got a run of {length} from {start}; expected runs inside of {height} x {width} = {size} cells. Was "
                "the mask made for another size?"
            )
        cells[start : start + length] = True
    return cells.reshape(height, width)


def cut_runs(runs: Sequence[int], *, size: int) -> list[int]:
    """The runs, cut off where a mask of `size` cells ends."""
    pairs = zip(runs[::2], runs[1::2], strict=False)
    return [number for start, length in pairs for number in (min(start, size), min(length, max(0, size - start)))]
