"""Which files of a folder in diffusers' format are the model, and a digest of them; what it recommends; a checksum."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Final, TypeVar

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from torch import nn

from nulltext.errors import ModelLoadError
from nulltext.models import embedded
from nulltext.models.base import ModelIdentity
from nulltext.models.configs import read_config
from nulltext.models.families import IN_A_FILE, Family, family_of
from nulltext.models.recommended import FILE, GUIDANCE_IN_WEIGHTS, IN_WEIGHTS, Recommended, parse

HALF: Final = "fp16"
"""The variant of the weights that some folders hold alone."""

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)"
)
_CONFIGS = (".json", ".txt")
AnyPath = TypeVar("AnyPath", bound=PurePath)


def variant(folder: Path, networks: Iterable[str] = IN_A_FILE.networks) -> str | None:
    """Which variant of the weights to load: "fp16" if one of the networks has no other, else None."""
    lacking = [part for part in networks if not _named(folder / part, None)]
    return HALF if any(_named(folder / part, HALF) for part in lacking) else None


def config_files(folder: Path, family: Family = IN_A_FILE) -> list[Path]:
    """The configs of a folder, its tokenizer, and its word list if it has one, in a fixed order.

    What it recommends (`nulltext.models.recommended`) is none: it does not change what the model computes.
    """
    inside = [file for part in family.parts for file in (folder / part).glob("*") if file.suffix in _CONFIGS]
    return sorted([*inside, *(file for file in (folder / "words.txt",) if file.is_file())])


def files(folder: Path, family: Family = IN_A_FILE) -> list[Path]:
    """The configs of a folder and the weights that are loaded from it, in a fixed order.

    Of weights that are there twice (``.bin`` beside ``.safetensors``, a variant) diffusers loads one; only that counts.
    """
    wanted = variant(folder, family.networks)
    weights = [file for part in family.networks for file in loaded_from(folder / part, wanted)[0]]
    return sorted([*config_files(folder, family), *weights])


def loaded_from(part: Path, wanted: str | None) -> tuple[list[Path], str | None]:
    """The weights that are loaded from a part's folder where a variant is wanted, and the variant that they are."""
    found = _named(part, wanted)
    return (found, wanted) if found else (_named(part, None), None)


def denoiser(folder: Path, family: Family = IN_A_FILE) -> list[Path]:
    """The files of a denoiser's weights."""
    part = folder / family.networks[0]
    return _named(part, variant(folder, family.networks)) or _named(part, None)


def recommended_in(folder: Path, family: Family = IN_A_FILE) -> Recommended:
    """What a folder in diffusers' format recommends, in its own file or else in its denoiser's metadata.

    Raises:
        ModelLoadError: A recommendation is no JSON object, has an unknown name, or a number out of range.
    """
    stated: dict[str, Any] = {}
    published: dict[str, Any] = {"guidance": family.guidance}
    for path in denoiser(folder, family):
        metadata = _metadata(path)
        if GUIDANCE_IN_WEIGHTS in metadata:
            stated["guidance"] = parse(f'{{"guidance": {metadata[GUIDANCE_IN_WEIGHTS]}}}', str(path))["guidance"]
        if IN_WEIGHTS in metadata:
            stated |= parse(metadata[IN_WEIGHTS], str(path))
    file = folder / FILE
    if file.exists():
        stated |= parse(_text(file), str(file))
    return Recommended(**published | stated, own=frozenset(stated))


def recommended_by(identity: ModelIdentity) -> Recommended | None:
    """What a model recommends that is not loaded; None if it is a folder or a file, which may be anywhere.

    Raises:
        ModelLoadError: See `recommended_in`.
    """
    folder = embedded.FOLDER
    if identity.revision.startswith("sha256:"):
        return recommended_in(folder) if digest(files(folder), folder) == identity.revision else None
    if "/" not in identity.id:
        return None
    found = try_to_load_from_cache(identity.id, "model_index.json", revision=identity.revision)
    if not isinstance(found, str):
        return None
    return recommended_in(Path(found).parent, family_of(read_config(Path(found)), identity.id))


def _named(part: Path, variant: str | None) -> list[Path]:
    """The weights of a part in a variant."""
    return among(part.glob("*"), variant)


def among(files: Iterable[AnyPath], variant: str | None) -> list[AnyPath]:
    """Of files the weights in a variant, those in .safetensors if there are any; diffusers prefers them, too."""
    found = {file: match for file in files if (match := _WEIGHTS.fullmatch(file.name))}
    weights = [file for file, match in found.items() if match["variant"] == variant]
    return [file for file in weights if file.suffix == ".safetensors"] or weights


def are_whole(files: Iterable[PurePath]) -> bool:
    """Whether there are any of these weights and, of weights in several pieces, every piece."""
    pieces: dict[str, list[str]] = {}
    for file in files:
        found = re.search(r"-(\d+)-of-(\d+)\.", file.name)
        pieces.setdefault("1" if found is None else found[2], []).append(file.name)
    return bool(pieces) and all(len(names) >= int(count) for count, names in pieces.items())


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
    return _sum(network, *named)[:16]


def digest_of(networks: Mapping[str, nn.Module], *named: str) -> str:
    """As `digest`, of networks that are in memory: SHA-256 over their weights and what else is named."""
    total = hashlib.sha256()
    for name, network in networks.items():
        total.update(f"{name}\0{_sum(network)}\n".encode())
    for name in named:
        total.update(f"{name}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _sum(network: nn.Module, *named: str) -> str:
    total = hashlib.sha256("\0".join(named).encode())
    for name, tensor in network.state_dict().items():
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _text(file: Path) -> str:
    if not file.is_file():
        raise ModelLoadError(f"{file} is no file; expected one with the recommended settings. Remove it.")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}. Make it a text file, or remove it.") from error


def _metadata(path: Path) -> Mapping[str, str]:
    """What a ``.safetensors`` says of itself; nothing for pickled weights."""
    if path.suffix != ".safetensors":
        return {}
    try:
        opened: Any = safe_open(path, framework="pt")  # safetensors carries no types
        with opened as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"{path} is damaged: {error}. Fetch the model again.") from error
