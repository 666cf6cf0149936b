"""Joint attention, one softmax over text and image: Esser et al., arXiv 2403.03206, figure 2b."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.control import Attention, Beside
from nulltext.attention.unet import Change, SteeredProcessor, by_branch


@final
@dataclass(frozen=True)
class Joint:
    """Query, key and value of image and text, [batch, heads, tokens, width] each.

    Attributes:
        image: The image's three.
        text: The text's three.
    """

    image: tuple[Tensor, Tensor, Tensor]
    text: tuple[Tensor, Tensor, Tensor]

    @classmethod
    def of(cls, attn: Any, image: Tensor, text: Tensor) -> "Joint":  # noqa: ANN401  the library's own layer
        """Projects the states of an image and a text, [batch, tokens, features] each."""

        def heads(projection: Any, states: Tensor, norm: Any) -> Tensor:  # noqa: ANN401  its layers, likewise
            made = projection(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            return made if norm is None else norm(made)

        own = heads(attn.to_q, image, attn.norm_q), heads(attn.to_k, image, attn.norm_k), heads(attn.to_v, image, None)
        other = (
            heads(attn.add_q_proj, text, attn.norm_added_q),
            heads(attn.add_k_proj, text, attn.norm_added_k),
            heads(attn.add_v_proj, text, None),
        )
        return cls(own, other)


def _weight_of_last(keys: Tensor, copies: int) -> Tensor | None:
    """What to add to the scores of the keys of a text, [1, 1, 1, keys], whose last stands for so many alike.

    ``copies * exp(s) = exp(s + log copies)``: keys that are alike get equal shares of a softmax, and their values are
    alike too, so that one of them with their common weight gives the same output.
    """
    if copies == 1:
        return None
    weight = keys.new_zeros(keys.shape[-2])
    weight[-1] = math.log(copies)
    return weight.view(1, 1, 1, -1)


@final
class WeightedProcessor:
    """The processor of a layer of joint attention whose last row of text stands for several alike.

    Text has no places in such a network, so that rows alike stay alike from layer to layer.
    """

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def __call__(
        self,
        attn: Any,  # noqa: ANN401  the library's own layer
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The layer's output for image and text, as its own processor gives it where all rows are written out."""
        joint = Joint.of(attn, hidden_states, encoder_hidden_states)
        image, text = _look(joint, attn.scale, _weight_of_last(joint.text[1], self.copies))
        return _finish(attn, image, text)


@final
class SteeredJointProcessor(SteeredProcessor):
    """Stands in for the processor of one layer of joint attention during one evaluation.

    What the image looks at in the image is its self-attention, what it looks at in the text its cross-attention: two
    sites of one name, whose probabilities sum to 1 together. What the text looks at nobody changes.
    """

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # it has the text's states to return, too
        self,
        attn: Any,  # noqa: ANN401  as above
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The layer's output for image and text, as its own processor would give it, but for the changes."""
        changes = self.changes(("self", "cross"), hidden_states)
        if all(change is None for change in changes):
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask)
        joint = Joint.of(attn, hidden_states, encoder_hidden_states)
        copies = self.original.copies if isinstance(self.original, WeightedProcessor) else 1
        weight = _weight_of_last(joint.text[1], copies)
        return _finish(attn, *look_steered(joint, attn.scale, self.runs(changes), weight))


def look_steered(
    joint: Joint, scale: float, runs: Iterable[tuple[slice, int, Change]], weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What image and text see, [batch, heads, tokens, width] each, where something is done to what the image sees.

    Args:
        joint: Their queries, keys and values.
        scale: What the scores are multiplied by.
        runs: See `SteeredProcessor.runs`.
        weight: What to add to the scores of the text's keys, [1, 1, 1, keys].
    """
    seen: list[Tensor] = []
    for own, prompts, change in runs:
        (query, key, value), (_, others, values) = (
            tuple(by_branch(part[own], prompts) for part in states) for states in (joint.image, joint.text)
        )
        mask = None if weight is None else weight.expand(*others.shape[:3], 1, -1)
        beside = Beside(key=others, value=values, mask=mask)
        attention = Attention(query=query, key=key, value=value, scale=scale, beside=beside)
        seen.append(change(attention).flatten(0, 1))
    _, text = _look(Joint((joint.image[0][:, :, :0], *joint.image[1:]), joint.text), scale, weight)
    return torch.cat(seen), text


def _look(joint: Joint, scale: float, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """What image and text see, [batch, heads, tokens, width] each, by the fused kernel."""
    query, key, value = (torch.cat(pair, 2) for pair in zip(joint.image, joint.text, strict=True))
    mask = None if weight is None else F.pad(weight, (joint.image[1].shape[2], 0))
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    images = joint.image[0].shape[2]
    return seen[:, :, :images], seen[:, :, images:]


def _finish(attn: Any, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401  as above
    """What a layer returns of what image and text saw, [batch, tokens, features] each."""
    image, text = image.transpose(1, 2).flatten(2), text.transpose(1, 2).flatten(2)
    text = text if attn.context_pre_only else attn.to_add_out(text)
    return attn.to_out[1](attn.to_out[0](image)), text
