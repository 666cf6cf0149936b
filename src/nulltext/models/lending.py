"""Networks that belong to a pipeline: lent to a model, and given back as they were."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from nulltext.errors import ModelAlteredError, ModelClosedError


@final
class Loan:
    """Whether a model may still use its networks.

    Those of a model that was loaded by name are its own, and closing it does nothing.
    """

    def __init__(self) -> None:
        self._give_back: Callable[[], None] | None = None
        self._watch: Watch | None = None
        self._over = False

    def begin(self, networks: Iterable[nn.Module], give_back: Callable[[], None], watch: "Watch") -> None:
        """Lends networks; a model that has one of them already is closed first.

        Args:
            networks: Them.
            give_back: Puts them back as they were.
            watch: Sees whether somebody alters them meanwhile.
        """
        self._give_back, self._watch = give_back, watch
        for network in networks:
            _LENT[network] = self

    def end(self) -> None:
        """Gives the networks back; a second time does nothing."""
        if self._give_back is not None:
            self._over = True
            give_back, self._give_back, self._watch = self._give_back, None, None
            give_back()

    def check(self, *, thoroughly: bool = False) -> None:
        """Makes sure that the networks are still lent, and are what they were.

        Args:
            thoroughly: Whether to look beyond the weights' own count of what was written to them, see `Watch`.

        Raises:
            ModelClosedError: They were given back.
            ModelAlteredError: They were altered.
        """
        if self._over:
            raise ModelClosedError(
                "this model was closed: its networks are the pipeline's again, or another model's of the same "
                "pipeline; expected one that is open. Call nulltext.load(pipeline) again."
            )
        if self._watch is not None and (altered := self._watch.altered(thoroughly=thoroughly)):
            raise ModelAlteredError(
                f"the pipeline's {altered} was altered or replaced while it was lent to this model; expected the "
                "weights that the model was made of, by which its inversions know it. Call nulltext.load(pipeline) "
                "again, and invert again."
            )


_LENT: Final[WeakKeyDictionary[nn.Module, Loan]] = WeakKeyDictionary()
"""To whom each network was lent last."""


def end_loans(networks: Iterable[nn.Module]) -> None:
    """Closes the models that have one of these networks."""
    for network in networks:
        if network in _LENT:
            _LENT.pop(network).end()


@final
class Watch:
    """Whether a pipeline's parts are still what they were when they were lent.

    torch counts what is written to a tensor, which takes a tenth of a millisecond to compare. What goes by way of
    ``weight.data`` is not counted, as is what ``fuse_lora()`` adds: one number of every weight tells of that.
    """

    def __init__(self, pipeline: object, parts: Mapping[str, object]) -> None:
        """Remembers how they are.

        Args:
            pipeline: Theirs; it is not kept alive.
            parts: By their names in it.
        """
        self._pipeline, self._parts = ref(pipeline), dict(parts)
        networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
        modules = [(name, module) for name, network in networks.items() for module in network.modules()]
        self._held = [(name, held, dict(held)) for name, module in modules for held in _held_by(module)]
        tensors = [(name, one) for name, held, _ in self._held for one in held.values() if isinstance(one, Tensor)]
        self._names, self._tensors = [name for name, _ in tensors], [tensor for _, tensor in tensors]
        self._versions, self._numbers = _versions(self._tensors), _numbers(self._tensors)

    def altered(self, *, thoroughly: bool) -> str | None:
        """The name of a part that is another, or None.

        Args:
            thoroughly: Whether the pipeline's parts, their modules and a number of each weight are looked at as well.
        """
        if (now := _versions(self._tensors)) != self._versions:
            return self._name_where(now, self._versions)
        return self._altered_within() if thoroughly else None

    def _altered_within(self) -> str | None:
        pipeline = self._pipeline()
        if pipeline is not None:
            for name, part in self._parts.items():
                if getattr(pipeline, name, None) is not part:
                    return name
        for name, held, before in self._held:
            if len(held) != len(before) or any(held.get(key) is not one for key, one in before.items()):
                return name
        numbers = _numbers(self._tensors)
        return None if numbers == self._numbers else self._name_where(numbers, self._numbers)

    def _name_where(self, now: Sequence[object], before: Sequence[object]) -> str:
        return next(name for name, *pair in zip(self._names, now, before, strict=True) if pair[0] != pair[1])


def _held_by(module: nn.Module) -> list[dict[str, Any]]:
    """Not the buffers, which are others once they were moved."""
    return [vars(module)[name] for name in ("_parameters", "_modules")]


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]  # noqa: SLF001  there is no other


@torch.no_grad()
def _numbers(tensors: Sequence[Tensor]) -> list[bytes]:
    """The number in the middle of each tensor, as bytes: not-a-number equals itself so."""
    middles = [tensor[tuple(side // 2 for side in tensor.shape)] if tensor.numel() else None for tensor in tensors]
    alike: dict[tuple[torch.dtype, torch.device], list[tuple[int, Tensor]]] = {}
    for at, number in enumerate(middles):
        if number is not None:
            alike.setdefault((number.dtype, number.device), []).append((at, number))
    found = [b""] * len(tensors)
    for numbers in alike.values():  # each waits for its device once
        raw = torch.stack([number for _, number in numbers])[:, None].cpu().view(torch.uint8).numpy()
        for (at, _), row in zip(numbers, raw, strict=True):
            found[at] = row.tobytes()
    return found


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
