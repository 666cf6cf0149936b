"""The attention layers of a UNet: what a control wants is computed image by image, all else by the fused kernel."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from nulltext.attention.control import Attention
from nulltext.attention.sites import Kind
from nulltext.errors import SessionError

Change = Callable[[Attention], Tensor]
"""What an image sees at a site instead: of its attention the output, [branch, P, heads, queries, width]."""


@runtime_checkable
class Chooser(Protocol):
    """Whom a processor asks what to do with an image."""

    def change(self, name: str, kinds: Sequence[Kind], queries: int, *, one_size: bool) -> Change | None:
        """What to do at the sites of a layer; None leaves the image to the fused kernel."""
        ...

    @property
    def prompts(self) -> int:
        """P, how many rows of the batch each branch of the image has."""
        ...


class SteeredProcessor:
    """Stands in for the processor of one attention layer during one evaluation.

    It computes what the layer's own processor computes (Vaswani et al., arXiv 1706.03762, equation 1), but lets the
    images that want this layer change it on the way. Where none does, the layer's own processor is called.
    """

    def __init__(
        self,
        name: str,
        original: Callable[..., Any],
        parts: Sequence[tuple[int, Chooser | None]],
        *,
        one_size: bool = False,
    ) -> None:
        self.name = name
        self.original = original
        self.parts = parts
        self.one_size = one_size

    def __call__(
        self,
        attn: Any,  # noqa: ANN401  the library's own layer, see `is_attention`
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **rest: Any,  # noqa: ANN401  whatever else the library hands through
    ) -> Tensor:
        """The layer's output, as its own processor would give it, but for the changes."""
        kind: Kind = "self" if encoder_hidden_states is None else "cross"
        changes = self.changes((kind,), hidden_states)
        if all(change is None for change in changes):
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **rest)

        query, key, value, mask = _project(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        seen: list[Tensor] = []
        for own, prompts, change in self.runs(changes):
            attention = Attention(
                query=by_branch(query[own], prompts),
                key=by_branch(key[own], prompts),
                value=by_branch(value[own], prompts),
                scale=attn.scale,
                mask=None if mask is None else by_branch(mask[own], prompts),
            )
            seen.append(change(attention).flatten(0, 1))

        out = attn.to_out[1](attn.to_out[0](torch.cat(seen).transpose(1, 2).flatten(2)))
        if hidden_states.ndim == IMAGE:
            out = out.transpose(-1, -2).reshape(hidden_states.shape)
        if attn.residual_connection:
            out = out + hidden_states
        return out / attn.rescale_output_factor

    def changes(self, kinds: Sequence[Kind], hidden_states: Tensor) -> list[Change | None]:
        """What is done to each part of the batch."""
        batch, planned = len(hidden_states), sum(rows for rows, _ in self.parts)
        if batch != planned:
            raise SessionError(f"got an attention plan of {planned} rows for a batch of {batch}; expected {batch}.")
        queries = _queries(hidden_states)
        one_size = self.one_size
        return [
            None if one is None else one.change(self.name, kinds, queries, one_size=one_size) for _, one in self.parts
        ]

    def runs(self, changes: Sequence[Change | None]) -> Iterator[tuple[slice, int, Change]]:
        """Rows, prompts and what is done, image by image; neighbours to whom nothing is done are as one branch."""
        start = 0
        for change, run in groupby(zip(changes, self.parts, strict=True), key=lambda pair: pair[0]):
            parts = [part for _, part in run]
            rows, one = sum(rows for rows, _ in parts), parts[0][1]
            own = slice(start, start + rows)
            if one is None or change is None:
                yield own, rows, Attention.output
            else:
                yield own, one.prompts, change
            start += rows


IMAGE = 4
"""Axes of states that are still an image, [batch, channel, row, column], and not yet a row of tokens."""


def by_branch(rows: Tensor, prompts: int) -> Tensor:
    """[branch, P, ...] of the rows of one image."""
    return rows.reshape(-1, prompts, *rows.shape[1:])


def _queries(hidden_states: Tensor) -> int:
    return hidden_states.shape[2:].numel() if hidden_states.ndim == IMAGE else hidden_states.shape[1]


def _project(
    attn: Any,  # noqa: ANN401  as above
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None,
    attention_mask: Tensor | None,
    temb: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Query, key and value, [batch, heads, tokens, width], and the mask to add to the scores."""
    states = hidden_states if attn.spatial_norm is None else attn.spatial_norm(hidden_states, temb)
    if states.ndim == IMAGE:
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
