"""Attention with added keys: the image looks at a text and at itself in one softmax, the text looks at nothing.

DeepFloyd IF calls it hybrid self- and cross-attention; so do Kandinsky 2 and unCLIP compute.
"""

from typing import Any, final

import torch
from torch import Tensor

from nulltext.attention.control import Attention, Beside
from nulltext.attention.sites import Kind
from nulltext.attention.unet import SteeredProcessor, by_branch

_Keys = tuple[Tensor, Tensor, Tensor | None]
"""Key and value, [batch, heads, tokens, width], and the mask to add to the scores of the keys."""


@final
class SteeredAddedProcessor(SteeredProcessor):
    """Stands in for the processor of one layer with added keys during one evaluation.

    What the image looks at in itself is its self-attention, what it looks at in the text its cross-attention: two sites
    of one name, whose probabilities sum to 1 together. A layer that looks at the text alone has the latter only.
    """

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # there is always a text
        self,
        attn: Any,  # noqa: ANN401  the library's own layer
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """The layer's output, as its own processor would give it, but for the changes."""
        kinds: tuple[Kind, ...] = ("cross",) if attn.only_cross_attention else ("self", "cross")
        changes = self.changes(kinds, hidden_states)
        if all(change is None for change in changes):
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask)
        query, text, image = _project(attn, hidden_states, encoder_hidden_states, attention_mask)
        seen: list[Tensor] = []
        for own, prompts, change in self.runs(changes):
            attention = Attention(
                query=by_branch(query[own], prompts),
                scale=query.shape[-1] ** -0.5,  # the layer's own processor leaves it to the kernel
                **_rows(text if image is None else image, own, prompts),
                beside=None if image is None else Beside(**_rows(text, own, prompts)),
            )
            seen.append(change(attention).flatten(0, 1))
        out = attn.to_out[1](attn.to_out[0](torch.cat(seen).transpose(1, 2).flatten(2)))
        return out.transpose(-1, -2).reshape(hidden_states.shape) + hidden_states


def _rows(keys: _Keys, own: slice, prompts: int) -> dict[str, Any]:
    """The keys of one image, named as `Attention` and `Beside` name them."""
    parts = zip(("key", "value", "mask"), keys, strict=True)
    return {name: None if part is None else by_branch(part[own], prompts) for name, part in parts}


def _project(
    attn: Any,  # noqa: ANN401  as above
    hidden_states: Tensor,
    encoder_hidden_states: Tensor,
    attention_mask: Tensor | None,
) -> tuple[Tensor, _Keys, _Keys | None]:
    """The image's queries, the text's keys, and the image's own if it looks at itself."""
    states = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
    text: Tensor = encoder_hidden_states
    if attn.norm_cross:
        text = attn.norm_encoder_hidden_states(text)

    def heads(projection: Any, states: Tensor) -> Tensor:  # noqa: ANN401  its layers, likewise
        return projection(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    # Made as wide as all keys, the text's in front.
    mask = attn.prepare_attention_mask(attention_mask, states.shape[1], len(states), out_dim=4)
    front, behind = (None, None) if mask is None else mask.tensor_split([text.shape[1]], -1)
    query, added = heads(attn.to_q, states), (heads(attn.add_k_proj, text), heads(attn.add_v_proj, text), front)
    if attn.only_cross_attention:
        return query, added, None
    return query, added, (heads(attn.to_k, states), heads(attn.to_v, states), behind)
