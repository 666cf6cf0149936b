"""What an attention control is given, what it is, and how several become one."""

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.sites import Site
from nulltext.errors import SessionError
from nulltext.types import Probs

Branch = Literal["null", "cond"]
"""Which half of classifier-free guidance: under the null embedding, or under the prompts."""

Share = float | tuple[float, float]
"""A share of the sampling steps, 0 to 1: from the first step to there, or (start, end)."""


_Both = tuple[Probs, Float[Tensor, "prompt head query other"]]
"""The probabilities of a site's keys, and of those beside."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Beside:
    """Further keys, which share a site's softmax and are another site's.

    Attributes:
        key: [branch, P, heads, others, width].
        value: Likewise.
        mask: [branch, P, heads, queries or 1, others] to add to their scores, if they have one.
    """

    key: Float[Tensor, "branch prompt head other width"]
    value: Float[Tensor, "branch prompt head other width"]
    mask: Float[Tensor, "branch prompt head #query other"] | None = None


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Attention:
    """Query, key and value of one image at one site (Vaswani et al., arXiv 1706.03762, equation 1).

    The axis `branch` has both branches, the null one first, or the conditional one alone, at guidance 1. Prompt 0 is
    the source.

    Attributes:
        query: [branch, P, heads, queries, width].
        key: [branch, P, heads, keys, width].
        value: Likewise.
        scale: What the scores are multiplied by.
        mask: [branch, P, heads, queries or 1, keys] to add to the scores, if the site has one.
        beside: Further keys in the same softmax, if there are such: then the probabilities of a query are less than 1
            in all, and those of the others stay what they are where these are changed.
    """

    query: Float[Tensor, "branch prompt head query width"]
    key: Float[Tensor, "branch prompt head key width"]
    value: Float[Tensor, "branch prompt head key width"]
    scale: float
    mask: Float[Tensor, "branch prompt head #query key"] | None = None
    beside: Beside | None = None
    _probs: dict[Branch, _Both] = field(default_factory=dict[Branch, _Both], repr=False)
    _changed: frozenset[Branch] = field(default=frozenset(), repr=False)

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches there are, in order."""
        return ("null", "cond") if len(self.query) > 1 else ("cond",)

    def probs(self, branch: Branch = "cond") -> Probs:
        """[P, heads, queries, keys] the probabilities of a branch, float32, computed when they are first asked for.

        Raises:
            SessionError: There is no such branch: at guidance 1 there is no null one.
        """
        return self._both(branch)[0]

    def with_probs(self, probs: Probs, branch: Branch = "cond") -> "Attention":
        """The same with other probabilities in a branch.

        Raises:
            SessionError: They are not of the site's shape, or there is no such branch.
        """
        expected = (*self.query[self._index(branch)].shape[:3], self.key.shape[3])
        if probs.shape != expected:
            raise SessionError(
                f"got attention probabilities of shape {list(probs.shape)}; expected {list(expected)}: prompts, heads, "
                "queries, keys. Return as many as the control was given."
            )
        both = probs, probs[..., :0] if self.beside is None else self._both(branch)[1]
        return replace(self, _probs={**self._probs, branch: both}, _changed=self._changed | {branch})

    def with_key_value(
        self,
        key: Float[Tensor, "branch prompt head other width"],
        value: Float[Tensor, "branch prompt head other width"],
    ) -> "Attention":
        """The same that looks at other keys and values, as many or not.

        Raises:
            SessionError: Probabilities were changed before, which are those of the former keys.
        """
        if self._changed:
            raise SessionError(
                "got other keys after the probabilities were changed, which were those of the former keys; expected "
                "keys and values first. Put the control that changes them in front of the chain."
            )
        return replace(self, key=key, value=value, _probs={})

    def output(self) -> Float[Tensor, "branch prompt head query width"]:
        """What the site sees. Branches whose probabilities nobody asked for or changed keep the fused kernel."""
        if not self._probs:
            return self._fused(slice(None))
        seen = [
            self._seen(own, *self._probs[branch]) if branch in self._probs else self._fused(slice(own, own + 1))[0]
            for own, branch in enumerate(self.branches)
        ]
        return torch.stack(seen)

    def swapped(self) -> "Attention":
        """The same, seen from the site of the keys beside.

        Raises:
            SessionError: There are none.
        """
        if self.beside is None:
            raise SessionError(
                "got an attention without the keys beside; expected those that a control was given. Return what it was "
                "given, changed by `with_probs` or `with_key_value`."
            )
        other = self.beside
        return replace(
            self,
            key=other.key,
            value=other.value,
            mask=other.mask,
            beside=Beside(key=self.key, value=self.value, mask=self.mask),
            _probs={branch: (beside, own) for branch, (own, beside) in self._probs.items()},
        )

    def _both(self, branch: Branch) -> _Both:
        """The probabilities of the site's keys and of those beside."""
        if branch not in self._probs:
            own = self._index(branch)
            scores = self._scores(own, self.key, self.mask)
            if self.beside is None:
                probs = scores.softmax(-1)
                self._probs[branch] = probs, probs[..., :0]
            else:
                others = self._scores(own, self.beside.key, self.beside.mask)
                probs = torch.cat([scores, others], -1).softmax(-1)
                self._probs[branch] = probs[..., : scores.shape[-1]], probs[..., scores.shape[-1] :]
        return self._probs[branch]

    def _scores(self, own: int, key: Tensor, mask: Tensor | None) -> Tensor:
        scores = self.query[own].float() * self.scale @ key[own].float().transpose(-1, -2)
        return scores if mask is None else scores + mask[own]

    def _seen(self, own: int, probs: Tensor, others: Tensor) -> Tensor:
        seen = probs @ self.value[own].float()
        if self.beside is not None:
            seen = seen + others @ self.beside.value[own].float()
        return seen.to(self.value.dtype)

    def _index(self, branch: Branch) -> int:
        if branch not in self.branches:
            raise SessionError(
                f"got the branch {branch!r} where there is only {', '.join(self.branches)}; expected one of these: "
                "guidance 1 computes no null branch. Ask `branches` first."
            )
        return self.branches.index(branch)

    def _fused(self, own: slice) -> Tensor:
        key, value, mask = self.key, self.value, self.mask
        if self.beside is not None:
            key, value = torch.cat([key, self.beside.key], 3), torch.cat([value, self.beside.value], 3)
            mask = self._joined_mask()
        query, key, value = (part[own].flatten(0, 1) for part in (self.query, key, value))
        mask = None if mask is None else mask[own].flatten(0, 1)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scale)
        return seen.reshape(-1, self.query.shape[1], *seen.shape[1:])

    def _joined_mask(self) -> Tensor | None:
        """The mask of the site's keys and those beside; 0 where only the others have one."""
        if self.beside is None or (self.mask is None and self.beside.mask is None):
            return self.mask
        pairs = (self.key, self.mask), (self.beside.key, self.beside.mask)
        masks = [key.new_zeros(*key.shape[:3], 1, key.shape[3]) if mask is None else mask for key, mask in pairs]
        queries = max(mask.shape[3] for mask in masks)
        return torch.cat([mask.expand(-1, -1, -1, queries, -1) for mask in masks], -1)


@runtime_checkable
class Control(Protocol):
    """A change of the attention of one image, its prompts side by side and the source first.

    A batch that does not fit into the memory is evaluated again, so a control may be given one site twice in a step.
    """

    def wants(self, site: Site, step: int) -> bool:
        """Whether it has anything to do at a site in a step. Sites that nobody wants keep their fused kernel."""
        ...

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """The attention that shall be used instead; `attention` stays as it is.

        Args:
            attention: What the site would do.
            site: Where.
            step: 0 for the first sampling step.
        """
        ...


@final
@dataclass(frozen=True)
class Chain:
    """Several controls, each given what the one before it made."""

    controls: tuple[Control, ...]

    def wants(self, site: Site, step: int) -> bool:
        """Whether any of them does."""
        return any(control.wants(site, step) for control in self.controls)

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """All that want the site, in order."""
        for control in self.controls:
            if control.wants(site, step):
                attention = control(attention, site, step)
        return attention


def steps_of(share: Share, steps: int) -> range:
    """The sampling steps of a share.

    Args:
        share: From 0 to 1: the end, or (start, end).
        steps: T.
    """
    start, end = share if isinstance(share, tuple) else (0.0, share)
    return range(round(start * steps), round(end * steps))
