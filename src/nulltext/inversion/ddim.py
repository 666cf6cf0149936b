"""DDIM inversion, alone: the sampler run backwards."""

from dataclasses import dataclass
from typing import final

from nulltext.checks import Count, Guidance, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import inverting, sampling
from nulltext.inversion.base import Inversion, finish
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, silent


@final
@dataclass(frozen=True, kw_only=True)
class DDIM:
    """Plain DDIM inversion.

    With w = 1 the trajectory leads back to a picture close to the source, at w = 1; under the guidance that editing
    needs it drifts away. With w > 1 the guidance amplifies every step's error already on the way to noise.

    Attributes:
        steps: T.
        guidance: The weight w of the inversion, and of the reconstruction unless another is asked for.
        fixed_point: How well the steps are solved, so that sampling at that weight leads back; None is the plain
            inversion.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    guidance: Guidance = 1.0
    fixed_point: FixedPoint | None = None

    def __post_init__(self) -> None:
        check_numbers(self)

    def __call__(self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent) -> Inversion:
        """Inverts a photograph; see `nulltext.inversion.base.Inverter`.

        Raises:
            SettingError: `steps` is out of range for the model.
            CaptionError: The caption is empty, too long, or has an unknown word.
            DivergedError: Numbers became infinite or not-a-number.
        """
        return alone(model, self.inverting(model, photo, caption, on_progress))

    def inverting(
        self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent
    ) -> Evaluations[Inversion]:
        """The inversion at work; see `nulltext.inversion.base.Inverter`."""
        schedule = model.schedule(self.steps)
        cond, null = embed_captions(model, [caption]), model.embed([""])
        guided = Guided(model, cond, self.guidance)
        pivot = yield from inverting(
            guided, schedule, model.encode(photo.pixels), null, on_progress, fixed_point=self.fixed_point
        )
        drawn = yield from sampling(guided, schedule, pivot[:1], [null] * len(schedule), on_progress)
        return finish(
            self,
            model,
            photo,
            caption=caption,
            guidance=self.guidance,
            schedule=schedule,
            pivot=pivot,
            nulls=None,
            reconstruction=drawn,
        )
