"""DINO for the metrics: the keys of a vision transformer trained without labels (Caron et al., 2021)."""

from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTModel

from nulltext.errors import ModelLoadError
from nulltext.metrics.missing import Missing
from nulltext.metrics.structure import Keys
from nulltext.models.networks import check_loaded
from nulltext.models.quiet import quiet
from nulltext.models.weights import checksum
from nulltext.types import Pixels

VIT_B_8: Final = "facebook/dino-vitb8"
"""The hub id of the network that structure is measured with."""

_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
"""ImageNet's pixel statistics."""
_SHORT: Final = 224
_LONG: Final = 480
"""The shorter side of what it looks at, in pixels, and the most that the longer may have: Tumanyan et al., 2022."""
_HEADS: Final = (r"^pooler\.", r"^(classifier|head|lm_head|decoder)\.")
"""What such a network may have been saved with besides: what it was trained or used with."""
_KEYS: Final = ("k_proj", "key")
"""What later and earlier versions of transformers call the layer that makes the keys."""


class Dino:
    """A frozen vision transformer."""

    def __init__(self, model: ViTModel, name: str = "") -> None:
        """Freeze the model; its name says where it is from, for people."""
        self.name = name
        self._digest = ""
        self.model: Any = model.float().eval().requires_grad_(requires_grad=False)
        self._keys: nn.Module = [layer for name, layer in model.named_modules() if name.rsplit(".", 1)[-1] in _KEYS][-1]

    @staticmethod
    def load(name: str | Path = VIT_B_8, *, device: str | torch.device = "cpu") -> "Dino | Missing":
        """A vision transformer from a folder, or from what is already on this machine of a hub id; never downloads.

        Args:
            name: A folder as transformers saves it, or a hub id.
            device: Where to compute.

        Returns:
            The network, or that it is missing.

        Raises:
            ModelLoadError: What is there is no vision transformer, or is incomplete.
        """
        try:
            with quiet():
                found: Any = ViTModel.from_pretrained(
                    name,
                    add_pooling_layer=False,
                    local_files_only=True,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )
        except OSError:
            return Missing(
                f"there is no vision transformer in {str(name)!r}, neither as a folder nor fetched from the hub. With "
                f"a network, run once: hf download {VIT_B_8}."
            )
        except SafetensorError as error:
            raise ModelLoadError(f"the weights in {str(name)!r} are damaged: {error}. Fetch them again.") from error
        model, loaded = found
        check_loaded(repr(str(name)), loaded, harmless=_HEADS)
        return Dino(model.to(device), str(name))

    def __repr__(self) -> str:
        """Which DINO it is, for the records of runs: by its weights."""
        self._digest = self._digest or checksum(self.model)
        return f"Dino({self._digest})"

    def __str__(self) -> str:
        """The same, and where it is from."""
        return f"{self!r} of {self.name}" if self.name else repr(self)

    @torch.no_grad()
    def keys(self, pixels: Pixels) -> Keys:
        """The keys of the last attention layer, all heads side by side, the class token's first.

        Args:
            pixels: [B, 3, H, W] in [-1, 1]; scaled so that the shorter side has 224 pixels.

        Returns:
            [B, 1 + patches, D].
        """
        kept: list[Tensor] = []

        def keep(_layer: nn.Module, _given: object, keys: Tensor) -> None:
            kept.append(keys)

        mean = torch.tensor(_MEAN, device=self.model.device)[:, None, None]
        std = torch.tensor(_STD, device=self.model.device)[:, None, None]
        fitted = functional.interpolate(pixels.to(self.model.device), size=_fitted(*pixels.shape[-2:]), mode="bilinear")
        with self._keys.register_forward_hook(keep):
            self.model(pixel_values=((fitted + 1) / 2 - mean) / std, interpolate_pos_encoding=True)
        return kept[0]


def _fitted(height: int, width: int) -> tuple[int, int]:
    """The size that is looked at: the shorter side 224 unless the longer would then have more than 480."""
    short, long = min(height, width), max(height, width)
    to_short, to_long = _SHORT, _SHORT * long // short
    if to_long > _LONG:
        to_short, to_long = _LONG * to_short // to_long, _LONG
    return (to_short, to_long) if height <= width else (to_long, to_short)
