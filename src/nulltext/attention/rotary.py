"""Joint attention with rotations for places, in two streams or one: FLUX.1 (Black Forest Labs, 2024)."""

from collections.abc import Callable, Sequence
from typing import Any, final

from torch import Tensor, cat, stack

from nulltext.attention.joint import Joint, look_steered
from nulltext.attention.unet import Chooser, SteeredProcessor

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines, [tokens, width] each, of text and image together."""


@final
class SteeredRotaryProcessor(SteeredProcessor):
    """Stands in for the processor of one such layer during one evaluation, as `SteeredJointProcessor` does for others.

    What a control is given are queries and keys after their rotation: the places are in them.
    """

    def __init__(
        self,
        name: str,
        original: Callable[..., Any],
        parts: Sequence[tuple[int, Chooser | None]],
        *,
        text: int,
    ) -> None:
        super().__init__(name, original, parts, one_size=True)
        self.text = text

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # it has the text's states to return, too
        self,
        attn: Any,  # noqa: ANN401  the library's own layer, see `is_rotary`
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotation | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The layer's output, as its own processor would give it, but for the changes: of image and text, or of one.

        Args:
            attn: The layer.
            hidden_states: [batch, tokens, features] of the image; of text and image where they have one stream.
            encoder_hidden_states: Those of the text where it has a stream of its own.
            attention_mask: None; there are no masks.
            image_rotary_emb: The rotations.
        """
        rows = self.text if encoder_hidden_states is None else 0
        changes = self.changes(("self", "cross"), hidden_states[:, rows:])
        if all(change is None for change in changes):
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)
        if encoder_hidden_states is None:
            text, image = _split(_heads(attn, hidden_states, image_rotary_emb), self.text)
        else:
            length = encoder_hidden_states.shape[1]
            text = _heads(attn, encoder_hidden_states, _rows(image_rotary_emb, slice(length)), added=True)
            image = _heads(attn, hidden_states, _rows(image_rotary_emb, slice(length, None)))
        seen = look_steered(Joint(image, text), attn.head_dim**-0.5, self.runs(changes))
        of_image, of_text = (each.transpose(1, 2).flatten(2) for each in seen)
        if encoder_hidden_states is None:
            return cat([of_text, of_image], 1)
        return attn.to_out[1](attn.to_out[0](of_image)), attn.to_add_out(of_text)


def _heads(
    attn: Any,  # noqa: ANN401  as above
    states: Tensor,
    rotation: Rotation | None,
    *,
    added: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of states, [batch, heads, tokens, width] each, rotated."""
    layers = (
        ((attn.add_q_proj, attn.norm_added_q), (attn.add_k_proj, attn.norm_added_k), (attn.add_v_proj, None))
        if added
        else ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k), (attn.to_v, None))
    )

    def projected(project: Any, norm: Any) -> Tensor:  # noqa: ANN401  its layers, likewise
        made = project(states).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)
        return made if norm is None else _rotated(norm(made), rotation)

    query, key, value = (projected(*pair) for pair in layers)
    return query, key, value


def _rotated(x: Tensor, rotation: Rotation | None) -> Tensor:
    """Neighbours turned as pairs, by angles of their own at every token: Su et al., arXiv 2104.09864, eq. 34."""
    if rotation is None:
        return x
    cos, sin = rotation
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    turned = stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
    return (x.float() * cos + turned.float() * sin).to(x.dtype)


def _rows(rotation: Rotation | None, own: slice) -> Rotation | None:
    return None if rotation is None else (rotation[0][own], rotation[1][own])


def _split(
    heads: tuple[Tensor, Tensor, Tensor], text: int
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Those of text and of image, of one stream."""
    query, key, value = heads
    return (
        (query[:, :, :text], key[:, :, :text], value[:, :, :text]),
        (query[:, :, text:], key[:, :, text:], value[:, :, text:]),
    )
