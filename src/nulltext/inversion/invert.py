"""What all methods of inversion share."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch

from nulltext import __version__
from nulltext.bars import teller
from nulltext.checks import Count, Guidance, check_finite, check_numbers
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.sharing import saying_what_fits
from nulltext.errors import SettingError
from nulltext.images import SourceImage, to_image_bytes
from nulltext.inversion.base import Inversion, Scores
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.record import form_of
from nulltext.inversion.replay import ReplayForm
from nulltext.inversion.source import condition
from nulltext.metrics import psnr
from nulltext.models.base import Model, embed_negative
from nulltext.models.precision import rounding_of
from nulltext.progress import Telling, silent
from nulltext.text.words import check_text
from nulltext.types import Latents, OnePixels


@dataclass(frozen=True, kw_only=True)
class Inverter(ABC):
    """A method of inversion: settings in the constructor, data in the call.

    Attributes:
        replays: What the replays of its solutions have.
        steps: T, the steps of the sampler.
        guidance: The guidance scale w, of the inversion and of every use of it; None is the model's own, 7.5 for Stable
            Diffusion.
        negative_prompt: What stands in the null text's place, in the inversion and in every edit of it: guidance leads
            away from it. Blank is the null text.

    Raises:
        SettingError: A setting is out of range.
    """

    replays: ClassVar[ReplayForm] = ReplayForm()

    steps: Count = 50
    guidance: Guidance | None = None
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        check_numbers(self)
        check_text(self.negative_prompt)

    def evaluations(self) -> dict[str, int]:
        """How often each phase asks the network, for one image and in order; a backward pass counts as one.

        Early stops are left out. Here it is the plain method: a walk backwards without guidance, and one there again.
        """
        return {"invert": self.steps, "sample": 2 * self.steps}

    @abstractmethod
    def solve(self, problem: Problem) -> Solution:
        """The method's algorithm, for one image.

        Raises:
            SettingError: The settings do not fit the problem.
        """

    def __call__(self, model: Model, image: SourceImage, prompt: str, on_progress: Telling = silent) -> Inversion:
        """Inverts an image under a prompt that describes it.

        Args:
            model: The model.
            image: The image, fitted to the model.
            prompt: What it shows.
            on_progress: Called for every step.

        Raises:
            SettingError: `steps` is out of range for the model.
            PromptError: The prompt is empty, too long, or has an unknown word.
            DivergedError: Numbers became infinite or not-a-number.
        """
        on_progress = teller(on_progress)
        return invert(model, self, image, prompt, on_progress)


@torch.no_grad()
def invert(
    model: Model, inverter: Inverter, image: SourceImage, prompt: str, on_progress: Telling = silent
) -> Inversion:
    """What every method shares: embeddings, latents and schedule before, scores and record after.

    Args:
        model: The model.
        inverter: The method.
        image: The image, fitted to the model.
        prompt: What it shows.
        on_progress: Called for every step.

    Raises:
        SettingError: A setting is out of range for the model.
        PromptError: The prompt is empty, too long, or has an unknown word.
        DivergedError: Numbers became infinite or not-a-number.
        OutOfMemoryError: The device has no memory for the image.
    """
    on_progress = teller(on_progress)
    size = (image.pixels.shape[-2], image.pixels.shape[-1])
    schedule = model.schedule(inverter.steps, size)
    cond = condition(model, prompt, to_image_bytes(image.pixels), size)
    check_null(model, inverter, cond)
    problem = Problem(
        denoiser=model,
        schedule=schedule,
        cond=cond,
        null=embed_negative(model, inverter.negative_prompt, size),
        z0=model.encode(image.pixels),
        w=model.guidance if inverter.guidance is None else inverter.guidance,
        rounding=rounding_of(model),
        on_progress=on_progress,
    )
    with saying_what_fits(problem.z0):
        solution = inverter.solve(problem)
        _check_form(inverter, solution)
        z0 = solution.reconstruction
        if z0 is None:
            z0 = problem.sample(solution.pivot, solution.replay)
    scores, reconstruction = _scores(model, image, solution, z0)
    return Inversion(
        prompt=prompt,
        negative_prompt=inverter.negative_prompt,
        pivot=solution.pivot.cpu(),
        replay=solution.replay.to("cpu"),
        guidance=problem.w,
        method=type(inverter).__name__,
        settings=asdict(inverter) | {"guidance": problem.w},
        schedule=problem.schedule,
        model=model.identity,
        image=to_image_bytes(image.pixels),
        frame=image.frame,
        sha256=image.sha256,
        scores=scores,
        version=__version__,
        reconstruction=to_image_bytes(reconstruction),
    )


def _check_form(inverter: Inverter, solution: Solution) -> None:
    """Makes sure that the replays of a method with a row are what its class says, by which its files are checked.

    Raises:
        SettingError: They are not.
    """
    name, form = type(inverter).__name__, solution.replay.form
    expected = form_of(name)
    if expected is not None and form != expected:
        raise SettingError(
            f"{name}.solve gave a replay with {form}; expected {expected}, as its class says. Say in the class what it "
            f"gives: replays = {form!r}."
        )


def check_null(model: Model, inverter: Inverter, cond: Conditioning) -> None:
    """Makes sure that a method which mixes what a model says of a prompt and of none has a model that does so.

    Raises:
        SettingError: It has not.
    """
    if cond.distilled and (inverter.replays.nulls or inverter.replays.cond):
        raise SettingError(
            f"got {type(inverter).__name__}, which needs classifier-free guidance and a null prompt; "
            f"{model.identity.id} is distilled and has neither. Take DirectInversion (--method direct), or DDIM with a "
            "FixedPoint."
        )


def _scores(model: Model, image: SourceImage, solution: Solution, z0: Latents) -> tuple[Scores, OnePixels]:
    """Checks a solution's numbers and measures its losses; beside these the reconstruction.

    Raises:
        DivergedError: Numbers became infinite or not-a-number.
    """
    where = f"in {model.dtype} with {model.identity.id}"
    check_finite("trajectory", solution.pivot, where=where)
    solution.replay.check_finite(where=where)
    through_vae = model.decode(solution.pivot[-1:])
    held = solution.reconstruction is None and solution.replay.exact  # and so is that very image
    sampled = through_vae if held else model.decode(z0)
    return Scores(vae_psnr=psnr(through_vae, image.pixels), psnr=psnr(sampled, image.pixels)), sampled
