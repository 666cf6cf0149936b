"""Text2LIVE: a network of the image's own that paints a layer over it (Bar-Tal et al., arXiv 2204.02491).

The layer has colours and an opacity. The losses are those of section 3.1, with the weights and the schedule of the
authors' published code; its bootstrap, which wants a text of its own for the region to change, is left out, and Adam
stands for MADGRAD.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from nulltext.bars import teller
from nulltext.checks import Count, Rate, Seed, Weight, check_finite, check_numbers
from nulltext.editing.base import Edit, filled, in_force, listed_prompts, recommended
from nulltext.editing.spelled import CLIP
from nulltext.editing.views import Views
from nulltext.errors import SettingError, shown
from nulltext.images import to_pixels
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, embed_prompts
from nulltext.models.clip import Clip, clip_for, spherical
from nulltext.progress import OnProgress, Progress, Telling, numbered, silent
from nulltext.types import Masks, OnePixels, Pixels

VIEWS: Final = Views(smallest=0.6, tilt=0.2, jitter=0.1)
"""What CLIP judges of each image."""
PAINTED: Final = Views(smallest=0.85, jitter=0.1)
"""What the network paints over while it learns: the image alone would teach it that one only."""
WHOLE_EVERY: Final = 75
"""Every so many steps, the first among them, it paints over the whole image."""
GREEN: Final = (0.0, 177 / 255, 64 / 255)
"""The screen that a layer is laid on to see it alone."""
DECAY: Final = 0.99
LEAST_RATE: Final = 1e-5
"""The learning rate falls by `DECAY` with every step, down to this."""


@final
@dataclass(frozen=True, kw_only=True)
class Text2LIVE:
    """A generator trained for one image and prompt, by what CLIP says of the image with its layer on it.

    Of the inversion it takes the image and its prompt. Weights and rate are the authors'. Steps, views and width are
    by default what the model recommends, and the authors' 1000, 16 and 128 if it says nothing.

    Attributes:
        iterations: Steps of training for each prompt.
        learning_rate: Adam's in the first step.
        composition: Weight of the distances of the edited image from the new prompt, and of the change of the
            image from the change of prompt (eq. 3).
        screen: Weight of the distance of the layer on a green screen from `screen_prompt` (eq. 4).
        structure: Weight of the change of how alike CLIP's patches are among themselves (eq. 5).
        sparsity: Weight of the layer's opacity, by its mean and by its pseudo-L0 alike (eq. 6).
        screen_prompt: What the layer on its screen shows, {} being the new prompt.
        views: Random views that CLIP judges in each step.
        width: Channels of the generator.
        scales: How often it halves the image; less for small ones.
        seed: Of the generator's weights and of the views, the same for every prompt.
        clip: What judges; None for the embedded model's own.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        image' = α colours + (1 - α) image
        min over the network of composition + screen + structure + sparsity
    """

    iterations: Count | None = field(default=None, metadata=recommended("text2live_iterations"))
    learning_rate: Rate = 2.5e-3
    composition: Weight = 1.0
    screen: Weight = 1.0
    structure: Weight = 2.0
    sparsity: Weight = 0.06
    screen_prompt: str = "{} over a green screen"
    views: Count | None = field(default=None, metadata=recommended("text2live_views"))
    width: Count | None = field(default=None, metadata=recommended("text2live_width"))
    scales: Count = 7
    seed: Seed = 0
    clip: Annotated[Clip | None, CLIP] = None

    def __post_init__(self) -> None:
        check_numbers(self)
        if "{}" not in self.screen_prompt:
            raise SettingError(
                f"screen_prompt: got {shown(self.screen_prompt)}; expected {{}} where the prompt belongs."
            )

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`.

        The edit's `source` is the fitted image itself, which no autoencoder touches here, and its `masks` are the
        layers' opacities. Progress is reported for every step, phase "optimise", of the prompts in turn.

        Raises:
            MismatchError: Another model or schedule than the inversion's.
            PromptError: A prompt is empty, too long, or has an unknown word.
            SettingError: No CLIP is given and the model is not the embedded one.
            DivergedError: The images became infinite or not-a-number.
        """
        on_progress = teller(on_progress)
        if (own := in_force(self, model)) is not self:
            return own(model, inversion, prompts, on_progress)
        wanted = listed_prompts(prompts)
        inversion.check(model)
        embed_prompts(model, wanted)  # for what it raises
        clip = clip_for(model, self.clip)
        source = to_pixels(inversion.image)
        layers = [
            self._train(
                clip,
                source.to(model.device),
                clip.texts([inversion.prompt, prompt, self.screen_prompt.replace("{}", prompt)]),
                numbered(on_progress, number, len(wanted)),
            )
            for number, prompt in enumerate(wanted, start=1)
        ]
        colours, opacities = (torch.cat(part).cpu() for part in zip(*layers, strict=True))
        output = lay(colours, opacities, source)
        check_finite("image", output, advice="Take a lower learning_rate.")
        return Edit(
            prompts=wanted,
            pixels=output,
            source=source,
            frame=inversion.frame,
            masks=opacities,
            settings=(self,) * len(wanted),
        )

    def _train(self, clip: Clip, source: OnePixels, texts: Tensor, on_progress: OnProgress) -> tuple[Pixels, Masks]:
        """The layer over an image, for what CLIP says of its prompt, the new one and the layer's own, [3, D]."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # modules take their first weights from nowhere else
            painter = _Painter(filled(self.width), self.scales, source.shape[-2:]).to(source.device)
        adam = torch.optim.Adam(painter.parameters(), lr=self.learning_rate)
        fade = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: max(DECAY**step, LEAST_RATE / self.learning_rate))
        size, iterations = (source.shape[-2], source.shape[-1]), filled(self.iterations)
        for step in range(iterations):
            before = source if step % WHOLE_EVERY == 0 else PAINTED(source, 1, size, generator).clamp(-1, 1)
            with torch.enable_grad():
                loss = self._loss(clip, before, painter(before), texts, generator)
                loss.backward()
            adam.step()
            adam.zero_grad()
            fade.step()
            on_progress(Progress("optimise", step + 1, iterations, loss.item()))
        with torch.no_grad():
            return painter(source)

    def _loss(
        self, clip: Clip, before: OnePixels, layer: tuple[Pixels, Masks], texts: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Eq. 2, for one layer over one image; `texts` as in `_train`."""
        (colours, opacity), (old, new, screen_text) = layer, texts
        edited = lay(colours, opacity, before)
        screened = lay(colours, opacity, (torch.tensor(GREEN, device=before.device) * 2 - 1)[None, :, None, None])
        images = VIEWS(torch.cat([before, edited, screened]), filled(self.views), (clip.side, clip.side), generator)
        was, became, on_screen = clip.images(images).chunk(3)
        composition = spherical(became, new).mean() + (1 - F.cosine_similarity(became - was, new - old)).mean()
        screen = spherical(on_screen, screen_text).mean()
        kept, changed = (patches @ patches.mT for patches in clip.patches(torch.cat([before, edited])))
        structure = F.mse_loss(changed, kept)
        sparsity = (opacity + 2 * (5 * opacity).sigmoid() - 1).mean()
        return (
            self.composition * composition
            + self.screen * screen
            + self.structure * structure
            + self.sparsity * sparsity
        )


