"""In what precision a denoiser computes: its weights' type, and how exact the products of these are."""

from typing import Final

import torch

from nulltext.errors import SettingError
from nulltext.models.base import Model

TF32: Final = "tf32"
"""float32 weights whose products NVIDIA's tensor cores (Ampere and later) take with a mantissa of 10 bits."""
FLOAT32_ROUNDING: Final = torch.finfo(torch.float32).eps
"""The relative rounding of float32, 2^-23."""
TF32_ROUNDING: Final = 2.0**-10
"""That of TF32, the same as float16's."""

_NAMES: Final = {
    "float32": torch.float32, "fp32": torch.float32, TF32: torch.float32,
    "float16": torch.float16, "fp16": torch.float16,
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
}  # fmt: skip


def choose_dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """The type of the weights for the precision asked for; float16 on CUDA, else float32, if none is.

    "tf32" is float32 after ``torch.set_float32_matmul_precision("high")``, which holds for the whole process. For
    convolutions torch computes in TF32 unless told otherwise.

    Raises:
        SettingError: It is none that can be used, or the device has no TF32.
    """
    if dtype is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise SettingError(f"got dtype {dtype!s}; expected float32, tf32, float16 or bfloat16.")
    if name == TF32:
        if not _has_tf32(device):
            raise SettingError(
                f"got dtype tf32 on {device}, which computes in no such precision; expected a CUDA device, Ampere or "
                "later. Take float32 or bfloat16."
            )
        torch.set_float32_matmul_precision("high")
    return _NAMES[name]


def precision_of(model: Model) -> str:
    """What records call a denoiser's precision: "tf32" where matrices are multiplied so, else its weights' type."""
    return TF32 if _takes_tf32(model, torch.backends.cuda.matmul.fp32_precision) else str(model.dtype)


def rounding_of(model: Model) -> float:
    """The relative rounding of the products in a model's denoiser, from 2^-23 in float32 to 2^-7 in bfloat16.

    A float32 network on a GPU counts as TF32 where torch's switches say so, for matrices or for convolutions.
    """
    switches = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    return TF32_ROUNDING if _takes_tf32(model, *switches) else torch.finfo(model.dtype).eps


def _takes_tf32(model: Model, *switches: object) -> bool:
    return model.dtype == torch.float32 and TF32 in switches and _has_tf32(model.device)


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_tf32_supported()
