"""Which memory layout convolutions are given.

It depends on the device and the precision alone. Measuring which is quicker would let the clock choose, and the two
layouts round differently: the same command could then give other digits.
"""

import torch


def layout_for(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """The layout in which a network's weights and inputs lie.

    Args:
        device: Where it runs.
        dtype: In which precision.

    Returns:
        ``torch.channels_last`` on a CPU, and on CUDA below float32, where tensor cores take no other without
        transposing; else ``torch.contiguous_format``.
    """
    half = dtype in {torch.float16, torch.bfloat16}
    if device.type == "cpu" or (device.type == "cuda" and half):
        return torch.channels_last
    return torch.contiguous_format
