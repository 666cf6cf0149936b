"""What all methods of inversion share: one image, or many in one batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch

from nulltext import __version__
from nulltext.diffusion.sharing import Denoiser, SharedDenoiser, Work, saying_what_fits, share
from nulltext.errors import DivergedError
from nulltext.inversion.base import Inversion, Scores
from nulltext.inversion.problem import Problem, Solution
from nulltext.metrics import psnr
from nulltext.models.base import Model, embed_captions
from nulltext.models.memory import pictures_at_once
from nulltext.models.precision import rounding_of
from nulltext.pictures import Photo, to_picture
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Latents


@dataclass(frozen=True, kw_only=True)
class Inverter(ABC):
    """A method of inversion: settings in the constructor, data in the call.

    Attributes:
        steps: T, the steps of the sampler.
        guidance: The guidance scale w, of the inversion and of every use of it; None is the model's own, 7.5 for Stable
            Diffusion.
    """

    steps: int = 50
    guidance: float | None = None

    @abstractmethod
    def solve(self, problem: Problem) -> Solution:
        """The method's algorithm, for one image.

        Raises:
            SettingError: The settings do not fit the problem.
        """

    def __call__(self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent) -> Inversion:
        """Inverts an image under a prompt that describes it.

        Args:
            model: The model.
            photo: The image, fitted to the model.
            caption: What it shows.
            on_progress: Told of every step.

        Raises:
            SettingError: `steps` is out of range for the model.
            CaptionError: The prompt is empty, too long, or has an unknown word.
            DivergedError: Numbers became infinite or not-a-number.
        """
        return invert(model, self, photo, caption, on_progress)


@torch.no_grad()
def invert(
    model: Model,
    inverter: Inverter,
    photo: Photo,
    caption: str,
    on_progress: OnProgress = silent,
    *,
    denoiser: Denoiser | None = None,
) -> Inversion:
    """What every method shares: embeddings, latents and schedule before, scores and record after.

    Args:
        model: The model.
        inverter: The method.
        photo: The image, fitted to the model.
        caption: What it shows.
        on_progress: Told of every step.
        denoiser: The model's network, or a share of it; None is the model itself.

    Raises:
        SettingError: A setting is out of range for the model.
        CaptionError: The prompt is empty, too long, or has an unknown word.
        DivergedError: Numbers became infinite or not-a-number.
        OutOfMemoryError: The device has no memory for the image.
    """
    problem = Problem(
        denoiser=model if denoiser is None else denoiser,
        schedule=model.schedule(inverter.steps),
        cond=embed_captions(model, [caption]),
        null=model.embed([""]),
        z0=model.encode(photo.pixels),
        w=model.guidance if inverter.guidance is None else inverter.guidance,
        rounding=rounding_of(model),
        on_progress=on_progress,
    )
    with saying_what_fits(problem.z0):
        solution = inverter.solve(problem)
        z0 = solution.reconstruction
        if z0 is None:
            z0 = problem.sample(solution.pivot[:1], solution.nulls, solution.cond)
    scores = _scores(model, photo, solution, z0)
    return Inversion(
        caption=caption,
        pivot=solution.pivot.cpu(),
        nulls=None if solution.nulls is None else solution.nulls.cpu(),
        cond=None if solution.cond is None else solution.cond[0].cpu(),
        held=solution.held,
        guidance=problem.w,
        method=type(inverter).__name__,
        settings=asdict(inverter) | {"guidance": problem.w},
        schedule=problem.schedule,
        model=model.identity,
        picture=to_picture(photo.pixels),
        frame=photo.frame,
        sha256=photo.sha256,
        scores=scores,
        version=__version__,
    )


def invert_together(
    model: Model,
    inverter: Inverter,
    pictures: Iterable[tuple[Photo, str]],
    *,
    at_once: int | None = None,
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, Inversion]]:
    """Inverts photographs, several at once, each at its own pace.

    Each inversion is the one that ``inverter(model, photo, caption)`` makes, but for rounding: no picture has a part
    in another's. One that is done makes room for one that waits, and photographs of different sizes may be mixed.

    Args:
        model: The model.
        inverter: The method.
        pictures: Photographs, fitted to the model, each with its caption; taken one by one as there is room, so that
            they may be opened on the way.
        at_once: At most so many are under way; None is 8, or on a GPU as many as its memory takes. Where there turns
            out to be no memory for so many, their batches are halved.
        on_progress: Told of every step of every picture, with its number.

    Yields:
        Which picture it is, from 0, and its inversion, as they come.

    Raises:
        SettingError: A setting is out of range.
        CaptionError: A caption is empty, too long, or has an unknown word; those before it are lost unless taken.
        OutOfMemoryError: There is no memory for one alone.
        DivergedError: Numbers became infinite or not-a-number.
    """
    works = (
        inverting(model, inverter, photo, caption, partial(_numbered, on_progress, number))
        for number, (photo, caption) in enumerate(pictures, start=1)
    )
    return share(model, works, pictures_at_once(model) if at_once is None else at_once)


def inverting(
    model: Model, inverter: Inverter, photo: Photo, caption: str, on_progress: OnProgress = silent
) -> Work[Inversion]:
    """`invert` as a work for `share`."""

    def work(denoiser: SharedDenoiser) -> Inversion:
        return invert(model, inverter, photo, caption, on_progress, denoiser=denoiser)

    return work


def _numbered(on_progress: OnProgress, number: int, event: Progress) -> None:
    on_progress(replace(event, picture=number))


def _scores(model: Model, photo: Photo, solution: Solution, z0: Latents) -> Scores:
    """Checks a solution's numbers and measures its losses.

    Raises:
        DivergedError: Numbers became infinite or not-a-number.
    """
    through_vae, sampled = model.decode(solution.pivot[-1:]), model.decode(z0)
    made = {
        "trajectory": solution.pivot,
        "null embeddings": solution.nulls,
        "conditional embedding": solution.cond,
        "reconstruction": sampled,
    }
    for name, tensor in made.items():
        if tensor is not None and not torch.isfinite(tensor).all():
            raise DivergedError(
                f"the {name} became infinite or not-a-number in {model.dtype} with {model.identity.id}; expected "
                "finite numbers. Load the model with dtype float32 or bfloat16, or take a lower guidance."
            )
    return Scores(vae_psnr=psnr(through_vae, photo.pixels), psnr=psnr(sampled, photo.pixels))
