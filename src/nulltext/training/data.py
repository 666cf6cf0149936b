"""Training images: rendered once into shards on disk, then read as often as wanted.

A shard is a pure function of its size and its number (the seeds of its scenes), so an interrupted rendering goes on
where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from nulltext import __version__
from nulltext.files import write_file
from nulltext.processes import processes
from nulltext.progress import OnProgress, Progress, silent
from nulltext.scenes.renderer import render
from nulltext.scenes.world import TRAINING_SEEDS, Scene, sample_scene

SHARD: Final = 1024
"""Images in one shard."""
SIDE: Final = 128
_BATCH: Final = 32


def shard_scenes(index: int, size: int = SHARD) -> list[Scene]:
    """The scenes of one shard: training seeds index * size and on."""
    return [sample_scene(TRAINING_SEEDS[seed]) for seed in range(index * size, (index + 1) * size)]


def render_shards(
    folder: Path, count: int, *, size: int = SHARD, workers: int | None = None, on_progress: OnProgress = silent
) -> list[Path]:
    """Render what is missing of the first `count` shards.

    Args:
        folder: Where the shards lie; made if missing.
        count: How many shards there must be.
        size: Images in each.
        workers: Processes, at most; as many as there are cores when not given.
        on_progress: Called for every shard.

    Returns:
        The shards' paths, in order. Each holds "pixels" [size, 3, 128, 128] and "mask" [size, 128, 128] (the visible
        share of all things), both uint8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scenes-{size}-{index:05d}.safetensors" for index in range(count)]
    missing = [(index, size, path) for index, path in enumerate(paths) if not _is_shard(path, index, size)]
    if not missing:
        return paths
    on_progress(Progress(phase="render", step=count - len(missing), total=count))
    if len(missing) == 1:  # a process for it would take longer to begin than it saves
        _render_shard(missing[0])
        on_progress(Progress(phase="render", step=count, total=count))
        return paths
    with processes(min(workers or os.cpu_count() or 1, len(missing)), torch.set_num_threads, 1) as pool:
        for done, _ in enumerate(pool.imap_unordered(_render_shard, missing), count - len(missing) + 1):
            on_progress(Progress(phase="render", step=done, total=count))
    return paths


def _render_shard(job: tuple[int, int, Path]) -> None:
    index, size, path = job
    scenes = shard_scenes(index, size)
    pixels, masks = [], []
    for start in range(0, size, _BATCH):
        rendering = render(scenes[start : start + _BATCH], height=SIDE, width=SIDE)
        pixels.append(to_bytes(rendering.pixels))
        masks.append((rendering.masks.sum(1).clamp(0, 1) * 255).round().byte())
    tensors = {"pixels": torch.cat(pixels).contiguous(), "mask": torch.cat(masks).contiguous()}
    write_file(path, save(tensors, _stamp(tensors, index, size)), overwrite=True)


def _stamp(tensors: Mapping[str, Tensor], index: int, size: int) -> dict[str, str]:
    """Which shard it is, and the digest that its content has."""
    return {"index": str(index), "size": str(size), "version": __version__, "sha256": content_digest(tensors)}


def _is_shard(path: Path, index: int, size: int) -> bool:
    """Whether a file is the whole of that shard, and not another's."""
    try:
        with safe_open(path, framework="pt") as file:
            stamp, names = file.metadata(), set(file.keys())
        return names == {"pixels", "mask"} and stamp == _stamp(load_file(path), index, size)
    except (OSError, SafetensorError):
        return False


def content_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over tensors: their names, shapes, types and values."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def load_shards(paths: list[Path]) -> tuple[Tensor, Tensor]:
    """All images [n, 3, 128, 128] and masks [n, 128, 128] of some shards, uint8."""
    shards = [load_file(path) for path in paths]
    return torch.cat([s["pixels"] for s in shards]), torch.cat([s["mask"] for s in shards])


def to_bytes(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1] to bytes."""
    return ((pixels + 1) * 127.5).round().clamp(0, 255).byte()


def to_pixels(stored: Tensor) -> Tensor:
    """Bytes to pixels in [-1, 1], float32."""
    return stored.float() / 127.5 - 1
