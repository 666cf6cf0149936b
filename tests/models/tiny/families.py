"""A tiny pipeline of the real classes for each family, and what is a family's own where all are tested alike."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from tests.models.tiny import (
    deepfloyd,
    flux,
    kandinsky_2_2,
    latent_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
    unclip,
)
from tests.models.tiny.encoders import build_clip, build_t5

import nulltext

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A family's row. What is None is not tested: it has no meaning there, or the family's own file says more of it.

    Attributes:
        build: (makes a CLIP's tokenizer of a length, an empty folder) -> the pipeline.
        unused: Folders of it that are not read.
        size: (height, width) of images; None for the model's own.
        draws: Whether it draws prompts.
        words: Whether the denoiser is told of a prompt's words.
        there_and_back: Steps, guidance scale and iterations of a fixed point with which DDIM inversion leads back.
        kept: What inverts an image for a file,
        edited: and what edits the file, in a model that was loaded anew
        again: with these settings,
        near: and by how much the edit may then differ.
        exact: By how much direct inversion may miss the image's latents.
        together: What inverts two images at once,
        beside: the (height, width) of the second,
        alone: and by how much each may differ from itself alone.
        halves: Whether half precision is near float32, in output and gradient.
    """

    build: Callable[[Any, Path], Any]
    unused: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    draws: bool = True
    words: bool = True
    there_and_back: tuple[int, float, int] | None = None
    kept: Any = None
    edited: Any = None
    again: dict[str, Any] | None = None
    near: float = 0.0
    exact: float = 1e-6
    together: Any = None
    beside: tuple[int, int] = (64, 64)
    alone: float = 1e-4
    halves: bool = True


def _with_clip(module, tokenizer_of):
    tokenizer = tokenizer_of(module.LENGTH)
    return module.build_pipeline(tokenizer, build_clip(tokenizer, module.WIDTH))


DIRECT = nulltext.DirectInversion(steps=2)
FAMILIES = {
    "flux dev": Tiny(
        build=lambda tokenizer, _: flux.build_pipeline(tokenizer(24), guided=True),
        there_and_back=(4, 3.5, 12),  # at a guidance scale as well, since that is an input like any other
        kept=DIRECT,
        edited=nulltext.PromptSwap(),
        together=DIRECT,
        alone=1e-5,
    ),
    "flux schnell": Tiny(
        build=lambda tokenizer, _: flux.build_pipeline(tokenizer(24), guided=False),
        kept=DIRECT,
        edited=nulltext.PromptSwap(),
        halves=False,
    ),
    "stable diffusion 3": Tiny(
        build=lambda tokenizer, _: stable_diffusion_3.build_pipeline(tokenizer(stable_diffusion_3.LENGTH)),
        there_and_back=(3, 1.0, 10),
    ),
    "stable diffusion 3 with T5": Tiny(
        build=lambda tokenizer, _: stable_diffusion_3.build_pipeline(tokenizer(stable_diffusion_3.LENGTH), build_t5),
    ),
    "kandinsky 2.2": Tiny(
        build=lambda tokenizer, _: _with_clip(kandinsky_2_2, tokenizer),
        size=(32, 48),
        words=False,
        there_and_back=(2, 1.0, 12),
        kept=nulltext.NullText(steps=2, inner_steps=2),
        edited=nulltext.TextDiff(),
        again={"low_memory": True},
        near=1e-4,
    ),
    "unclip": Tiny(
        build=lambda tokenizer, _: _with_clip(unclip, tokenizer),
        unused=("super_res_first", "super_res_last", "super_res_scheduler"),
        draws=False,
        words=False,
        there_and_back=(2, 1.0, 12),
        kept=DIRECT,
        edited=nulltext.TextDiff(strength=0.4),
        again={"low_memory": True},
        near=1e-4,
    ),
    "deepfloyd": Tiny(
        build=lambda _, __: deepfloyd.build_pipeline(build_t5),
        size=(32, 48),
        there_and_back=(4, 1.0, 12),
        kept=nulltext.DirectInversion(steps=3),
        edited=nulltext.PromptToPrompt(),
        near=1e-5,
        exact=0.0,
        together=nulltext.NegativePrompt(steps=2),
        beside=(32, 32),
        halves=False,
    ),
    "latent diffusion": Tiny(build=lambda _, folder: latent_diffusion.build_pipeline(folder), halves=False),
    "stable diffusion xl": Tiny(
        build=lambda tokenizer, _: stable_diffusion_xl.build_pipeline(tokenizer),
        size=(48, 80),
        together=nulltext.NegativePrompt(steps=2, guidance=3.0),
        halves=False,
    ),
}


@dataclass(frozen=True)
class Made:
    """A family's pipeline, the folder that it is saved in, and the model that is read from there; each made once."""

    row: Tiny
    tokenizer_of: Any
    make_folder: Callable[[], Path]
    photograph: Any

    @cached_property
    def pipeline(self):
        pipeline = self.row.build(self.tokenizer_of, self.make_folder())
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @cached_property
    def folder(self):
        folder = self.make_folder()
        self.pipeline.save_pretrained(folder)
        for name in self.row.unused:
            rmtree(folder / name)
        return folder

    @cached_property
    def model(self) -> Any:
        return nulltext.load(self.folder, device="cpu")

    @cached_property
    def source(self):
        return nulltext.open_image(self.photograph, self.model, size=self.row.size)

    @cached_property
    def direct(self):
        """The photograph, inverted by direct inversion in 2 steps."""
        return DIRECT(self.model, self.source, PROMPT)

    def noise(self, seed, *, batch=1):
        """Noise of the size of the photograph's latents."""
        height, width = (side // self.model.scale for side in self.source.pixels.shape[-2:])
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, self.model.latent_channels, height, width, generator=generator)

    def told(self, model, *prompts):
        """What a model of this family is told of prompts, or of the images that they could describe."""
        return model.embed(prompts) if self.row.draws else model.images.told(model.images.read(prompts))
