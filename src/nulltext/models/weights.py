"""Which files of a folder in diffusers' format are the model, and a digest of them; a checksum of loaded weights."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import nn

PARTS: Final = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""What of a pipeline is used. The safety checker of some checkpoints is neither loaded nor fetched."""

HALF: Final = "fp16"
"""The variant of the weights that some folders hold alone."""

GUIDANCE: Final = 7.5
"""The weight w that Stable Diffusion is used at."""
RECOMMENDED: Final = "recommended_guidance"
"""Where the metadata of a denoiser's weights says another."""

_WITH_WEIGHTS: Final = PARTS[:3]
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)"
)
_CONFIGS = (".json", ".txt")


def variant(folder: Path) -> str | None:
    """Which variant of the weights to load: "fp16" if a part has no other, else None."""
    lacking = [part for part in _WITH_WEIGHTS if not _named(folder / part, None)]
    return HALF if any(_named(folder / part, HALF) for part in lacking) else None


def config_files(folder: Path) -> list[Path]:
    """The configs of a folder, its tokenizer, and its word list if it has one, in a fixed order."""
    inside = [file for part in PARTS for file in (folder / part).glob("*") if file.suffix in _CONFIGS]
    return sorted([*inside, *(file for file in (folder / "words.txt",) if file.is_file())])


def files(folder: Path) -> list[Path]:
    """The configs of a folder and the weights that are loaded from it, in a fixed order.

    Of weights that are there twice (``.bin`` beside ``.safetensors``, a variant) diffusers loads one; only that counts.
    """
    wanted = variant(folder)
    weights = [file for part in _WITH_WEIGHTS for file in _named(folder / part, wanted) or _named(folder / part, None)]
    return sorted([*config_files(folder), *weights])


def recommended_guidance(folder: Path) -> float:
    """The weight w at which a folder's checkpoint edits best by its metadata; Stable Diffusion's where it says none."""
    for path in _named(folder / "unet", None):
        if path.suffix == ".safetensors":
            opened: Any = safe_open(path, framework="pt")  # safetensors carries no types
            with opened as file:
                metadata: dict[str, str] = file.metadata() or {}
            if RECOMMENDED in metadata:
                return float(json.loads(metadata[RECOMMENDED]))
    return GUIDANCE


def _named(part: Path, variant: str | None) -> list[Path]:
    """The weights of a part in a variant, those in .safetensors if there are any; diffusers prefers them, too."""
    found = {file: match for file in part.glob("*") if (match := _WEIGHTS.fullmatch(file.name))}
    weights = [file for file, match in found.items() if match["variant"] == variant]
    return [file for file in weights if file.suffix == ".safetensors"] or weights


def digest(paths: Iterable[Path], root: Path | None, *named: str) -> str:
    """SHA-256 over the names (under `root`, if there is one) and contents of files, and over what else is named."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name if root is None else path.relative_to(root).as_posix()}\0{content}\n".encode())
    for name in named:
        total.update(f"{name}\n".encode())
    return f"sha256:{total.hexdigest()}"


def checksum(network: nn.Module, *named: str) -> str:
    """Sixteen hexadecimal digits that tell the weights of a network, and what else is named, from others."""
    total = hashlib.sha256("\0".join(named).encode())
    for name, tensor in network.state_dict().items():
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()[:16]
