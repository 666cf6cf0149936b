"""The card of the embedded model, from what its files say of themselves."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from safetensors import safe_open

from nulltext.models.embedded import FOLDER

PARTS = {
    "denoiser": "unet/diffusion_pytorch_model.safetensors",
    "autoencoder": "vae/diffusion_pytorch_model.safetensors",
    "text encoder": "text_encoder/model.safetensors",
    "CLIP, a judge of edits": "clip/model.safetensors",
    "judges of scenes": "judges.safetensors",
}
SCORES: Mapping[str, tuple[str, float, str]] = {
    "vae_psnr_scenes": ("autoencoder, PSNR", 1, "dB"),
    "vae_psnr_objects": ("the same inside the things' masks", 1, "dB"),
    "vae_psnr_photos": ("the same of four photographs, 128 x 128", 1, "dB"),
    "vae_roundtrip_accuracy": ("shape, colour and pattern read right after the round trip", 100, "%"),
    "judges_accuracy": ("judges on renders, the worst of their heads", 100, "%"),
    "clip_near_miss_accuracy": ("CLIP picks a scene's caption among 64 near misses", 100, "%"),
    "generated_shape_accuracy": ("generated images: the right shape", 100, "%"),
    "generated_color_accuracy": ("the right colour", 100, "%"),
    "generated_ground_accuracy": ("the right ground", 100, "%"),
}
"""What a score is called, what it is multiplied by, and its unit. Others stand under their own names."""
BESIDE = {"pictures", "generated", "guidance", "unet_forward_ms"}
"""How scores were measured, and what is of the machine and not of the model."""


def facts() -> str:
    """The part of the card that is read from the files."""
    with safe_open(FOLDER / PARTS["denoiser"], "pt") as file:
        said = {name: json.loads(text) for name, text in file.metadata().items() if text.startswith("{")}
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    return Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True).from_string(template).render(  # noqa: S701  Markdown, of our own files
        parts=[(name, numbers_in(path), path) for name, path in PARTS.items()],
        words=(FOLDER / "words.txt").read_text(encoding="utf-8").split(),
        runs=list(runs(said["recipe"])),
        scores=list(scored(said["scores"])),
        measured=said["scores"],
        recommended=json.loads((FOLDER / "recommended.json").read_text(encoding="utf-8")),
    )  # fmt: skip


def numbers_in(path: str) -> int:
    """How many weights a file has."""
    with safe_open(FOLDER / path, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  no mapping


def runs(recipe: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The trainings that led to the weights, the last one first."""
    yield recipe
    if isinstance(recipe["start"], Mapping):
        yield from runs(recipe["start"]["recipe"])


def scored(scores: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """What was measured, in words."""
    for name, value in scores.items():
        if name not in BESIDE:
            text, factor, unit = SCORES.get(name, (name.replace("_", " "), 1, ""))
            yield text, f"{value * factor:.1f} {unit}"
