"""Which memory layout a device's convolutions are quicker in.

On a CPU the wrong one can be slower by a factor of ten, and which one that is depends on sizes and library; so it is
measured. What is usual for the device stands unless the other is clearly quicker, so that noise decides nothing.
"""

import time
from functools import lru_cache

import torch
from torch.nn.functional import conv2d

CLEARLY = 1.3
"""How many times quicker the unusual layout has to be."""
_RUNS = 3


@lru_cache(maxsize=64)
def quickest_layout(
    device: torch.device, dtype: torch.dtype, channels: int, shape: tuple[int, int, int]
) -> torch.memory_format:
    """The layout for a network whose first convolutions are of a given size; measured once for each.

    Args:
        device: Where.
        dtype: In which precision.
        channels: In and out of a convolution of 3 x 3.
        shape: (images at once, height, width) of what goes through it.

    Returns:
        ``torch.channels_last`` or ``torch.contiguous_format``.
    """
    usual, other = torch.contiguous_format, torch.channels_last
    if device.type == "cpu":
        usual, other = other, usual
    batch, height, width = shape
    seconds = {layout: _seconds(device, dtype, (batch, channels, height, width), layout) for layout in (usual, other)}
    return other if seconds[other] * CLEARLY < seconds[usual] else usual


def _seconds(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int, int], layout: torch.memory_format
) -> float:
    """The least time of a convolution and its gradient with respect to what goes in."""
    _, channels, _, _ = shape
    x = torch.zeros(shape, device=device, dtype=dtype).to(memory_format=layout).requires_grad_()
    weight = torch.zeros(channels, channels, 3, 3, device=device, dtype=dtype).to(memory_format=layout)
    times: list[float] = []
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        with torch.enable_grad():
            output = conv2d(x, weight, padding=1)
            (gradient,) = torch.autograd.grad(output, x, torch.zeros_like(output))
        gradient.flatten()[0].item()  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times[1:])
