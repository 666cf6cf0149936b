"""Backpropagation where the plain rules would lose the gradient: through float16, and past a clamp."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, low: float, high: float) -> Tensor:
        clamped = x.clamp(low, high)
        ctx.save_for_backward(x - clamped)
        return clamped

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (beyond,) = gradients, ctx.saved_tensors
        return gradient * (gradient * beyond >= 0), None, None


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """`torch.clamp`; on the way back the gradient passes also outside the range where a descent would lead back in.

    By the plain rule a value that once left the range would stay there for good.
    """
    clamped: Tensor = _Clamp.apply(x, low, high)  # pyright: ignore[reportAssignmentType]  # torch leaves it open
    return clamped


class ScaledGradient:
    """Scales the gradient up where it enters a float16 network and down again where it leaves.

    The gradient of a mean-squared error over latents with respect to a denoiser's output is near 3e-7; float16 has no
    normal number below 6e-5 and would flush most of it to zero. Since a gradient is linear in the one that comes in,
    the scaling changes nothing else. Each sample of a batch has its own, so that none is lost beside a larger one, and
    nothing waits for the device. One instance serves one pass: ``leave(network(enter(text).half()).float())``.
    """

    def __init__(self) -> None:
        self._factor = torch.ones(())

    def enter(self, text: Tensor) -> Tensor:
        """The identity; on the way back divides the gradient by the factors."""
        marked = text.view_as(text)

        def unscale(gradient: Tensor) -> Tensor:
            return gradient / _along(self._factor, gradient)

        marked.register_hook(unscale)
        return marked

    def leave(self, output: Tensor) -> Tensor:
        """The identity; on the way back brings each sample's largest gradient to 1/2 to 1, by a power of two."""
        marked = output.view_as(output)

        def scale(gradient: Tensor) -> Tensor:
            largest = gradient.abs().flatten(1).amax(1)
            _, exponent = torch.frexp(largest)
            self._factor = torch.where(largest > 0, torch.exp2(-exponent.float()), 1.0)
            return gradient * _along(self._factor, gradient)

        marked.register_hook(scale)
        return marked


def through(dtype: torch.dtype, text: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
    """What a network of some precision makes of text embeddings in float32, in float32; no gradient is lost in float16.

    Args:
        dtype: The network's precision.
        text: [B, L, D].
        network: Called with them in that precision; its output is [B, ...].
    """
    if dtype == torch.float16 and text.requires_grad:
        scaled = ScaledGradient()
        return scaled.leave(network(scaled.enter(text).to(dtype)).float())
    return network(text.to(dtype)).float()


def _along(factors: Tensor, gradient: Tensor) -> Tensor:
    """One factor for each sample, shaped to multiply a gradient."""
    return factors.view(-1, *[1] * (gradient.ndim - 1))
