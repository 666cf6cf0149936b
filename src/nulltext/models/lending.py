"""Networks that belong to a pipeline: lent to a model, and given back as they were."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from nulltext.errors import ModelClosedError


@final
class Loan:
    """Whether a model may still use its networks.

    Those of a model that was loaded by name are its own, and closing it does nothing.
    """

    def __init__(self) -> None:
        self._give_back: Callable[[], None] | None = None
        self._over = False

    def begin(self, networks: Iterable[nn.Module], give_back: Callable[[], None]) -> None:
        """Lends networks; a model that has one of them already is closed first.

        Args:
            networks: Them.
            give_back: Puts them back as they were.
        """
        self._give_back = give_back
        for network in networks:
            _LENT[network] = self

    def end(self) -> None:
        """Gives the networks back; a second time does nothing."""
        if self._give_back is not None:
            self._over = True
            give_back, self._give_back = self._give_back, None
            give_back()

    def check(self) -> None:
        """Makes sure that the networks are still lent.

        Raises:
            ModelClosedError: They were given back.
        """
        if self._over:
            raise ModelClosedError(
                "this model was closed: its networks are the pipeline's again, or another model's of the same "
                "pipeline; expected one that is open. Call nulltext.load(pipeline) again."
            )


_LENT: Final[WeakKeyDictionary[nn.Module, Loan]] = WeakKeyDictionary()
"""To whom each network was lent last."""


def end_loans(networks: Iterable[nn.Module]) -> None:
    """Closes the models that have one of these networks."""
    for network in networks:
        if network in _LENT:
            _LENT.pop(network).end()


@final
class State:
    """What networks are like: where their weights are and in what precision, and all that their modules are set to."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        modules = dict.fromkeys(module for network in networks for module in network.modules())
        self._modules = [_Module.of(module) for module in modules]
        weights = dict.fromkeys(weight for module in modules for weight in module.parameters(recurse=False))
        self._weights = [_Weight.of(weight) for weight in weights]

    def release(self) -> None:
        """Keeps of the weights as they were only those whose numbers cannot be had from the weights as they are now."""
        for weight in self._weights:
            weight.release()

    def restore(self) -> None:
        """Makes the networks what they were."""
        for module in self._modules:
            module.restore()
        for weight in self._weights:
            weight.restore()


@dataclass(eq=False, kw_only=True)
class _Weight:
    """Attributes: a weight; what it was like; its numbers, if they were rounded since."""

    weight: Parameter
    device: torch.device
    dtype: torch.dtype
    strides: tuple[int, ...]
    requires_grad: bool
    gradient: Tensor | None
    kept: Tensor | None = field(repr=False)

    @classmethod
    def of(cls, weight: Parameter) -> "_Weight":
        gradient, weight.grad = weight.grad, None
        return cls(
            weight=weight,
            device=weight.device,
            dtype=weight.dtype,
            strides=weight.stride(),
            requires_grad=weight.requires_grad,
            gradient=gradient,
            kept=weight.data,
        )

    def release(self) -> None:
        if self.kept is None:
            return
        exact = torch.promote_types(self.dtype, self.weight.dtype) == self.weight.dtype
        self.kept = None if exact else self.kept.cpu()

    def restore(self) -> None:
        now = self.weight.data if self.kept is None else self.kept
        if (now.device, now.dtype, now.stride()) != (self.device, self.dtype, self.strides):
            was = torch.empty_strided(now.shape, self.strides, dtype=self.dtype, device=self.device)
            now = was.copy_(now)
        self.weight.data = now
        self.weight.requires_grad = self.requires_grad
        self.weight.grad = self.gradient


_OWN: Final = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Module:
    """Attributes: a module; its attributes; what its dictionaries of weights, parts and hooks held."""

    module: nn.Module
    attributes: Mapping[str, Any]
    contents: Mapping[str, Mapping[Any, Any]]

    @classmethod
    def of(cls, module: nn.Module) -> "_Module":
        attributes = dict(vars(module))
        contents = {name: dict(held) for name, held in attributes.items() if name in _OWN or "_hooks" in name}
        return cls(module=module, attributes=attributes, contents=contents)

    def restore(self) -> None:
        for name in vars(self.module).keys() - self.attributes.keys():
            del vars(self.module)[name]
        vars(self.module).update(self.attributes)
        for name, held in self.contents.items():
            now = vars(self.module)[name]
            now.clear()
            now.update(held)
