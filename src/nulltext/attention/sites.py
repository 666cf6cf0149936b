"""The places of a denoiser where attention happens, known by their shape and not by their library."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from torch import nn

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


_ATTENTION: Final = (
    "heads", "scale", "is_cross_attention", "processor", "to_q", "to_k", "to_v", "to_out", "prepare_attention_mask"
)  # fmt: skip
"""The shape of an attention layer: projections, a number of heads, and a processor that can be exchanged."""
_ROTARY: Final = (
    "heads", "head_dim", "added_kv_proj_dim", "processor", "to_q", "to_k", "to_v", "norm_q", "norm_k"
)  # fmt: skip
"""The shape of a layer of joint attention that is told by a rotation where queries and keys are: FLUX.1's.

Where `added_kv_proj_dim` is None it has one stream, of which text is the first rows; else text has its own.
"""


def is_attention(module: object) -> bool:
    """Whether this has the shape of a layer of attention.

    The ``isinstance`` of a protocol would not do: since Python 3.12 it does not see what a module finds by
    ``__getattr__``, as it does its layers.
    """
    return _has(module, _ATTENTION)


def is_rotary(module: object) -> bool:
    """Whether this has the shape of a layer of attention that is told of places by a rotation."""
    return _has(module, _ROTARY)


def _has(module: object, names: Iterable[str]) -> bool:
    # Most modules fail at the first, which is quick: a network is asked for its layers at every evaluation.
    return hasattr(type(module), "set_processor") and all(hasattr(module, name) for name in names)


def attention_modules(denoiser: nn.Module) -> dict[str, Any]:
    """Every attention layer of a denoiser, by name, in the order of its modules."""
    modules = cast("Iterable[tuple[str, object]]", denoiser.named_modules())
    return {name: module for name, module in modules if is_attention(module) or is_rotary(module)}


def is_joint(module: object) -> bool:
    """Whether this is a layer of joint attention: the text asks there as well, and all looks at all."""
    if is_rotary(module):
        return True
    return is_attention(module) and getattr(module, "add_q_proj", None) is not None


def has_added_keys(module: object) -> bool:
    """Whether this is a layer in which the image looks at keys of the text, added to its own, in one softmax."""
    added = getattr(module, "added_kv_proj_dim", None) is not None
    return is_attention(module) and added and not is_joint(module)


def self_attention_layers(denoiser: nn.Module) -> list[str]:
    """The names of a denoiser's self-attention layers in the order in which an evaluation passes them.

    A UNet's modules are in another: the middle comes last.
    """
    stages = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    own = [name for name, module in attention_modules(denoiser).items() if _looks_at_itself(module)]
    return sorted(own, key=lambda name: stages.get(name.split(".")[0], 0))


def _looks_at_itself(module: Any) -> bool:  # noqa: ANN401  the library's own layer
    if is_rotary(module):
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
