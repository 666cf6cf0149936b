"""Memory that was freed, given back to the system."""

import ctypes
import sys
from functools import cache
from typing import Any, Final

LARGE: Final = 8_000_000
"""Pixels of an image after which memory is given back; it then held a hundred megabytes and more."""


def give_back() -> None:
    """Gives the system what large images have held.

    glibc keeps what a thread has freed for that thread. Images are read and written by several, and each would keep as
    much as the largest that it has had. Elsewhere this does nothing.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:  # noqa: ANN401  a function of the C library, or None
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
