"""Whether a model does on this machine what it has to: photographs inverted and edited, each figure against a bound."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from PIL import Image

from nulltext.bench.extras import extra
from nulltext.diffusion.levels import combine
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import NulltextError, OutOfMemoryError, SettingError, UnknownWordError, UnsupportedPipelineError
from nulltext.images import SourceImage, open_image
from nulltext.inversion.base import Inversion
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.stopping import PAPER, PUBLISHED
from nulltext.models.base import Model, embed_prompts
from nulltext.models.precision import rounding_of
from nulltext.progress import OnProgress, numbered, silent
from nulltext.types import Latents

PHOTOGRAPHS: Final = {
    "astronaut": ("a photo of an astronaut", "a photo of an orange snowman"),
    "chelsea": ("a photo of a cat", "a photo of an orange striped ball"),
    "coffee": ("a photo of a cup of coffee", "a photo of a white mug on wood"),
}
"""Of scikit-image, with their prompts, and such as a model can read that knows few words."""

GAP: Final = 1.0
"""Decibels by which null-text inversion may stay below the autoencoder."""
EXACT_GAP: Final = 0.01
"""The same of direct inversion, which is exact."""
LEVELS: Final = 1.0
"""Of 255, by which an edit to the same prompt may differ from the reconstruction."""
ROUNDINGS: Final = 10
"""By how many roundings of the coarser precision the outputs of two may differ, as a share of their length."""


@final
@dataclass(frozen=True, kw_only=True)
class Check:
    """One line.

    Attributes:
        image: Which.
        name: What was checked.
        bound: What it may be at most.
        unit: Of bound and figure.
        figure: What was found; None if nothing could be.
        passed: Whether that is within the bound; None of what has no meaning for the model, or no room here.
        note: Why there is no figure.
    """

    image: str
    name: str
    bound: float
    unit: str
    figure: float | None = None
    passed: bool | None = None
    note: str = ""

    def found(self, figure: float) -> "Check":
        """With a figure."""
        return replace(self, figure=figure, passed=figure <= self.bound)

    def without(self, error: Exception) -> "Check":
        """Without one: what a model refuses, or has no memory for, is no failure."""
        refused = isinstance(error, SettingError | UnsupportedPipelineError | torch.OutOfMemoryError | OutOfMemoryError)
        return replace(self, passed=None if refused else False, note=str(error).partition("\n")[0])

    def __str__(self) -> str:
        """The line."""
        word = {True: "pass", False: "FAIL", None: "none"}[self.passed]
        found = self.note if self.figure is None else f"{self.figure:.3g} {self.unit}, at most {self.bound:g}"
        return f"{word}  {self.image}, {self.name}: {found}"


@final
@dataclass(frozen=True, kw_only=True)
class Case:
    """An image, by its name, and its prompt."""

    name: str
    image: SourceImage
    prompt: str


def photographs(model: Model, size: tuple[int, int] | None = None) -> list[Case]:
    """Three photographs, fitted to a model, with prompts that it can read.

    Raises:
        SettingError: scikit-image is not installed.
    """
    data = extra("skimage.data")
    return [
        Case(
            name=name,
            image=open_image(Image.fromarray(getattr(data, name)()), model, size=size),
            prompt=_readable(model, *prompts),
        )
        for name, prompts in PHOTOGRAPHS.items()
    ]


def _readable(model: Model, prompt: str, plain: str) -> str:
    try:
        model.check_prompt(prompt)
    except UnknownWordError:
        return plain
    return prompt


def verify(
    model: Model, cases: Sequence[Case], *, steps: int, inner_steps: int, on_progress: OnProgress = silent
) -> Iterator[Check]:
    """The checks of one model, as they are done.

    Args:
        model: The model.
        cases: Images that are fitted to it.
        steps: T; above 100, for which the published constants do not last, null-text inversion has the paper's.
        inner_steps: N.
        on_progress: Called for every step.

    Raises:
        SettingError: `steps` is out of range for the model.
    """
    model.schedule(steps)  # for what it raises
    descent = PUBLISHED if PUBLISHED.rate_at(steps - 1) > 0 else PAPER
    for number, case in enumerate(cases, start=1):
        tell = numbered(on_progress, number, len(cases))
        null_text = NullText(steps=steps, inner_steps=inner_steps, descent=descent)
        optimised, check = _gap(model, case, null_text, GAP, tell)
        yield check
        yield _gap(model, case, DirectInversion(steps=steps), EXACT_GAP, tell)[1]
        yield _identity(model, case, optimised or DDIM(steps=steps)(model, case.image, case.prompt, tell), tell)


def _gap(
    model: Model, case: Case, inverter: Inverter, bound: float, on_progress: OnProgress
) -> tuple[Inversion | None, Check]:
    """By how much a reconstruction stays below what the autoencoder alone gives."""
    check = Check(image=case.name, name=f"{type(inverter).__name__} below the autoencoder", bound=bound, unit="dB")
    try:
        inversion = inverter(model, case.image, case.prompt, on_progress)
    except NulltextError as error:
        return None, check.without(error)
    return inversion, check.found(inversion.scores.vae_psnr - inversion.scores.psnr)


def _identity(model: Model, case: Case, inversion: Inversion, on_progress: OnProgress) -> Check:
    """By how much an edit to the very same prompt differs from the reconstruction."""
    check = Check(image=case.name, name="edit to the same prompt", bound=LEVELS, unit="of 255")
    try:
        edit = PromptToPrompt()(model, inversion, case.prompt, on_progress)
    except NulltextError as error:
        return check.without(error)
    return check.found((edit.pixels - edit.source).abs().max().item() * 255 / 2)


@final
@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a denoiser is asked of an image, and says, on the CPU.

    Attributes:
        case: The image.
        x: Its latents, half way to noise.
        t: The time there.
        output: The network's.
        dtype: Its precision.
        rounding: Of that.
    """

    case: Case
    x: Latents
    t: float
    output: Latents
    dtype: torch.dtype
    rounding: float


