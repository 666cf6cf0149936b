"""The denoiser compiled as one graph, and believed only where its answers have been compared.

torch 2.13's compiler gives the nearest-neighbour upsampling between two levels a wrong gradient: that of the whole
network is off by a tenth where its output is right to six digits. Doubling by repeating rows and columns is the same
operation, and is compiled rightly. Resnets and transformer blocks compiled one by one would avoid it too, but save
nothing on a CPU: calling them costs as much as what is saved inside.
"""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.hooks import RemovableHandle

from nulltext.attention.uncompiled import uncompiled
from nulltext.errors import CompilationError
from nulltext.models.base import Model
from nulltext.models.precision import rounding_of

AGREEMENT = 1e-3
"""By how much of their length output and gradient may differ."""
ROUNDINGS = 6
"""By how many roundings of the network they may, if that is more: below float32 its gradient is off by two as it is."""
RUNS = 3
"""How often they are compared at a shape: a CUDA graph runs as it is at first, is recorded next, and then replayed."""
RECOMPILATIONS = 64
"""How often at most: twice, with and without a gradient, for each of batch, height, width and tokens that changes."""


def compile_denoiser(model: Model, *, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compiles a model's denoiser, in place; on CUDA its kernels are recorded and replayed as one (CUDA graphs).

    It is compiled at its first evaluation, and again at the first of another size: minutes, kept by torch for the next
    time. On CUDA that is once a size: where no gradient is asked for, the graph with one answers, which takes as long.
    At every new shape its output and its gradient are compared with those of the network as it is, before it is used.

    Args:
        model: The model; its denoiser is one of diffusers.
        backend: See ``torch.compile``.

    Raises:
        CompilationError: They differ, or nothing compiles; the model is left as it was. Raised later, at the
            first evaluation of another shape, it leaves the model as it was, too.
    """
    if not isinstance(model.denoiser, UNet2DConditionModel):
        raise CompilationError(
            f"{model.identity.id} has a {type(model.denoiser).__name__}; expected a UNet, whose compiled answers are "
            "known to be right. Use it as it is: it gives the same results."
        )
    agreement = max(AGREEMENT, ROUNDINGS * rounding_of(model))
    compiled = _Compiled(model.denoiser, backend, model.device, agreement)
    model.denoiser.__dict__["forward"] = compiled  # beside its class's method
    height, width = model.default_size
    x = torch.zeros(1, model.latent_channels, height // model.scale, width // model.scale, device=model.device)
    try:
        with torch.no_grad():
            model.predict(x, 500.0, model.null())
    except CompilationError as error:
        raise CompilationError(f"{model.identity.id} on {model.device}: {error}") from error


def is_compiled(model: Model) -> bool:
    """Whether a model's denoiser is compiled."""
    return isinstance(model.denoiser.__dict__.get("forward"), _Compiled)


@final
class _Compiled:
    """A denoiser's forward, compiled."""

    def __init__(
        self, network: nn.Module, backend: str | Callable[..., Any], device: torch.device, agreement: float
    ) -> None:
        self._network, self._plain, self._agreement = network, network.forward, agreement
        dynamo: Any = getattr(torch, "_dynamo")  # noqa: B009  where torch documents its settings to be
        dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, RECOMPILATIONS)
        options: dict[str, str | int | bool | Callable[..., Any]] = {}
        if backend == "inductor":
            options = {"triton.cudagraphs": True} if device.type == "cuda" else {"cpp_wrapper": True}
        self._forward: Callable[..., Any] = torch.compile(network.forward, backend=backend, options=options)
        self._always_graded = device.type == "cuda"
        self._believed = set[tuple[object, ...]]()
        self._doublings = [
            _double_by_repeating(module) for module in network.modules() if isinstance(module, Upsample2D)
        ]

    def __call__(
        self, sample: Tensor, timestep: float | Tensor, encoder_hidden_states: Tensor, **beside: Mapping[str, Tensor]
    ) -> UNet2DConditionOutput:
        if not isinstance(timestep, Tensor):  # a number would be compiled in
            timestep = torch.full((len(sample),), timestep, device=sample.device)
        given = sample, timestep, encoder_hidden_states
        shape = *(x.shape for x in given), sample.dtype
        if shape not in self._believed:
            self._compare(*given, **beside)
            self._believed.add(shape)
        return self._run(*given, **beside)

    def _run(
        self, sample: Tensor, timestep: Tensor, text: Tensor, **beside: Mapping[str, Tensor]
    ) -> UNet2DConditionOutput:
        """One evaluation. A recorded graph writes where it wrote before, so all that it returns is copied."""
        torch.compiler.cudagraph_mark_step_begin()
        if self._always_graded and not (torch.is_grad_enabled() and text.requires_grad):
            with torch.enable_grad():
                output = self._forward(sample, timestep, text.detach().clone().requires_grad_(), **beside)
            output.sample = output.sample.detach().clone()
            return output
        text = text.clone()
        if text.requires_grad:
            text.register_hook(torch.clone)
        output = self._forward(sample, timestep, text, **beside)
        output.sample = output.sample.clone()
        return output

    def _compare(self, sample: Tensor, timestep: Tensor, text: Tensor, **beside: Mapping[str, Tensor]) -> None:
        """Makes sure that the output, which is compiled by itself, and the gradient are those of the network as it is.

        Raises:
            CompilationError: They are not, or there are none; the network is left as it was.
        """
        generator = torch.Generator().manual_seed(0)
        x, noise = (torch.empty_like(sample).copy_(torch.randn(sample.shape, generator=generator)) for _ in range(2))

        def answers(forward: Callable[..., Any]) -> tuple[Tensor, Tensor]:
            def of(leaf: Tensor) -> Tensor:
                made: Tensor = forward(x, timestep, leaf, **beside).sample
                return made[:, : x.shape[1]].float()  # a variance is not used

            leaf = text.detach().clone()
            with torch.no_grad():
                output = of(leaf)
            with torch.enable_grad():
                leaf.requires_grad_()
                graded = of(leaf)
                (gradient,) = torch.autograd.grad((graded * noise[:, : graded.shape[1]]).sum(), leaf)
            return output, gradient.float()

        try:
            with uncompiled(self._network):
                plain, compiled = answers(self._plain), [answers(self._run) for _ in range(RUNS)]
        except torch.OutOfMemoryError:  # says nothing of the compiler
            raise
        except Exception as error:  # a compiler raises whatever it likes
            self._give_up()
            raise CompilationError(
                f"it could not be compiled: {error}. Use it as it is: it gives the same results."
            ) from error
        differences = [(a - b).norm() / b.norm() for run in compiled for a, b in zip(run, plain, strict=True)]
        off = torch.stack(differences).max().item()
        if not off <= self._agreement:
            self._give_up()
            raise CompilationError(
                f"compiled, it gives an output or a gradient {100 * off:.2g} % off for latents of "
                f"{list(sample.shape)}; expected at most {100 * self._agreement:g} %. Use it as it is: it gives the "
                "same results."
            )

    def _give_up(self) -> None:
        self._network.__dict__.pop("forward", None)
        for undo in self._doublings:
            undo()


def _double_by_repeating(upsampler: Upsample2D) -> Callable[[], None]:
    """Makes an upsampling repeat rows and columns instead of interpolating; returns what takes that back."""

    def double(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        x, *rest = given
        size = rest[0] if rest else named.get("output_size")
        return (_repeated(x) if size is None else _resized(x, size), *rest), named

    if upsampler.use_conv_transpose or not upsampler.interpolate:
        return lambda: None
    upsampler.interpolate = False
    hook: RemovableHandle = upsampler.register_forward_pre_hook(double, with_kwargs=True)

    def undo() -> None:
        hook.remove()
        upsampler.interpolate = True

    return undo


def _repeated(x: Tensor) -> Tensor:
    """Every row and column twice."""
    batch, channels, height, width = x.shape
    twice = x[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    return twice.reshape(batch, channels, 2 * height, 2 * width)


def _nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The nearest pixels."""
    return interpolate(x, size=size, mode="nearest")


_resized: Any = torch.compiler.disable(_nearest)
"""The same, not compiled: for latents whose sides cannot be halved evenly."""