def lay(colours: Pixels, opacity: Masks, ground: Float[Tensor, "#batch 3 #height #width"]) -> Pixels:
    """A layer over what is below it: eq. 1."""
    return opacity * colours + (1 - opacity) * ground


class _Painter(nn.Module):
    """The authors' generator: an hourglass with narrow skips (Ulyanov et al., arXiv 1711.10925), normalised by image.

    Args:
        width: Channels.
        scales: How often it halves the image, at most to 4 x 4.
        size: (height, width) of the image.
    """

    def __init__(self, width: int, scales: int, size: Sequence[int]) -> None:
        super().__init__()
        scales = max(1, min(scales, min(size).bit_length() - 3))
        inputs = [3, *[width] * (scales - 1)]
        self.down = nn.ModuleList(
            nn.Sequential(_layer(inner, width, 3, stride=2), _layer(width, width, 3)) for inner in inputs
        )
        self.skip = nn.ModuleList(_layer(inner, _NARROW, 1) for inner in inputs)
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.InstanceNorm2d(width + _NARROW, affine=True),
                _layer(width + _NARROW, width, 3),
                _layer(width, width, 1),
            )
            for _ in inputs
        )
        self.out = nn.Conv2d(width, 4, 1)

    def forward(self, pixels: OnePixels) -> tuple[Pixels, Masks]:
        """Colours [1, 3, H, W] in [-1, 1] and opacity [1, 1, H, W] in [0, 1] of the layer over an image."""
        x, skipped = pixels, list[Tensor]()
        for down, skip in zip(self.down, self.skip, strict=True):
            skipped.append(skip(x))
            x = down(x)
        for up, beside in zip(reversed(self.up), reversed(skipped), strict=True):
            x = F.interpolate(x, size=beside.shape[-2:], mode="bilinear")
            x = up(torch.cat([beside, x], 1))
        layer = self.out(x).sigmoid()
        return layer[:, :3] * 2 - 1, layer[:, 3:]


_NARROW: Final = 4


def _layer(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, padding_mode="reflect"),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.LeakyReLU(0.2),
    )
