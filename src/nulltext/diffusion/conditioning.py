"""What a network is told besides latents and time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, final

import torch
from torch import Tensor

from nulltext.errors import SettingError
from nulltext.types import Embeddings, Pooled, Scales

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
"""The name of each tensor and the shape of one of its rows."""
_GUIDANCE: Final = "guidance"


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Conditioning:
    """What a network is told besides x and t, one row for each sample of a batch.

    Attributes:
        text: [B, L, D] text embeddings; an image embedding, as one token, where a family is told of that instead.
        pooled: [B, P] one vector for each text, where a family has such.
        extras: What else a family has, [B, ...] each: sizes, masks, the guidance scale of a `distilled` network.

    Raises:
        SettingError: They have different numbers of rows.
    """

    text: Embeddings
    pooled: Pooled | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __post_init__(self) -> None:
        rows = {name: len(tensor) for name, tensor in self._tensors().items()}
        if len(set(rows.values())) > 1:
            raise SettingError(f"got a conditioning with {rows} rows; expected as many of each. Give one a sample.")

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, rows: slice) -> "Conditioning":
        return self._each(lambda tensor: tensor[rows])

    @staticmethod
    def cat(parts: "Sequence[Conditioning]") -> "Conditioning":
        """The rows of all parts, in order.

        Raises:
            SettingError: They differ in what they hold, or in the shapes of it.
        """
        _check_alike(parts)
        return _combined(torch.cat, parts)

    def split(self, sizes: Sequence[int]) -> "list[Conditioning]":
        """The rows in parts of so many, in order."""
        starts = [sum(sizes[:at]) for at in range(len(sizes))]
        return [self[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def expand(self, count: int) -> "Conditioning":
        """One row for each of a batch, without a copy; itself if it has as many.

        Raises:
            SettingError: It has another number of rows than one, or as many.
        """
        if len(self) == count:
            return self
        if len(self) != 1:
            raise SettingError(f"got a conditioning of {len(self)} rows to expand; expected one. Take a slice of it.")
        return self._each(lambda tensor: tensor.expand(count, *tensor.shape[1:]))

    def lerp(self, other: "Conditioning", weight: float) -> "Conditioning":
        """Interpolates linearly: itself at weight 0, the other at 1. What is no floating point stays its own.

        Raises:
            SettingError: The two differ in what they hold, in the shapes of it, or in numbers that have none between.
        """
        _check_alike([self, other])

        def between(pair: Sequence[Tensor]) -> Tensor:
            own, others = pair
            if own.is_floating_point():
                return torch.lerp(own, others, weight)
            if not torch.equal(own, others):
                raise SettingError(
                    f"got two conditionings that differ in a tensor of {own.dtype}; expected floating point, which "
                    "alone can be interpolated."
                )
            return own

        return _combined(between, [self, other])

    def with_text(self, text: Embeddings) -> "Conditioning":
        """With other text embeddings, all else as it is.

        Args:
            text: [B, L, D], or [1, L, D] for every row.

        Raises:
            SettingError: It has another number of rows.
        """
        if len(text) not in {1, len(self)}:
            raise SettingError(f"got text embeddings of {len(text)} rows for {len(self)}; expected as many, or one.")
        return replace(self, text=text if len(text) == len(self) else text.expand(len(self), -1, -1))

    @property
    def distilled(self) -> bool:
        """Whether guidance is distilled into the network, which is told of its scale and has no null prompt."""
        return _GUIDANCE in self.extras

    def with_guidance(self, scale: float | Scales) -> "Conditioning":
        """What a distilled network is told, with another guidance scale: one for all rows, or one for each."""
        told = torch.as_tensor(scale, dtype=torch.float32, device=self.text.device).reshape(-1).expand(len(self))
        return replace(self, extras={**self.extras, _GUIDANCE: told})

    def to(self, device: torch.device) -> "Conditioning":
        """On a device."""
        return self._each(lambda tensor: tensor.to(device))

    @property
    def shapes(self) -> Shapes:
        """What has to agree within a batch."""
        return tuple((name, tuple(tensor.shape[1:])) for name, tensor in self._tensors().items())

    def _tensors(self) -> dict[str, Tensor]:
        pooled = {} if self.pooled is None else {"pooled": self.pooled}
        return {"text": self.text, **pooled} | {f"extras.{name}": self.extras[name] for name in sorted(self.extras)}

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditioning":
        return _combined(lambda tensors: change(tensors[0]), [self])


def _combined(combine: Callable[[list[Tensor]], Tensor], parts: Sequence[Conditioning]) -> Conditioning:
    """Each tensor made of those of all parts, which hold the same."""
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return Conditioning(
        text=combine([part.text for part in parts]),
        pooled=combine(pooled) if pooled else None,
        extras={name: combine([part.extras[name] for part in parts]) for name in parts[0].extras},
    )


def _check_alike(parts: Sequence[Conditioning]) -> None:
    for part in parts[1:]:
        if part.shapes != parts[0].shapes:
            raise SettingError(
                f"got conditionings of {dict(parts[0].shapes)} and {dict(part.shapes)}; expected alike. Embed both "
                "with one model, at one size."
            )
