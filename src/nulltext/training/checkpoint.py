"""The folder that a training makes: put in place whole or not at all, and stamped with what it was made from."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from nulltext.files import write_file
from nulltext.models.recommended import FILE, GUIDANCE_IN_WEIGHTS, IN_WEIGHTS

FILES: Final = frozenset(
    {"model_index.json", "words.txt", "judges.safetensors", FILE}
    | {"clip", "scheduler", "text_encoder", "tokenizer", "unet", "vae"}
)
"""All that a checkpoint holds; a folder with anything else in it is not ours to replace."""
FACTS: Final = ("recipe", "scores", IN_WEIGHTS, GUIDANCE_IN_WEIGHTS)


@contextmanager
def replacing(folder: Path) -> Generator[Path]:
    """A new folder that takes the place of `folder` when the block ends, and that is removed when the block fails.

    Args:
        folder: The folder to write or to replace; it is there, as it was or as it shall be, at every moment but one.

    Yields:
        The new folder, empty, beside it.
    """
    new, old = (folder.with_name(f".{secrets.token_hex(8)}.{kind}") for kind in ("part", "old"))
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for rest in (new, old):
            shutil.rmtree(rest, ignore_errors=True)


def stamp(folder: Path, facts: dict[str, object]) -> None:
    """Write facts into the metadata of every weight file of a checkpoint, beside what is there.

    Args:
        folder: The checkpoint.
        facts: JSON values by name, one of `FACTS`; a name that is there already is replaced.
    """
    for path in _weights(folder):
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {"format": "pt"})
        metadata |= {name: json.dumps(fact, sort_keys=True) for name, fact in facts.items()}
        write_file(path, save(load_file(path), metadata=metadata), overwrite=True)


def read_stamp(folder: Path) -> dict[str, object]:
    """The facts of a checkpoint, those of `FACTS` that it has; none in a folder that was not trained here."""
    try:
        with safe_open(folder / "unet" / "diffusion_pytorch_model.safetensors", framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return {}
    return {name: json.loads(metadata[name]) for name in FACTS if name in metadata}


def digest(folder: Path) -> str:
    """A checkpoint's weights in twelve letters."""
    total = hashlib.sha256()
    for path in _weights(folder):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:12]


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))
