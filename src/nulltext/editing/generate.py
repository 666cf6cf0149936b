"""Drawing from a caption alone."""

from collections.abc import Sequence

import torch

from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.errors import SettingError
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import nearest_size
from nulltext.progress import OnProgress, silent
from nulltext.types import Pixels


def generate(
    model: Model,
    caption: str | Sequence[str],
    *,
    steps: int = 50,
    guidance: float = 7.5,
    seed: int | Sequence[int] = 0,
    size: tuple[int, int] | None = None,
    on_progress: OnProgress = silent,
) -> Pixels:
    """Draws pictures by deterministic DDIM sampling from noise.

    Each picture has its own seed and its own generator on the CPU, so that it does not depend on the device, nor on
    what is drawn beside it.

    Args:
        model: The model.
        caption: One caption, or B of them.
        steps: T.
        guidance: The weight w.
        seed: One for each caption; a single number is the first caption's, and the following count up from it.
        size: (height, width) in pixels, each rounded to the nearest the model can take; its default size if None.
        on_progress: Told of every step, phase "sample".

    Returns:
        [B, 3, H, W] in [-1, 1], on the CPU.

    Raises:
        CaptionError: A caption is empty, too long, or has an unknown word.
        SettingError: `steps`, `size` or the number of seeds is out of range.
    """
    captions = [caption] if isinstance(caption, str) else list(caption)
    seeds = range(seed, seed + len(captions)) if isinstance(seed, int) else seed
    if len(seeds) != len(captions):
        raise SettingError(f"got {len(seeds)} seeds for {len(captions)} captions; expected one for each.")
    schedule = model.schedule(steps)
    cond, null = embed_captions(model, captions), model.embed([""])
    height, width = nearest_size(model, model.default_size if size is None else size)
    shape = (1, model.latent_channels, height // model.scale, width // model.scale)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(number)) for number in seeds]
    x = torch.cat(noise).to(model.device)
    return model.decode(sample(Guided(model, cond, guidance), schedule, x, [null] * steps, on_progress)).cpu()