def answers(model: Model, cases: Sequence[Case], steps: int) -> list[Answer]:
    """One evaluation of each image, half way to noise, under its prompt."""
    found: list[Answer] = []
    for case in cases:
        z0 = model.encode(case.image.pixels).cpu()
        noise = torch.randn(z0.shape, generator=torch.Generator().manual_seed(0))
        size = (case.image.pixels.shape[-2], case.image.pixels.shape[-1])
        interval = model.schedule(steps, size)[steps // 2]
        found.append(_asked(model, case, combine(z0, noise, interval.noisy), interval.t))
    return found


@torch.no_grad()
def _asked(model: Model, case: Case, x: Latents, t: float) -> Answer:
    size = (case.image.pixels.shape[-2], case.image.pixels.shape[-1])
    output = model.predict(x.to(model.device), t, embed_prompts(model, [case.prompt], size)).cpu()
    return Answer(case=case, x=x, t=t, output=output, rounding=rounding_of(model), dtype=model.dtype)


def compared(known: Sequence[Answer], load: Callable[[], Model]) -> Iterator[Check]:
    """The answers of a model against those of the same in another precision, which is loaded for it.

    Args:
        known: The answers.
        load: Loads the other.
    """
    finer = f"{str(known[0].dtype).removeprefix('torch.')} against another precision"
    try:
        other = load()
        theirs = [_asked(other, each.case, each.x, each.t) for each in known]
    except (NulltextError, torch.OutOfMemoryError) as error:
        yield Check(image="all", name=finer, bound=0.0, unit="").without(error)
        return
    for ours, its in zip(known, theirs, strict=True):
        name = " against ".join(str(each.dtype).removeprefix("torch.") for each in (ours, its))
        bound = ROUNDINGS * max(ours.rounding, its.rounding)
        check = Check(image=ours.case.name, name=name, bound=bound, unit="of the output")
        off = float((ours.output - its.output).square().sum().sqrt() / its.output.square().sum().sqrt())
        yield check.found(off if math.isfinite(off) else math.inf)
