"""Self-attention that looks at the source: what things look like is its, where they are the target's own."""

from dataclasses import dataclass
from typing import final

from torch import nn

from nulltext.attention.control import Attention
from nulltext.attention.sites import Site, self_attention_layers


@final
@dataclass(frozen=True)
class MutualSelfAttention:
    """Mutual self-attention: MasaCtrl, Cao et al., arXiv 2304.08465, equation 5, in both branches.

    Attributes:
        layers: The names of the self-attention layers where targets look at the source's keys and values.
        first_step: S, from which step on; until then targets find a layout of their own.
    """

    layers: frozenset[str]
    first_step: int

    def wants(self, site: Site, step: int) -> bool:
        """Those layers, from that step on."""
        return site.kind == "self" and step >= self.first_step and site.name in self.layers

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """See `nulltext.attention.control.Control`."""
        key, value = attention.key[:, :1], attention.value[:, :1]
        return attention.with_key_value(key.expand_as(attention.key), value.expand_as(attention.value))

    @classmethod
    def of(cls, network: nn.Module, *, first_step: int = 4, first_layer: int = 10) -> "MutualSelfAttention":
        """From a layer on, counted as an evaluation passes them.

        The published values are for 50 steps and the 16 self-attention layers of Stable Diffusion 1.x: of the last two
        levels on the way up.

        Args:
            network: The denoiser.
            first_step: S.
            first_layer: L, 0 for the first.
        """
        return cls(frozenset(self_attention_layers(network)[first_layer:]), first_step)
