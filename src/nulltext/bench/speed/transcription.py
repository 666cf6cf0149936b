"""The published algorithm as its authors' notebook runs it: what `nulltext bench speed` compares with.

One image at a time, every operation where the notebook has it: the network's weights ask for gradients although
nothing uses them, the prompt's half is computed for the optimisation and again for the step that follows it, and
attention is not fused.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.adam import Adam

from nulltext.diffusion.levels import Interval, denoise, renoise
from nulltext.images import SourceImage
from nulltext.inversion.stopping import PUBLISHED, DescentSchedule
from nulltext.models.base import Model
from nulltext.models.unoptimised import unoptimised
from nulltext.types import Embeddings, Latents


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Transcription:
    """The published algorithm: `model` gives latents, embeddings and schedule; `unet` is its network, `unoptimised`."""

    model: Model
    unet: nn.Module
    steps: int = 50
    inner_steps: int = 10
    guidance: float = 7.5
    descent: DescentSchedule = PUBLISHED

    @classmethod
    def of(
        cls, model: Model, *, steps: int, inner_steps: int, guidance: float, descent: DescentSchedule = PUBLISHED
    ) -> "Transcription":
        """With a copy of the model's own network."""
        return cls(
            model=model,
            unet=unoptimised(model.denoiser),
            steps=steps,
            inner_steps=inner_steps,
            guidance=guidance,
            descent=descent,
        )

    def __call__(self, image: SourceImage, prompt: str) -> Latents:
        """[1, C, h, w] where the guided sampler ends with the embeddings optimised for a photograph."""
        model, w = self.model, self.guidance
        schedule = model.schedule(self.steps)
        null, cond = model.null().text, model.embed([prompt]).text
        z = model.encode(image.pixels)
        pivot = [z]
        with torch.no_grad():
            for interval in reversed(schedule):
                z = renoise(z, self._predict(z, interval, cond), interval, model.prediction)
                pivot.append(z)
            z = pivot[-1]
        for i, interval in enumerate(schedule):
            null = null.clone().detach().requires_grad_()
            adam = Adam([null], lr=self.descent.rate_at(i))
            target = pivot[len(schedule) - i - 1]
            with torch.no_grad():
                of_cond = self._predict(z, interval, cond)
            for _ in range(self.inner_steps):
                of_null = self._predict(z, interval, null)
                output = of_null + w * (of_cond - of_null)
                loss: Tensor = mse_loss(denoise(z, output, interval, model.prediction), target)
                adam.zero_grad()
                loss.backward()
                adam.step()
                if loss.item() < self.descent.tolerance_at(i):
                    break
            with torch.no_grad():
                both = self._predict(torch.cat([z, z]), interval, torch.cat([null, cond]))
                output = both[:1] + w * (both[1:] - both[:1])
                z = denoise(z, output, interval, model.prediction)
        return z

    def _predict(self, z: Latents, interval: Interval, text: Embeddings) -> Latents:
        answer: Any = self.unet(z.to(self.model.dtype), interval.t, text.to(self.model.dtype))
        return answer.sample.float()
