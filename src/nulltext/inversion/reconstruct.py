"""Drawing the source picture again from its inversion."""

from collections.abc import Sequence

import torch

from nulltext.checks import Guidance
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import AfterStep, sample
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, embed_captions
from nulltext.progress import OnProgress, silent
from nulltext.types import Latents, OnePixels


def step_nulls(model: Model, inversion: Inversion) -> list[Conditioning]:
    """What stands for no prompt at each of T steps, on the model's device; the inversion's embedding, if it has one."""
    null = model.null(inversion.frame.fitted)
    if inversion.nulls is None:
        return [null] * len(inversion.schedule)
    return [null.with_text(text[None]) for text in inversion.nulls.to(model.device)]


def source_and_captions(model: Model, inversion: Inversion, captions: Sequence[str] = ()) -> Conditioning:
    """1 + B rows, what conditions the source, then each of B captions, on the model's device.

    The conditional embedding of an inversion that has one stands in the source caption's place wherever that occurs,
    so that an edit whose caption is the source's own draws the source.

    Raises:
        EmptyCaptionError: A caption has no word in it.
        CaptionTooLongError: A caption has more tokens than the model reads.
        UnknownWordError: The model does not know a word.
    """
    wanted = [inversion.caption, *captions]
    own = embed_captions(model, wanted, inversion.frame.fitted)
    if inversion.cond is None:
        return own
    cond = inversion.cond.to(own.text)
    texts = [cond if caption == inversion.caption else row for caption, row in zip(wanted, own.text, strict=True)]
    return own.with_text(torch.stack(texts))


def holding(model: Model, inversion: Inversion) -> AfterStep:
    """What puts the source, the first of a batch, back on the pivot after every step.

    What the step was off is what direct inversion stores: Ju et al., arXiv 2310.01506, algorithm 1.
    """
    pivot = inversion.pivot.to(model.device)

    def after(done: int, x: Latents) -> Latents:
        return torch.cat([pivot[done : done + 1], x[1:]])

    return after


def reconstruct(
    model: Model,
    inversion: Inversion,
    guidance: Guidance | None = None,
    on_progress: OnProgress = silent,
) -> OnePixels:
    """Samples from z_T under the source caption; a source that is held comes back without.

    Args:
        model: The model it was made with.
        inversion: The inversion.
        guidance: The weight w. None is the inversion's own. An inversion without optimised embeddings (DDIM) may be
            sampled at any, with the null caption; one with such embeddings only at its own.
        on_progress: Told of every step, phase "sample".

    Returns:
        [1, 3, H, W] in [-1, 1], on the CPU.

    Raises:
        MismatchError: Another model, schedule or guidance than the inversion's.
        SettingError: The guidance is no finite number.
        DivergedError: The picture became infinite or not-a-number.
    """
    w = inversion.check(model, guidance)
    if inversion.held:
        return model.decode(inversion.pivot[-1:].to(model.device)).cpu()
    guided = Guided(model, source_and_captions(model, inversion), w)
    start = inversion.pivot[:1].to(model.device)
    z0 = sample(guided, inversion.schedule, start, step_nulls(model, inversion), on_progress)
    return model.decode(z0).cpu()
