"""The places of a denoiser where attention happens, known by their shape and not by their library."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

from torch import Tensor, nn

Kind = Literal["cross", "self"]
"""From the image to the prompt, or from the image to itself."""


@dataclass(frozen=True)
class Site:
    """One attention layer, at the size it has for the latents at hand.

    Attributes:
        name: The module's name in the denoiser.
        kind: What it looks at.
        rows: Height of its map, in tokens.
        columns: Width of its map.
        one_size: Whether the denoiser has maps of this size alone, and none for coarser and finer things.
    """

    name: str
    kind: Kind
    rows: int
    columns: int
    one_size: bool = False

    @property
    def tokens(self) -> int:
        """How many places of the image it has: its queries."""
        return self.rows * self.columns


@runtime_checkable
class AttentionModule(Protocol):
    """The shape of an attention layer: projections, a number of heads, and a processor that can be exchanged."""

    heads: int
    scale: float
    is_cross_attention: bool
    processor: Any
    to_q: Any
    to_k: Any
    to_v: Any
    to_out: Any

    def set_processor(self, processor: Any) -> None:  # noqa: ANN401  whatever the library's processors are
        """Puts another processor in the place of `processor`."""
        ...

    def prepare_attention_mask(self, attention_mask: Tensor, target_length: int, batch_size: int) -> Tensor:
        """A mask brought to [batch * heads, queries or 1, keys]."""
        ...


@runtime_checkable
class RotaryModule(Protocol):
    """The shape of a layer of joint attention that is told by a rotation where queries and keys are: FLUX.1's.

    Where `added_kv_proj_dim` is None it has one stream, of which text is the first rows; else text has its own.
    """

    heads: int
    head_dim: int
    added_kv_proj_dim: int | None
    processor: Any
    to_q: Any
    to_k: Any
    to_v: Any
    norm_q: Any
    norm_k: Any

    def set_processor(self, processor: Any) -> None:  # noqa: ANN401  as above
        """Puts another processor in the place of `processor`."""
        ...


def attention_modules(denoiser: nn.Module) -> dict[str, AttentionModule | RotaryModule]:
    """Every attention layer of a denoiser, by name, in the order of its modules."""
    modules = cast("Iterable[tuple[str, object]]", denoiser.named_modules())
    return {name: module for name, module in modules if isinstance(module, AttentionModule | RotaryModule)}


def is_joint(module: object) -> bool:
    """Whether this is a layer of joint attention: the text asks there as well, and all looks at all."""
    if isinstance(module, RotaryModule):
        return True
    return isinstance(module, AttentionModule) and getattr(module, "add_q_proj", None) is not None


def has_added_keys(module: object) -> bool:
    """Whether this is a layer in which the image looks at keys of the text, added to its own, in one softmax."""
    added = getattr(module, "added_kv_proj_dim", None) is not None
    return isinstance(module, AttentionModule) and added and not is_joint(module)


def self_attention_layers(denoiser: nn.Module) -> list[str]:
    """The names of a denoiser's self-attention layers in the order in which an evaluation passes them.

    A UNet's modules are in another: the middle comes last.
    """
    stages = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    own = [name for name, module in attention_modules(denoiser).items() if _looks_at_itself(module)]
    return sorted(own, key=lambda name: stages.get(name.split(".")[0], 0))


def _looks_at_itself(module: AttentionModule | RotaryModule) -> bool:
    if isinstance(module, RotaryModule):
        return True
    if has_added_keys(module):
        return not getattr(module, "only_cross_attention", False)
    return not module.is_cross_attention


def map_size(tokens: int, latent_size: Sequence[int]) -> tuple[int, int] | None:
    """(rows, columns) of a map with so many tokens over latents that are halved, rounding up, from level to level.

    Args:
        tokens: The queries of a site.
        latent_size: (h, w) of the latents.

    Returns:
        The size; None if no level has so many tokens.
    """
    rows, columns = latent_size
    while rows * columns > tokens and (rows, columns) != (1, 1):
        rows, columns = -(-rows // 2), -(-columns // 2)
    return (rows, columns) if rows * columns == tokens else None
