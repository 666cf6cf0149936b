"""What the methods are held against: the network called directly, and DDIM from its formula."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from tests.inversion.rewriting import PROMPT

from nulltext import NullText
from nulltext.models.base import Model
from nulltext.models.loading import load


@pytest.fixture(scope="session")
def any_model(request: pytest.FixtureRequest, folder: Callable[[str], Path]) -> Model:
    """A tiny epsilon model. What a method is held against by the papers' equations asks for both kinds."""
    return load(folder(getattr(request, "param", "epsilon")), device="cpu")


@pytest.fixture(scope="module")
def inversion(model, source_image):
    """What is kept in a file; modules that ask more of it have their own."""
    return NullText(steps=3, inner_steps=1)(model, source_image, PROMPT)


@pytest.fixture
def path(inversion, tmp_path):
    """The file."""
    return inversion.save(tmp_path / "a.safetensors")


class Plain:
    """A tiny model's parts, an image and a prompt, in as many words as the papers use."""

    def __init__(self, model, pixels, prompt, steps):
        self.unet, self.v, self.steps = model.denoiser, model.prediction == "v_prediction", steps
        self.stride = 1000 // steps
        self.times = [1 + self.stride * i for i in reversed(range(steps))]  # t = T ... 1
        self.alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
        with torch.no_grad():
            self.cond, self.null = (
                model.text.network(
                    model.text.tokenizer(
                        text,
                        padding="max_length",
                        max_length=model.text.tokenizer.model_max_length,
                        return_tensors="pt",
                    ).input_ids
                )[0]
                for text in (prompt, "")
            )
            self.z0 = (
                model.autoencoder.network.encode(pixels).latent_dist.mode()
                * model.autoencoder.network.config.scaling_factor
            )

    def level(self, t):
        """Square roots of what of the variance is image and what is noise; before the first step as at time 0."""
        alpha = self.alphas[max(t, 0)]
        return alpha.sqrt(), (1 - alpha).sqrt()

    def noised(self, noise, t):
        a, s = self.level(t)
        return a * self.z0 + s * noise

    def eps(self, z, out, t):
        a, s = self.level(t)
        return a * out + s * z if self.v else out

    def step(self, z, out, t_from, t_to):
        (a, s), (a_to, s_to), eps = self.level(t_from), self.level(t_to), self.eps(z, out, t_from)
        x0 = a * z - s * out if self.v else (z - s * eps) / a
        return a_to * x0 + s_to * eps

    def guided(self, z, t, null, cond, w):
        of_null, of_cond = self.unet(z, t, null).sample, self.unet(z, t, cond).sample
        return of_null + w * (of_cond - of_null)

    def land(self, z, t, null, cond, w):
        """Where the guided step from t leads."""
        return self.step(z, self.guided(z, t, null, cond, w), t, t - self.stride)

    def ddim_pivot(self):
        """The trajectory of DDIM inversion with w = 1, z_T first."""
        z, pivot = self.z0, [self.z0]
        with torch.no_grad():
            for t in reversed(self.times):
                z = self.step(z, self.unet(z, t, self.cond).sample, t - self.stride, t)
                pivot.append(z)
        return pivot[::-1]

    def random_pivot(self, noise):
        return [*(self.noised(noise, t) for t in self.times), self.z0]

    def sampled(self, z, nulls, cond, w):
        """z_0 as drawn from z_T."""
        with torch.no_grad():
            for t, null in zip(self.times, nulls, strict=True):
                z = self.land(z, t, null, cond, w)
        return z


@pytest.fixture(scope="session")
def plain() -> Callable[..., Plain]:
    return Plain


@pytest.fixture(scope="session")
def passes_with_gradient() -> Callable[..., AbstractContextManager[list[int]]]:
    """Counts a model's passes that a gradient can flow back through: the batch of each."""

    @contextmanager
    def counted(model) -> Iterator[list[int]]:
        batches: list[int] = []

        def count(module, args, output):
            if output.sample.requires_grad:
                batches.append(len(output.sample))

        handle = model.denoiser.register_forward_hook(count)
        try:
            yield batches
        finally:
            handle.remove()

    return counted
