"""Sampling from a prompt alone."""

import hashlib
from collections.abc import Sequence

import torch

from nulltext import __version__
from nulltext.bars import teller
from nulltext.checks import Count, Guidance, Seed, checked
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.rule import CLASSIFIER_FREE, Rule
from nulltext.diffusion.sampling import sample
from nulltext.errors import SettingError
from nulltext.images import Frame, nearest_size, to_image_bytes, to_pixels
from nulltext.inversion.base import Inversion, Scores
from nulltext.inversion.record import GENERATED
from nulltext.inversion.replay import Replay
from nulltext.metrics import psnr
from nulltext.models.base import Model, embed_negative, embed_prompts
from nulltext.progress import Telling, silent
from nulltext.types import ImageBytes, Latents, OnePixels, Pixels


def generate(
    model: Model,
    prompt: str | Sequence[str],
    *,
    steps: Count = 50,
    guidance: Guidance | None = None,
    seed: Seed | Sequence[Seed] = 0,
    size: tuple[int, int] | None = None,
    negative_prompt: str = "",
    rule: Rule = CLASSIFIER_FREE,
    on_progress: Telling = silent,
) -> Pixels:
    """Samples images by deterministic DDIM sampling from noise.

    Each image has its own seed and its own generator on the CPU, so that it does not depend on the device, nor on
    what is sampled beside it.

    Args:
        model: The model.
        prompt: One prompt, or B of them.
        steps: T.
        guidance: The guidance scale w; the model's own if None.
        seed: One for each prompt; a single number is the first prompt's, and the following count up from it.
        size: (height, width) in pixels, each rounded to the nearest the model can take; its default size if None.
        negative_prompt: What guidance leads away from; blank for the null text.
        rule: How guidance is done.
        on_progress: Called for every step, phase "sample".

    Returns:
        [B, 3, H, W] in [-1, 1], on the CPU.

    Raises:
        PromptError: A prompt is empty, too long, or has an unknown word.
        SettingError: `steps`, `guidance`, `size`, a seed or the number of seeds is out of range.
        DivergedError: The images became infinite or not-a-number.
    """
    on_progress = teller(on_progress)
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if isinstance(seed, Sequence):
        seeds = [checked("seed", number, Seed) for number in seed]
    else:
        first = checked("seed", seed, Seed)
        seeds = range(first, first + len(prompts))
    if len(seeds) != len(prompts):
        raise SettingError(f"got {len(seeds)} seeds for {len(prompts)} prompts; expected one for each.")
    guidance = checked("guidance", guidance, Guidance | None)
    size = nearest_size(model, model.default_size if size is None else size)
    schedule = model.schedule(steps, size)
    cond, null = embed_prompts(model, prompts, size), embed_negative(model, negative_prompt, size)
    guided = Guided(model, cond, rule.at(model.guidance if guidance is None else guidance))
    noise = _noise(model, seeds, size)
    return model.decode(sample(guided, schedule, noise, [null] * len(schedule), on_progress)).cpu()


def generate_inversion(
    model: Model,
    prompt: str,
    *,
    steps: Count = 50,
    guidance: Guidance | None = None,
    seed: Seed = 0,
    size: tuple[int, int] | None = None,
    negative_prompt: str = "",
    on_progress: Telling = silent,
) -> Inversion:
    """Samples an image as `generate` does and keeps its trajectory: it can be saved, and edited like a photograph.

    Args:
        model: The model.
        prompt: What to draw.
        steps: T.
        guidance: The guidance scale w; the model's own if None.
        seed: Of the noise.
        size: (height, width) in pixels, each rounded to the nearest the model can take; its default size if None.
        negative_prompt: What guidance leads away from; blank for the null text.
        on_progress: Called for every step, phase "sample".

    Raises:
        NulltextError: As `generate` does.
    """
    guidance, seed = checked("guidance", guidance, Guidance | None), checked("seed", seed, Seed)
    size = nearest_size(model, model.default_size if size is None else size)
    schedule = model.schedule(steps, size)
    cond, null = embed_prompts(model, [prompt], size), embed_negative(model, negative_prompt, size)
    trajectory = [_noise(model, [seed], size)]

    def keep(_: int, x: Latents) -> Latents:
        trajectory.append(x)
        return x

    w = model.guidance if guidance is None else guidance
    z0 = sample(
        Guided(model, cond, w), schedule, trajectory[0], [null] * len(schedule), teller(on_progress), after=keep
    )
    pixels = model.decode(z0)
    image = to_image_bytes(pixels)
    height, width = image.shape[:2]
    given = {"steps": len(schedule), "seed": seed, "negative_prompt": negative_prompt}
    return Inversion(
        prompt=prompt,
        negative_prompt=negative_prompt,
        pivot=torch.cat(trajectory).cpu(),
        replay=Replay(),
        guidance=w,
        method=GENERATED,
        settings=given | {"guidance": w, "size": [height, width]},
        schedule=schedule,
        model=model.identity,
        image=image,
        frame=Frame.whole(height, width),
        sha256=hashlib.sha256(image.numpy().tobytes()).hexdigest(),
        scores=_scores(model, pixels, image),
        version=__version__,
    )


def _scores(model: Model, pixels: OnePixels, image: ImageBytes) -> Scores:
    """What the autoencoder and rounding to bytes lose."""
    through_vae = model.decode(model.encode(pixels))
    return Scores(vae_psnr=psnr(through_vae, pixels), psnr=psnr(pixels.cpu(), to_pixels(image)))


def _noise(model: Model, seeds: Sequence[int], size: tuple[int, int]) -> Latents:
    """[B, C, h, w] noise, each from its own seed."""
    height, width = size
    shape = (1, model.latent_channels, height // model.scale, width // model.scale)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(number)) for number in seeds]
    return torch.cat(noise).to(model.device)
