"""The whole recipe: images, autoencoder, CLIP, UNet, judges, and the folder that holds them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from nulltext import __version__
from nulltext.errors import ModelNotFoundError, OutputWriteError, SettingError
from nulltext.files import check_output, write_file
from nulltext.judges import Judges
from nulltext.models import weights
from nulltext.models.recommended import IN_WEIGHTS
from nulltext.progress import OnProgress, silent
from nulltext.scenes.captions import vocabulary
from nulltext.training import autoencoder, clip, judges, unet
from nulltext.training.checkpoint import FILES, digest, read_stamp, replacing, stamp
from nulltext.training.data import SHARD, content_digest, load_shards, render_shards, shard_scenes
from nulltext.training.loop import Run

STAGES: Final = ("autoencoder", "clip", "unet", "judges")
SHARES: Final = {"autoencoder": 0.33, "clip": 0.12, "unet": 0.48, "judges": 0.07}
"""How the time budget is divided where no stage's own time is given."""
RECOMMENDED: Final[dict[str, float]] = {
    "cross_attention": 0.8,
    "self_attention": 0.8,
    "threshold": 0.3,
    "vqgan_clip_learning_rate": 0.03,
    "vqgan_clip_cutouts": 8,
    "text2live_iterations": 300,
    "text2live_views": 8,
    "text2live_width": 32,
}
"""What was found to suit models of this recipe (`nulltext bench settings`); the best guidance differs between them."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a checkpoint is made from; written into its weights, with the package's version and what it went on from.

    Attributes:
        images: Training images; rounded up to whole files of 1024.
        seconds: Time budget of each of `STAGES`, seconds of training, resumptions included.
        seed: Of every draw.
        device: Where it trains, "cpu" or "cuda".
    """

    images: int = 40 * SHARD
    seconds: dict[str, float]
    seed: int = 0
    device: str = "cpu"

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
        output: The checkpoint folder; new, or a checkpoint that this function wrote, which is then replaced.
        work: Rendered images and training states; made if missing, kept afterwards.
        start: A checkpoint folder of this function to go on from instead of random weights. Its encoder stays as it is,
            since the UNet knows its latents; so does the text tower where the UNet has no time to follow it.
        on_progress: Called for every stage.

    Raises:
        SettingError: The output folder holds something else, the work folder was begun with another recipe, a time is
            missing, or there is no such device.
        ModelNotFoundError: There is no checkpoint to start from.
        OutputWriteError: There is no permission to write where the checkpoint or the work folder shall be.
    """
    output, work, start = output.resolve(), work.resolve(), None if start is None else start.resolve()
    _check(recipe, output, work, start)
    device = torch.device(recipe.device)
    size = min(SHARD, recipe.images)
    count = -(-recipe.images // size)
    source = None if start is None else {"name": start.name, "recipe": read_stamp(start)["recipe"]}
    first = "random weights" if start is None else f"the weights {digest(start)}"
    begun = f"{first}, {size * count} images and seed {recipe.seed}"

    def stage(name: str) -> Run:
        return Run(
            folder=work / ("states" if start is None else "states-further"),
            seconds=recipe.seconds[name],
            device=device,
            seed=recipe.seed,
            start=start,
            begun=begun,
            on_progress=on_progress,
        )

    for name in STAGES:
        stage(name).state(name)  # complains now of states that are not this recipe's, not after the rendering
    images, masks = load_shards(render_shards(work / "images", count, size=size, on_progress=on_progress))
    scenes = [scene for index in range(count) for scene in shard_scenes(index, size)]
    vae = autoencoder.train(images, masks, stage("autoencoder"))
    # A UNet that is not trained on must find the text states that it knows.
    keep_text = start is not None and not recipe.seconds["unet"]
    towers, tokenizer = clip.train(images, scenes, stage("clip"), keep_text=keep_text)
    latents = _latents(vae, images, work / "latents.safetensors", device)
    network = unet.train(
        latents, masks, scenes, text_model=clip.text_tower(towers), tokenizer=tokenizer, run=stage("unet")
    )
    judging = judges.train(images, scenes, stage("judges"))
    facts: dict[str, object] = {"recipe": {**asdict(recipe), "start": source or "random", "version": __version__}}
    facts[IN_WEIGHTS] = RECOMMENDED | ({} if start is None else _recommended_by(start))
    _write(output, vae=vae, towers=towers, tokenizer=tokenizer, network=network, judging=judging, facts=facts)


def _write(
    output: Path,
    *,
    vae: AutoencoderKL,
    towers: CLIPModel,
    tokenizer: CLIPTokenizer,
    network: UNet2DConditionModel,
    judging: Judges,
    facts: dict[str, object],
) -> None:
    """The checkpoint folder of what was trained, in fp16."""
    tokenizer.backend_tokenizer.no_padding()  # the last batch's would be saved with it
    for where_from in ("is_local", "local_files_only"):  # and how a start's was loaded
        tokenizer.init_kwargs.pop(where_from, None)
    with replacing(output) as new:
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=clip.text_tower(towers),
            tokenizer=tokenizer,
            unet=network,
            scheduler=unet.build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).to(dtype=torch.float16).save_pretrained(new)
        towers.half().save_pretrained(new / "clip")
        tokenizer.save_pretrained(new / "clip")
        judging.save(new / "judges.safetensors")
        for config in (new / "text_encoder" / "config.json", new / "clip" / "config.json"):
            # transformers computes in the dtype of the config, diffusers in float32: both shall widen the fp16 weights.
            config.write_text(config.read_text().replace('"dtype": "float16"', '"dtype": "float32"'))
        (new / "words.txt").write_text("\n".join(vocabulary()) + "\n")
        stamp(new, facts)


def _recommended_by(checkpoint: Path) -> dict[str, float]:
    """What a checkpoint itself recommends, its guidance among it, until a sweep of what comes of it finds better."""
    recommended = weights.recommended_in(checkpoint)
    return {name: getattr(recommended, name) for name in recommended.own}


def _check(recipe: Recipe, output: Path, work: Path, start: Path | None) -> None:
    """Complains of all that would otherwise fail after hours."""
    if set(recipe.seconds) != set(STAGES):
        raise SettingError(f"seconds: got {sorted(recipe.seconds)}, expected {', '.join(STAGES)}.")
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise SettingError("device: got 'cuda', but this torch sees no GPU. Use --device cpu.")
    if start is not None and "recipe" not in read_stamp(start):
        raise ModelNotFoundError(
            f"start: {start} is no checkpoint of this recipe; expected a folder that `nulltext train` wrote, or "
            "'scenes'. Check the path."
        )
    _check_places(output, work)
    if work.is_relative_to(output):
        raise SettingError(f"work: {work} lies in {output}, which will be replaced. Give another --work.")


def _check_places(output: Path, work: Path) -> None:
    """Makes sure that a checkpoint may take the place of one folder, and that the other can be written to."""
    for name, folder in (("output", output), ("work", work)):
        if folder == folder.parent:
            raise SettingError(f"{name}: {folder} is where a disk begins; expected a folder on it. Give it a name.")
    for path in (output / "model_index.json", output.with_name(".part"), work / "latents.safetensors"):
        check_output(path, overwrite=True, make_folder=True)
    if output.is_mount():  # nothing can take its place
        raise SettingError(f"output: {output} is where a disk begins; expected a folder on it. Give it a name.")
    try:
        found = {path.name for path in output.iterdir()} if output.exists() else set[str]()
    except OSError as error:
        raise OutputWriteError(f"output: cannot read {output}: {error.strerror}. Choose another folder.") from error
    if found - FILES or (found and "recipe" not in read_stamp(output)):
        raise SettingError(
            f"output: {output} holds {min(found - FILES or found)}, which is no part of a checkpoint that was trained "
            "here; expected a new folder or an earlier checkpoint. Choose another."
        )


def _latents(vae: AutoencoderKL, images: Tensor, path: Path, device: torch.device) -> Tensor:
    """Scaled latents of all images; kept in a file, and made anew when the encoder or the images have changed."""
    weights = b"".join(
        w.cpu().numpy().tobytes()
        for w in [*vae.encoder.parameters(), *(vae.quant_conv.parameters() if vae.quant_conv else ())]
    )
    source = {"encoder": hashlib.sha256(weights).hexdigest(), "images": content_digest({"images": images})}
    latents = _kept_latents(path, source)
    if latents is None:
        latents = autoencoder.encode(vae, images, device)
        stamp = source | {"sha256": content_digest({"latents": latents.cpu()})}
        write_file(path, save({"latents": latents}, metadata=stamp), overwrite=True)
    return latents * vae.config.scaling_factor


def _kept_latents(path: Path, source: Mapping[str, str]) -> Tensor | None:
    """The latents in a file; None if there is none, or it is damaged, or theirs is another source."""
    try:
        with safe_open(path, framework="pt") as file:
            stamp: dict[str, str] = file.metadata() or {}
            latents: Tensor = file.get_tensor("latents")
    except (OSError, SafetensorError):
        return None
    return latents if stamp == {**source, "sha256": content_digest({"latents": latents})} else None
