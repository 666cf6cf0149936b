"""What the arithmetic of an evaluation needs, and what a device does of it."""

import time
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from nulltext.attention.uncompiled import uncompiled
from nulltext.models.base import Model


def called(device: torch.device) -> str:
    """What a device is called: the GPU's own name, or where it is."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def flops(model: Model) -> tuple[float, float]:
    """The operations of one evaluation of the network at the model's own size: forward, and back to the embedding."""
    height, width = model.default_size
    x = torch.zeros(1, model.latent_channels, height // model.scale, width // model.scale, device=model.device)
    null = model.null()
    null = null.with_text(null.text.requires_grad_())
    with uncompiled(model.denoiser), FlopCounterMode(display=False) as counter:
        output = model.predict(x, 1.0, null)
        forward = counter.get_total_flops()
        output.sum().backward()
        return float(forward), float(counter.get_total_flops() - forward)


def product_rate(model: Model, *, runs: int = 5, dtype: torch.dtype | None = None) -> float:
    """The median rate of a product of square matrices on the device and in the precision of a model; TFLOP/s.

    Args:
        model: The model.
        runs: How often four products are timed.
        dtype: Another precision.
    """
    side = 1024 if model.device.type == "cpu" else 8192
    a = torch.randn(side, side, device=model.device).to(dtype or model.dtype)
    rates: list[float] = []
    for _ in range(runs + 1):
        _wait(model)
        start = time.perf_counter()
        for _ in range(4):
            torch.mm(a, a)
        _wait(model)
        rates.append(4 * 2 * side**3 / (time.perf_counter() - start) / 1e12)
    return median(rates[1:])


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
