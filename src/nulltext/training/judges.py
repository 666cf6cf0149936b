"""Stage 4: the judges, a small classifier with one head for every kind of word. It reads images of one thing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nulltext.judges import HEADS, Judges, JudgesNetwork, words_of
from nulltext.scenes.world import Scene
from nulltext.training.data import SIDE, to_pixels
from nulltext.training.loop import Run, fit
from nulltext.training.precision import autocast

BATCH = 64


def train(
    images: Tensor,
    scenes: Sequence[Scene],
    run: Run,
) -> Judges:
    """Train the judges on renders of one thing, some blurred or noisy so that they stand what an autoencoder does.

    Args:
        images: [n, 3, 128, 128] uint8.
        scenes: What they show; those of several things are left out.
        run: How to train.

    Returns:
        The averaged judges.
    """
    device = run.device
    torch.manual_seed(run.seed)
    single = torch.tensor([i for i, scene in enumerate(scenes) if len(scene.things) == 1])
    answers = [words_of(scenes[i]) for i in single.tolist()]
    target = torch.tensor([[words.index(answer[head]) for head, words in HEADS.items()] for answer in answers])

    def loss(module: JudgesNetwork, step: int) -> Tensor:
        rng = run.generator(step)
        index = torch.randint(len(single), (BATCH,), generator=rng)
        pixels = disturbed(to_pixels(images[single[index]]), rng)
        with autocast(device):
            logits = module(pixels.to(device, memory_format=torch.channels_last))
        wanted = target[index].to(device)
        losses = [
            functional.cross_entropy(logits[head].float(), wanted[:, column]) for column, head in enumerate(HEADS)
        ]
        return torch.stack(losses).sum() / len(HEADS)

    network = JudgesNetwork() if run.start is None else Judges.load(run.start / "judges.safetensors").network
    network = network.requires_grad_(requires_grad=True).to(device, memory_format=torch.channels_last)
    average = fit(run, "judges", network, loss, lr=2e-3)
    return Judges(average)


def disturbed(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """A batch, in its order, as the judges may meet it.

    Every other image is mirrored, as none of the words knows left from right. All but the first quarter are blurred
    by down- and upscaling, shifted by up to 4 pixels, and noisy.
    """
    pixels = pixels.clone()
    pixels[::2] = pixels[::2].flip(-1)
    quarter = len(pixels) // 4
    parts = [pixels[:quarter]]
    for chunk in pixels[quarter:].split(quarter):
        side = int(torch.randint(SIDE // 2, SIDE + 1, (), generator=rng))
        down = functional.interpolate(chunk, size=(side, side), mode="bilinear", antialias=True)
        blurred = functional.interpolate(down, size=(SIDE, SIDE), mode="bilinear")
        rows, columns = torch.randint(-4, 5, (2,), generator=rng).tolist()
        moved = functional.pad(blurred, (4, 4, 4, 4), mode="replicate")
        moved = moved[..., 4 + rows : 4 + rows + SIDE, 4 + columns : 4 + columns + SIDE]
        gain = 1 + 0.1 * torch.randn(len(chunk), 1, 1, 1, generator=rng)
        parts.append(moved * gain + 0.04 * torch.randn(moved.shape, generator=rng))
    return torch.cat(parts).clamp(-1, 1)
