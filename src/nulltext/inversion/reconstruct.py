"""Drawing the source picture again from its inversion."""

from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, embed_captions
from nulltext.progress import OnProgress, silent
from nulltext.types import Null, OnePixels


def step_nulls(model: Model, inversion: Inversion) -> list[Null]:
    """The null embedding of each step, T of [1, L, D] on the model's device: the inversion's, or the null caption's."""
    if inversion.nulls is None:
        return [model.embed([""])] * len(inversion.schedule)
    return [null[None] for null in inversion.nulls.to(model.device)]


def reconstruct(
    model: Model, inversion: Inversion, guidance: float | None = None, on_progress: OnProgress = silent
) -> OnePixels:
    """Samples from z_T under the source caption.

    Args:
        model: The model it was made with.
        inversion: The inversion.
        guidance: The weight w. None is the inversion's own. An inversion without null embeddings (DDIM) may be sampled
            at any, with the null caption; one with null embeddings only at its own.
        on_progress: Told of every step, phase "sample".

    Returns:
        [1, 3, H, W] in [-1, 1], on the CPU.

    Raises:
        MismatchError: Another model, schedule or guidance than the inversion's.
    """
    w = inversion.check(model, guidance)
    guided = Guided(model, embed_captions(model, [inversion.caption]), w)
    start = inversion.pivot[:1].to(model.device)
    return model.decode(sample(guided, inversion.schedule, start, step_nulls(model, inversion), on_progress)).cpu()
