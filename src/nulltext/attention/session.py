"""A control at work on a model, and everything put back afterwards."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, final, runtime_checkable

from torch import nn

from nulltext.attention.control import Control
from nulltext.attention.plain import uncompiled
from nulltext.attention.processors import Change, ControlledProcessor
from nulltext.attention.sites import Kind, Site, attention_modules, map_size
from nulltext.errors import SessionError


@runtime_checkable
class Attentive(Protocol):
    """A model whose attention can be controlled."""

    @property
    def denoiser(self) -> nn.Module:
        """The network that holds the attention layers."""
        ...


@final
class Session:
    """A control at work. It is told in which step the sampler is (`at`), and never counts.

    Attributes:
        prompts: P, how many prompts the captioned half of a batch holds, the source first.
        controlled: The names of the sites where the control has acted so far.
    """

    def __init__(self, control: Control, prompts: int, latent_size: tuple[int, int]) -> None:
        self.prompts = prompts
        self.controlled: set[str] = set()
        self._control = control
        self._latent_size = latent_size
        self._step: int | None = None

    def at(self, step: int) -> None:
        """Says which sampling step comes next, 0 for the first."""
        self._step = step

    def change(self, name: str, kind: Kind, queries: int) -> Change | None:
        """What the control does to a site in the present step; None if it does not want it.

        Raises:
            SessionError: The session was not told the step.
        """
        if self._step is None:
            raise SessionError(
                "the session does not know the step; expected session.at(step) before the model is used."
            )
        size = map_size(queries, self._latent_size)
        if size is None:
            return None
        site, step = Site(name, kind, *size), self._step
        if not self._control.wants(site, step):
            return None
        self.controlled.add(name)
        return lambda probs: self._control(probs, site, step)


@contextmanager
def controlled(
    model: Attentive, control: Control, *, prompts: int, latent_size: tuple[int, int]
) -> Generator[Session, None, None]:
    """Puts a control to work on a model's attention, and the model's own processors back at the end, whatever happens.

    Args:
        model: The model.
        control: What to do.
        prompts: P, the prompts in the captioned half of each batch, the source first. A batch holds the null half, if
            any, and behind it the captioned half.
        latent_size: (h, w) of the latents, from which the sizes of the maps follow.

    Yields:
        The session; tell it each step.

    Raises:
        SessionError: The model is controlled already; it has no attention; or the control met none that it wants.
    """
    modules = attention_modules(model.denoiser)
    if not modules:
        raise SessionError(f"{type(model.denoiser).__name__} has no attention layers that can be controlled.")
    originals = {name: module.processor for name, module in modules.items()}
    if any(isinstance(processor, ControlledProcessor) for processor in originals.values()):
        raise SessionError("the model's attention is controlled already; expected one control at a time. Chain them.")
    session = Session(control, prompts, latent_size)
    try:
        for name, module in modules.items():
            module.set_processor(ControlledProcessor(name, originals[name], session))
        with uncompiled(model.denoiser):
            yield session
    finally:
        for name, module in modules.items():
            module.set_processor(originals[name])
    if not session.controlled:
        raise SessionError(
            f"the control met none of the model's {len(modules)} attention layers; expected at least one. Widen its "
            "steps or its sizes."
        )
