"""Controls at work on a network for one evaluation, and everything put back afterwards."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from torch import Tensor, nn

from nulltext.attention.added import SteeredAddedProcessor
from nulltext.attention.control import Attention, Control
from nulltext.attention.joint import SteeredJointProcessor
from nulltext.attention.rotary import SteeredRotaryProcessor
from nulltext.attention.sites import Kind, Site, attention_modules, has_added_keys, is_joint, is_rotary, map_size
from nulltext.attention.uncompiled import uncompiled
from nulltext.attention.unet import Change, SteeredProcessor
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import SessionError


@final
@dataclass(frozen=True, eq=False)
class Steering:
    """One image's control at work. It is told which sampling step an evaluation belongs to, and never counts.

    Attributes:
        control: What is done.
        prompts: P, how many prompts the image has in a batch, the source first.
        latent_size: (h, w) of the latents, from which the sizes of the maps follow.
        met: The names of the sites where the control has acted so far.
    """

    control: Control
    prompts: int
    latent_size: tuple[int, int]
    met: set[str] = field(default_factory=set[str], init=False)

    def at(self, step: int) -> "Steered":
        """What is done in one evaluation of a sampling step, 0 for the first."""
        return Steered(self, step)

    def check(self) -> None:
        """Makes sure, at the end of a run, that the control had anything to do.

        Raises:
            SessionError: It met no site that it wants.
        """
        if not self.met:
            raise SessionError(
                "the control met none of the model's attention layers in the whole run; expected at least one. Widen "
                "its steps or its sizes."
            )


@final
@dataclass(eq=False)
class Steered:
    """What is done to one image's attention in one evaluation.

    Attributes:
        steering: The image's.
        step: 0 for the first sampling step.
        error: What the control raised, if it did.
    """

    steering: Steering
    step: int
    error: Exception | None = field(default=None, init=False)

    @property
    def prompts(self) -> int:
        """P, how many rows of the batch each branch of the image has."""
        return self.steering.prompts

    def change(self, name: str, kinds: Sequence[Kind], queries: int, *, one_size: bool = False) -> Change | None:
        """What the image sees in a layer; None if its control wants none of the layer's sites.

        Args:
            name: The layer's.
            kinds: Of its sites: one, or two that share a softmax, of which the attention is first seen from the first.
            queries: How many places of the image it has.
            one_size: Whether the network has maps of this size alone.
        """
        size = map_size(queries, self.steering.latent_size)
        if size is None:
            return None
        control = self.steering.control
        sites = [Site(name, kind, *size, one_size) for kind in kinds]
        with self._noting():
            wanted = [control.wants(site, self.step) for site in sites]
        if not any(wanted):
            return None

        def seen(attention: Attention) -> Tensor:
            with self._noting():
                for site, wants in zip(sites, wanted, strict=True):
                    attention = control(attention, site, self.step) if wants else attention
                    attention = attention if len(sites) == 1 else attention.swapped()
                return attention.output()

        self.steering.met.add(name)
        return seen

    @contextmanager
    def _noting(self) -> Generator[None]:
        """Keeps what a control raises, so that of a batch only its own image fails."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise


@contextmanager
def steered(network: nn.Module, plan: AttentionPlan, *, text: int = 0) -> Generator[None]:
    """Puts controls to work for one evaluation, and the network's own processors back at the end, whatever happens.

    A compiled network runs as it is written meanwhile. Nothing is touched where nothing is steered.

    Args:
        network: The network that holds the attention layers.
        plan: For the batch, in order: so many rows, and what is done to them. An image has P rows for each of its
            branches, the null one first, or for the conditional one alone.
        text: Rows of text before those of the image, for a network with layers in which both have one stream.

    Raises:
        SessionError: The network has no attention, or is at work with a control already; or an image has other rows
            than its steering has prompts.
    """
    parts = [(rows, _checked(rows, one)) for rows, one in plan]
    if all(one is None for _, one in parts):
        yield
        return
    modules = attention_modules(network)
    if not modules:
        raise SessionError(f"{type(network).__name__} has no attention layers that can be controlled.")
    originals = {name: module.processor for name, module in modules.items()}
    if any(isinstance(processor, SteeredProcessor) for processor in originals.values()):
        raise SessionError(
            "the model is evaluating under a control at this moment, for another thread or for the control itself; "
            "expected one evaluation at a time. Load the model once for each thread."
        )
    try:
        one_size = any(map(is_joint, modules.values()))
        for name, module in modules.items():
            if is_rotary(module):
                module.set_processor(SteeredRotaryProcessor(name, originals[name], parts, text=text))
            else:
                made = _stand_in(module)
                module.set_processor(made(name, originals[name], parts, one_size=one_size))
        with uncompiled(network):
            yield
    finally:
        for name, module in modules.items():
            module.set_processor(originals[name])


def _stand_in(module: object) -> type[SteeredProcessor]:
    """What stands in for a layer's processor."""
    if is_joint(module):
        return SteeredJointProcessor
    return SteeredAddedProcessor if has_added_keys(module) else SteeredProcessor


def _checked(rows: int, one: object) -> Steered | None:
    """An entry of a plan."""
    if one is not None and not isinstance(one, Steered):
        raise SessionError(
            f"got {type(one).__name__} in an attention plan; expected what `Steering.at` gives, or None."
        )
    if one is not None and rows not in {one.prompts, 2 * one.prompts}:
        raise SessionError(
            f"got {rows} rows for an image of {one.prompts} prompts; expected {one.prompts} or {2 * one.prompts}: one "
            "for each prompt, with or without the null branch before them."
        )
    return one
