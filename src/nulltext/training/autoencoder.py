"""Stage 1: the autoencoder, 128x128x3 to 16x16x4 and back."""

from __future__ import annotations

from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from nulltext.training import odds
from nulltext.training.data import SIDE, to_pixels
from nulltext.training.loop import Run, fit
from nulltext.training.precision import autocast, group_norm_in_fp32

CROPS: Final = 16
"""Crops in a batch of crops; every fourth batch holds a quarter as many whole images."""
CROP_SIDE: Final = 64
ODDS: Final = 1024
ODD_SHARE: Final = 0.2
"""Share of images that are not scenes."""
THING_WEIGHT: Final = 3.0
"""How much more a pixel of a thing counts than one of the background: wide backgrounds hide grey things."""
KL_WEIGHT: Final = 2e-7
"""On the sum over an image's latents, against the mean squared error of its pixels."""
COARSE_WEIGHT: Final = 2.0
"""On the error averaged over 4x4 pixels: what has the right colour is learnt long before what has the right edges."""


def build() -> AutoencoderKL:
    """The autoencoder, untrained: factor 8, purely convolutional, 1.6 M parameters."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


class _Crops:
    """Draws training crops: most hold a piece of a thing, some are anything, some are no scene at all."""

    def __init__(self, images: Tensor, masks: Tensor, run: Run) -> None:
        self.images, self.masks, self.run = images, masks, run
        odd = odds.draw(min(ODDS, len(images)), SIDE, run.seed)
        self.odd = ((odd + 1) * 127.5).round().byte()
        covered = masks > 127  # noqa: PLR2004
        rows, columns = covered.any(2), covered.any(1)
        line = torch.arange(SIDE)
        self.boxes = torch.stack(
            [
                torch.where(rows, line, SIDE).amin(1),
                torch.where(rows, line, -1).amax(1),
                torch.where(columns, line, SIDE).amin(1),
                torch.where(columns, line, -1).amax(1),
            ],
            dim=1,
        )

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """One batch: pixels [n, 3, side, side] in [-1, 1] and masks [n, 1, side, side] in [0, 1]."""
        rng = self.run.generator(step)
        whole = step % 4 == 0
        side, count = (SIDE, CROPS // 4) if whole else (CROP_SIDE, CROPS)
        odd_count = round(ODD_SHARE * count)
        index = torch.randint(len(self.images), (count - odd_count,), generator=rng)
        room = SIDE - side
        at = torch.rand(count, 2, generator=rng)
        anywhere = torch.rand(count, generator=rng)
        pixels, masks = [], []
        for i, n in enumerate(index.tolist()):
            top, left = (at[i] * (room + 1)).long().clamp(max=room).tolist()
            if anywhere[i] < 0.75 and not whole:  # noqa: PLR2004  a crop around a point of the things' box
                r0, r1, c0, c1 = self.boxes[n].tolist()
                top = min(max(int(r0 + float(at[i, 0]) * (r1 - r0)) - side // 2, 0), room)
                left = min(max(int(c0 + float(at[i, 1]) * (c1 - c0)) - side // 2, 0), room)
            pixels.append(self.images[n, :, top : top + side, left : left + side])
            masks.append(self.masks[n, top : top + side, left : left + side])
        batch, mask = to_pixels(torch.stack(pixels)), torch.stack(masks).float()[:, None] / 255
        # The odd ones; half of them are scenes at odd scales.
        chosen = torch.randint(len(self.odd), (odd_count,), generator=rng).tolist()
        others = torch.randint(len(self.images), (odd_count,), generator=rng).tolist()
        extra = []
        for i, (n, m) in enumerate(zip(chosen, others, strict=True)):
            source = to_pixels((self.odd[n] if i % 2 else self.images[m])[None])
            scale = (0.5 if side < SIDE else 1.0) if i % 2 else 0.5 + 1.5 * float(at[i, 0])
            scaled = max(side, round(SIDE * scale))
            source = functional.interpolate(source, size=(scaled, scaled), mode="bilinear", antialias=True)
            top, left = (int(float(a) * (scaled - side)) for a in at[i])
            extra.append(source[0, :, top : top + side, left : left + side])
        batch = torch.cat([batch, torch.stack(extra)])
        return batch, torch.cat([mask, torch.zeros(odd_count, 1, side, side)])


def train(
    images: Tensor,
    masks: Tensor,
    run: Run,
) -> AutoencoderKL:
    """Train the autoencoder and measure the scale of its latents.

    Args:
        images: [n, 3, 128, 128] uint8.
        masks: [n, 128, 128] uint8.
        run: How to train.

    Returns:
        The averaged autoencoder, its `scaling_factor` set so that latents have unit variance.
    """
    device = run.device
    torch.manual_seed(run.seed)
    crops = _Crops(images, masks, run)

    def loss(module: AutoencoderKL, step: int) -> Tensor:
        pixels, mask = (t.to(device, memory_format=torch.channels_last) for t in crops.draw(step))
        with autocast(device):
            posterior = module.encode(pixels).latent_dist
            mean, std = posterior.mean.float(), posterior.std.float()
            latents = mean + std * torch.randn(mean.shape, generator=run.generator(step)).to(device)
            decoded = module.decode(latents).sample
        error = decoded.float() - pixels
        weight = 1 + THING_WEIGHT * mask
        fidelity = (weight * (error.square() + 0.05 * error.abs())).sum() / weight.sum() / 3
        coarse = functional.avg_pool2d(error, 4).square() * functional.avg_pool2d(weight, 4)
        fidelity = fidelity + COARSE_WEIGHT * coarse.sum() / weight.sum() * 16 / 3
        kl = 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).sum(dim=(1, 2, 3)).mean()
        return fidelity + KL_WEIGHT * kl * (SIDE / pixels.shape[-1]) ** 2

    model, earlier = group_norm_in_fp32(build()), None
    if run.start is not None:
        earlier = AutoencoderKL.from_pretrained(run.start / "vae")
        model.load_state_dict(earlier.state_dict())
        for name, parameter in model.named_parameters():  # the UNet knows the encoder's latents
            parameter.requires_grad_(requires_grad=name.startswith(("decoder", "post_quant_conv")))
    model = model.to(device, memory_format=torch.channels_last)
    average = fit(run, "autoencoder", model, loss, lr=2e-3)
    autoencoder = finished(average, images[:512], device)
    if earlier is not None:
        autoencoder.register_to_config(scaling_factor=earlier.config.scaling_factor)
    return autoencoder


def finished(average: AutoencoderKL, sample: Tensor, device: torch.device) -> AutoencoderKL:
    """A plain AutoencoderKL with the trained weights and the `scaling_factor` measured on a sample of images."""
    autoencoder = build()
    autoencoder.load_state_dict(average.state_dict())
    autoencoder = autoencoder.to(device).eval().requires_grad_(requires_grad=False)
    latents = encode(autoencoder, sample, device)
    autoencoder.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    return autoencoder


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, images: Tensor, device: torch.device, batch: int = 32) -> Tensor:
    """Posterior modes [n, 4, 16, 16], unscaled, of stored images [n, 3, 128, 128] uint8."""
    parts = []
    for chunk in images.split(batch):
        pixels = to_pixels(chunk.to(device)).to(memory_format=torch.channels_last)
        parts.append(autoencoder.encode(pixels).latent_dist.mode().float().cpu().contiguous())
    return torch.cat(parts)
