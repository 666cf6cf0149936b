"""The whole recipe: pictures, autoencoder, CLIP, UNet, judges, and the folder that holds them all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from nulltext.errors import SettingError
from nulltext.files import write_file
from nulltext.progress import OnProgress, Progress, silent
from nulltext.scenes.captions import vocabulary
from nulltext.training import autoencoder, clip, judges, unet
from nulltext.training.data import SHARD, load_shards, render_shards, shard_scenes
from nulltext.training.loop import Run

STAGES: Final = ("autoencoder", "clip", "unet", "judges")
SHARES: Final = {"autoencoder": 0.33, "clip": 0.12, "unet": 0.48, "judges": 0.07}
"""How the time budget is divided where no stage's own time is given."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the embedded checkpoint is made from; written into its weights.

    Attributes:
        pictures: Training pictures; rounded up to whole files of 1024.
        seconds: Time budget of each of `STAGES`, seconds of training, resumptions included.
        seed: Of every draw.
        device: Where it trains, "cpu" or "cuda".
        start: What the first weights were: "random", or the name of an earlier checkpoint.
    """

    pictures: int = 40 * SHARD
    seconds: dict[str, float]
    seed: int = 0
    device: str = "cpu"
    start: str = "random"

    @staticmethod
    def budget(hours: float) -> dict[str, float]:
        """Time for every stage from the hours for all of them."""
        return {stage: share * hours * 3600 for stage, share in SHARES.items()}


def run(
    recipe: Recipe, output: Path, *, work: Path, start: Path | None = None, on_progress: OnProgress = silent
) -> None:
    """Train everything and write the checkpoint folder; go on where an earlier run of the same work folder stopped.

    Args:
        recipe: What to do.
        output: The checkpoint folder; must not exist yet, or be a checkpoint that this function wrote.
        work: Rendered pictures and training states; made if missing, kept afterwards.
        start: A checkpoint folder to go on from instead of random weights. What its UNet was trained against, the
            encoder, stays as it is; all else trains on.
        on_progress: Told of every stage.

    Raises:
        SettingError: The output folder holds something else, a time is missing, or there is no such device.
    """
    if set(recipe.seconds) != set(STAGES):
        raise SettingError(f"seconds: got {sorted(recipe.seconds)}, expected {', '.join(STAGES)}.")
    if output.exists() and any(output.iterdir()) and not (output / "model_index.json").exists():
        raise SettingError(f"output: {output} holds other files, expected a new folder or an earlier checkpoint.")
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise SettingError("device: got 'cuda', but this torch sees no GPU. Use --device cpu.")
    device = torch.device(recipe.device)
    size = min(SHARD, recipe.pictures)
    count = -(-recipe.pictures // size)
    on_progress(Progress(phase="render", step=0, total=1))
    paths = render_shards(work / "pictures", count, size=size)
    on_progress(Progress(phase="render", step=1, total=1))
    pictures, masks = load_shards(paths)
    scenes = [scene for index in range(count) for scene in shard_scenes(index, size)]

    def stage(name: str) -> Run:
        return Run(
            folder=work / ("states" if start is None else "states-further"),
            seconds=recipe.seconds[name],
            device=device,
            seed=recipe.seed,
            start=start,
            on_progress=on_progress,
        )

    vae = autoencoder.train(pictures, masks, stage("autoencoder"))
    towers, tokenizer = clip.train(pictures, scenes, stage("clip"))
    latents = _latents(vae, pictures, work / "latents.safetensors", device)
    network = unet.train(
        latents, masks, scenes, text_model=clip.text_tower(towers), tokenizer=tokenizer, run=stage("unet")
    )
    judging = judges.train(pictures, scenes, stage("judges"))

    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=clip.text_tower(towers),
        tokenizer=tokenizer,
        unet=network,
        scheduler=unet.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(dtype=torch.float16).save_pretrained(part)
    towers.half().save_pretrained(part / "clip")
    tokenizer.save_pretrained(part / "clip")
    judging.save(part / "judges.safetensors")
    for config in (part / "text_encoder" / "config.json", part / "clip" / "config.json"):
        # transformers computes in the dtype of the config, diffusers in float32: both shall widen the fp16 weights.
        config.write_text(config.read_text().replace('"dtype": "float16"', '"dtype": "float32"'))
    (part / "words.txt").write_text("\n".join(vocabulary()) + "\n")
    stamp(part, {"recipe": asdict(recipe)})
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)


def _latents(vae: AutoencoderKL, pictures: Tensor, path: Path, device: torch.device) -> Tensor:
    """Scaled latents of all pictures; kept in a file, and made anew when the encoder or the pictures have changed."""
    weights = b"".join(
        w.cpu().numpy().tobytes()
        for w in [*vae.encoder.parameters(), *(vae.quant_conv.parameters() if vae.quant_conv else ())]
    )
    source = {"encoder": hashlib.sha256(weights).hexdigest(), "pictures": str(len(pictures))}
    if path.exists():
        with safe_open(path, framework="pt") as file:
            if file.metadata() == source:
                return file.get_tensor("latents") * vae.config.scaling_factor
    latents = autoencoder.encode(vae, pictures, device)
    save_file({"latents": latents}, path, metadata=source)
    return latents * vae.config.scaling_factor


def stamp(folder: Path, facts: dict[str, object]) -> None:
    """Write facts (a recipe, scores) into the metadata of every weight file of a checkpoint, beside what is there.

    Args:
        folder: The checkpoint.
        facts: JSON values by name; a name that is there already is replaced.
    """
    for path in _weights(folder):
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {"format": "pt"})
        metadata |= {name: json.dumps(fact, sort_keys=True) for name, fact in facts.items()}
        write_file(path, save(load_file(path), metadata=metadata), overwrite=True)


def read_stamp(folder: Path) -> dict[str, object]:
    """The facts of a checkpoint's metadata: "recipe" and, once measured, "scores"."""
    with safe_open(folder / "unet" / "diffusion_pytorch_model.safetensors", framework="pt") as file:
        metadata = file.metadata() or {}
    return {name: json.loads(value) for name, value in metadata.items() if name != "format"}


def _weights(folder: Path) -> Iterable[Path]:
    return sorted(folder.rglob("*.safetensors"))
