"""Direct inversion.

Ju et al., "PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code", arXiv 2310.01506, which calls it
that. Nothing is optimised. The pivot is kept, and whatever draws the source puts it back there after every step; edits
beside it follow a source that is exact, and are guided by the null caption as it is.
"""

from dataclasses import dataclass, field
from typing import final

from nulltext.checks import Count, Guidance, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import inverting
from nulltext.inversion.base import Inversion, finish
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, silent


@final
@dataclass(frozen=True, kw_only=True)
class DirectInversion:
    """A pivot that the source is held on.

    The paper stores what the guided sampler is off the pivot at every step and takes it off again where the source is
    drawn (its algorithm 1). That leads back to the pivot itself, so the pivot is all that has to be stored, and serves
    at every guidance. The source comes back as well as the autoencoder can bring it, by construction.

    Attributes:
        steps: T.
        guidance: The weight w of edits unless they ask for another; None is the model's own, 7.5 for Stable Diffusion.
        fixed_point: How well the steps of the pivot are solved; None is the paper's plain DDIM inversion.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    guidance: Guidance | None = None
    fixed_point: FixedPoint | None = field(default_factory=FixedPoint)

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
        guided = Guided(model, embed_captions(model, [caption]), 1.0)
        pivot = yield from inverting(
            guided,
            schedule,
            model.encode(photo.pixels),
            model.embed([""]),
            on_progress,
            fixed_point=self.fixed_point,
        )
        return finish(
            self,
            model,
            photo,
            caption=caption,
            guidance=model.guidance if self.guidance is None else self.guidance,
            schedule=schedule,
            pivot=pivot,
            nulls=None,
            reconstruction=pivot[-1:],
            held=True,
        )
