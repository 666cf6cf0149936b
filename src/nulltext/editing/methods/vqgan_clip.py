"""VQGAN-CLIP: the autoencoder's latents moved until CLIP sees the prompt (Crowson et al., arXiv 2204.08583)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nulltext.bars import teller
from nulltext.checks import Count, Rate, Seed, Weight, check_numbers
from nulltext.editing.base import Edit, filled, in_force, listed_prompts, recommended
from nulltext.editing.spelled import AUTOENCODER, CLIP
from nulltext.editing.views import Views
from nulltext.images import to_pixels
from nulltext.inversion.base import Inversion
from nulltext.models.base import Autoencoder, Model, embed_prompts
from nulltext.models.capabilities import quantised_of
from nulltext.models.clip import Clip, clip_for, spherical
from nulltext.progress import OnProgress, Progress, Telling, numbered, silent
from nulltext.types import Latents, Pixels

VIEWS: Final = Views(smallest=0.6, tilt=0.2, jitter=0.1, noise=0.1)
"""Of each image that CLIP judges."""


@final
@dataclass(frozen=True, kw_only=True)
class VQGANCLIP:
    """Adam on the image's own latents, by how near CLIP finds random views of the image to the new prompt.

    Of the inversion it takes the image alone. Nothing but `keep` holds the result near the image.

    Attributes:
        iterations: Steps of Adam for each prompt.
        learning_rate: Adam's; None is what the model recommends, and the authors' 0.1 if it says nothing.
        cutouts: Random views that CLIP judges in each step; None is what the model recommends, and the authors' 32 if
            it says nothing.
        keep: Weight of the mean-squared distance of the latents from where they started.
        seed: Of the views, the same for every prompt.
        clip: What judges; None for the embedded model's own.
        autoencoder: Whose latents are moved; None for the checkpoint's with a codebook if it holds one, else its own.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        min over z of mean over views of d(CLIP(view(decode(z))), CLIP(C'))² + keep ‖z - z_0‖²
    """

    iterations: Count = 100
    learning_rate: Rate | None = field(default=None, metadata=recommended("vqgan_clip_learning_rate"))
    cutouts: Count | None = field(default=None, metadata=recommended("vqgan_clip_cutouts"))
    keep: Weight = 0.1
    seed: Seed = 0
    clip: Annotated[Clip | None, CLIP] = None
    autoencoder: Annotated[Autoencoder | None, AUTOENCODER] = None

    def __post_init__(self) -> None:
        check_numbers(self)

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`. The edit's `source` is the image through the autoencoder.

        Progress is reported for every step, phase "optimise", of the prompts in turn.

        Raises:
            MismatchError: Another model or schedule than the inversion's.
            PromptError: A prompt is empty, too long, or has an unknown word.
            SettingError: No CLIP is given and the model is not the embedded one, or the autoencoder cannot take the
                image's size.
        """
        on_progress = teller(on_progress)
        if (own := in_force(self, model)) is not self:
            return own(model, inversion, prompts, on_progress)
        wanted = listed_prompts(prompts)
        inversion.check(model)
        embed_prompts(model, wanted)  # for what it raises
        clip = clip_for(model, self.clip)
        autoencoder = self.autoencoder or quantised_of(model) or model
        start = autoencoder.encode(to_pixels(inversion.image).to(model.device))
        output: list[Pixels] = []
        for number, prompt in enumerate(wanted, start=1):
            text = clip.texts([prompt])[0]  # alone: Adam makes much of how a batch is rounded
            tell = numbered(on_progress, number, len(wanted))
            output.append(autoencoder.decode(self._optimise(clip, autoencoder, start, text, tell)).cpu())
        source = autoencoder.decode(start).cpu()
        return Edit(
            prompts=wanted,
            pixels=torch.cat(output),
            source=source,
            frame=inversion.frame,
            settings=(self,) * len(wanted),
        )

    def _optimise(
        self, clip: Clip, autoencoder: Autoencoder, start: Latents, text: Tensor, on_progress: OnProgress
    ) -> Latents:
        """The latents whose image CLIP finds nearest to a prompt's embedding `text`, [D], after all steps."""
        generator = torch.Generator().manual_seed(self.seed)
        latents = start.clone().requires_grad_()
        adam = torch.optim.Adam([latents], lr=filled(self.learning_rate))
        for step in range(1, self.iterations + 1):
            with torch.enable_grad():
                views = VIEWS(autoencoder.decode(latents), filled(self.cutouts), (clip.side, clip.side), generator)
                loss = spherical(clip.images(views), text).mean()
                (loss + self.keep * F.mse_loss(latents, start)).backward()
            adam.step()
            adam.zero_grad()
            on_progress(Progress("optimise", step, self.iterations, loss.item()))
        return latents.detach()
