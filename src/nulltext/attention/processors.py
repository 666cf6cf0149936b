"""Attention computed step by step, so that its probabilities can be had; the same result as the fused kernel."""

from collections.abc import Callable
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.sites import Kind
from nulltext.types import Probs

Change = Callable[[Probs], Probs]


@runtime_checkable
class Chooser(Protocol):
    """Whom a processor asks what to do."""

    def change(self, name: str, kind: Kind, queries: int) -> Change | None:
        """What to do with the probabilities of a site; None leaves it to the model's own processor."""
        ...

    @property
    def prompts(self) -> int:
        """P, how many prompts are in the captioned half of a batch."""
        ...


@final
class ControlledProcessor:
    """Stands in for the processor of one attention layer while a session lasts.

    It computes what the layer's own processor computes (Vaswani et al., 2017, equation 1), but for the captioned half
    of the batch with the probabilities spelt out in float32 and changed on the way. The null half keeps the fused
    kernel.
    """

    def __init__(self, name: str, original: Callable[..., Tensor], chooser: Chooser) -> None:
        self.name = name
        self.original = original
        self.chooser = chooser

    def __call__(
        self,
        attn: Any,  # noqa: ANN401  the library's own layer, of the shape of AttentionModule
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **rest: Any,  # noqa: ANN401  whatever else the library hands through
    ) -> Tensor:
        """The layer's output, as its own processor would give it, but for the change."""
        kind: Kind = "self" if encoder_hidden_states is None else "cross"
        change = self.chooser.change(self.name, kind, _queries(hidden_states))
        if change is None:
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **rest)

        query, key, value, mask = _project(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        null, cond = slice(0, len(query) - self.chooser.prompts), slice(len(query) - self.chooser.prompts, None)
        scores = query[cond].float() * attn.scale @ key[cond].float().transpose(-1, -2)
        probs = change((scores if mask is None else scores + mask[cond]).softmax(-1))
        seen = (probs @ value[cond].float()).to(value.dtype)
        if null.stop:
            unseen = F.scaled_dot_product_attention(
                query[null], key[null], value[null], attn_mask=None if mask is None else mask[null], scale=attn.scale
            )
            seen = torch.cat([unseen, seen])

        out = attn.to_out[1](attn.to_out[0](seen.transpose(1, 2).flatten(2)))
        if hidden_states.ndim == PICTURE:
            out = out.transpose(-1, -2).reshape(hidden_states.shape)
        if attn.residual_connection:
            out = out + hidden_states
        return out / attn.rescale_output_factor


PICTURE = 4
"""Axes of states that are still a picture, [batch, channel, row, column], and not yet a row of tokens."""


def _queries(hidden_states: Tensor) -> int:
    return hidden_states.shape[2:].numel() if hidden_states.ndim == PICTURE else hidden_states.shape[1]


def _project(
    attn: Any,  # noqa: ANN401  as above
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None,
    attention_mask: Tensor | None,
    temb: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Query, key and value, [batch, heads, tokens, width], and the mask to add to the scores."""
    states = hidden_states if attn.spatial_norm is None else attn.spatial_norm(hidden_states, temb)
    if states.ndim == PICTURE:
        states = states.flatten(2).transpose(1, 2)
    if attn.group_norm is not None:
        states = attn.group_norm(states.transpose(1, 2)).transpose(1, 2)
    context = states if encoder_hidden_states is None else encoder_hidden_states
    if encoder_hidden_states is not None and attn.norm_cross:
        context = attn.norm_encoder_hidden_states(context)
    query, key, value = (
        projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for projected in (attn.to_q(states), attn.to_k(context), attn.to_v(context))
    )
    query = query if attn.norm_q is None else attn.norm_q(query)
    key = key if attn.norm_k is None else attn.norm_k(key)
    if attention_mask is None:
        return query, key, value, None
    mask = attn.prepare_attention_mask(attention_mask, context.shape[1], len(context))
    return query, key, value, mask.unflatten(0, (len(context), attn.heads))
