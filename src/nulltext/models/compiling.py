"""The denoiser compiled, region by region, and believed only after its gradient has been compared.

Compiled as a whole, a UNet can give gradients that are wrong by a tenth where its output is right to six digits (seen
on a CPU with torch 2.13: the backward of an upsampling fused with what follows). Resnets and transformer blocks by
themselves are right, and most of the time is spent in them.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor

from nulltext.errors import CompilationError
from nulltext.models.base import Model

REGIONS = (ResnetBlock2D, BasicTransformerBlock)
AGREEMENT = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""By how much of its length the gradient may differ, by the network's precision."""


def compile_regions(model: Model, *, batch: int = 1, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compiles the resnets and transformer blocks of a model's denoiser, in place, and compares its gradient.

    The first evaluation at every new size is slow: minutes at full size.

    Args:
        model: The model; its denoiser is one of diffusers.
        batch: At which batch size the gradient is compared.
        backend: See ``torch.compile``.

    Raises:
        CompilationError: The gradient differs from the one before, or nothing compiles; the model is left as it was.
    """
    before = _gradient(model, batch)
    regions = [module for module in model.denoiser.modules() if isinstance(module, REGIONS)]
    if not regions:
        raise CompilationError(
            f"{model.identity.id} has neither resnets nor transformer blocks of diffusers; expected some to compile. "
            "Use it as it is: it gives the same results."
        )
    dynamo: Any = getattr(torch, "_dynamo")  # noqa: B009  where torch documents its settings to be
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, 8 * len(regions))  # they share their code
    for region in regions:
        region.compile(backend=backend)
    try:
        after = _gradient(model, batch)
    except Exception as error:
        _undo(model)
        raise CompilationError(
            f"{model.identity.id} could not be compiled on {model.device}: {error}. Use it as it is: it gives the same "
            "results."
        ) from error
    off = ((after - before).norm() / before.norm()).item()
    if not off <= AGREEMENT[model.dtype]:
        _undo(model)
        raise CompilationError(
            f"compiled on {model.device}, {model.identity.id} gives a gradient that is {100 * off:.2g} % off; expected "
            f"at most {100 * AGREEMENT[model.dtype]:g} %. Use it as it is: it gives the same results."
        )


def _gradient(model: Model, batch: int) -> Tensor:
    """That of some error with respect to the embedding."""
    height, width = model.default_size
    generator = torch.Generator().manual_seed(0)
    shape = (batch, model.latent_channels, height // model.scale, width // model.scale)
    x, noise = (torch.randn(shape, generator=generator).to(model.device) for _ in range(2))
    with torch.enable_grad():
        text = model.embed([""] * batch).requires_grad_()
        (gradient,) = torch.autograd.grad((model.predict(x, 500, text) * noise).mean(), text)
    return gradient


def _undo(model: Model) -> None:
    for module in model.denoiser.modules():
        setattr(module, "_compiled_call_impl", None)  # noqa: B010  Module.compile has no inverse
