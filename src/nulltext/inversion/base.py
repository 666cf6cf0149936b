"""What an inversion is, what makes one, and how one is kept."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from PIL import Image

from nulltext.checks import Guidance, Range, check_finite, check_numbers, checked
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError
from nulltext.images import Frame, to_image, to_pixels
from nulltext.inversion import file, match
from nulltext.inversion.record import GENERATED, write_record
from nulltext.inversion.replay import Replay
from nulltext.models.base import Model, ModelIdentity
from nulltext.showing import brief, html_images, html_table, png
from nulltext.types import ImageBytes, OnePixels, Trajectory

Decibels = Annotated[float, Range(infinite=True)]
"""Infinite of two images that are the same."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a photograph survives, over the fitted image; decibels, higher is better.

    Attributes:
        vae_psnr: Through the autoencoder and back: the bound for any inversion.
        psnr: Reconstructed from the inversion at its own guidance.
    """

    vae_psnr: Decibels
    psnr: Decibels

    def __post_init__(self) -> None:
        check_numbers(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inversion:
    """A photograph inverted into a model. Everything is in sampling order, from noise to image; T is the steps.

    Attributes:
        prompt: The source prompt.
        negative_prompt: What stood in the null text's place, and does in edits; "" for the null text.
        pivot: [T+1, C, h, w] the trajectory; ``pivot[0]`` is z_T, ``pivot[-1]`` is z_0, and step i of the schedule
            leads from ``pivot[i]`` to ``pivot[i + 1]``. On the CPU, float32.
        replay: How the source branch is sampled again. On the CPU, float32.
        guidance: The guidance scale w that it was made for.
        method: The method's name.
        settings: The method's settings.
        schedule: The intervals walked.
        model: Which weights it was made with.
        image: [H, W, 3] the fitted source, bytes.
        frame: Where the fitted source lies in the photograph.
        sha256: Digest of the input image.
        scores: How well the photograph survived.
        version: The version of the package that made it.
        reconstruction: [H, W, 3] the fitted source as it comes back, bytes. None of what was generated, and of a file,
            which does not hold it; `nulltext.reconstruct` draws it.

    Raises:
        SettingError: A number in it is infinite or not-a-number.
    """

    prompt: str
    negative_prompt: str = ""
    pivot: Trajectory
    replay: Replay
    guidance: Guidance
    method: str
    settings: Mapping[str, Any]
    schedule: Schedule
    model: ModelIdentity
    image: ImageBytes
    frame: Frame
    sha256: str
    scores: Scores
    version: str
    reconstruction: ImageBytes | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        again = "Invert the image again."
        check_finite("pivot", self.pivot, error=SettingError, advice=again)
        self.replay.check_finite(error=SettingError, advice=again)

    __repr__ = brief

    def _repr_html_(self) -> str:
        """Source and reconstruction, how it was inverted and how well, in a notebook."""
        images = [(to_image(to_pixels(self.image)), "source")]
        if self.reconstruction is not None:
            images.append((to_image(to_pixels(self.reconstruction)), "reconstruction"))
        given = (f"{name}={value}" for name, value in self.settings.items() if value is not None and value != "")
        rows = {
            "prompt": self.prompt,
            **({"negative prompt": self.negative_prompt} if self.negative_prompt else {}),
            "method": f"{self.method}, {len(self.schedule)} steps, guidance {self.guidance:g}",
            "PSNR": f"{self.scores.psnr:.2f} dB of at most {self.scores.vae_psnr:.2f} dB",
            "gap": f"{self.scores.vae_psnr - self.scores.psnr:.2f} dB",
            "model": self.model.id,
            "recipe": f"{self.method}({', '.join(given)})",
        }
        return f"{html_images(images)}\n{html_table(list(rows.items()))}"

    def _repr_png_(self) -> bytes:
        """The source image, where no HTML is shown."""
        return png(to_image(to_pixels(self.image)))

    @property
    def photograph(self) -> ImageBytes | None:
        """[H, W, 3] the fitted source, bytes; None where it was generated from its prompt."""
        return None if self.method == GENERATED else self.image

    def check(self, model: Model, guidance: float | None = None) -> float:
        """Makes sure that a model and a guidance are those it was made with.

        Args:
            model: The model about to be used.
            guidance: The guidance about to be used; None for the inversion's own.

        Returns:
            The guidance to use.

        Raises:
            MismatchError: The weights, the schedule, or the size of latents or embeddings differ, or optimised
                embeddings are used at another guidance.
            SettingError: The guidance is no finite number.
        """
        guidance = checked("guidance", guidance, Guidance | None)
        match.check_weights(self.model, self.version, model)
        match.check_schedule(self.schedule, self.frame, model)
        match.check_latents(self.pivot, self.frame, model)
        match.check_embeddings(self.replay, model)
        if guidance is None:
            return self.guidance
        match.check_guidance(self.replay, self.guidance, guidance)
        return guidance

    def corrected(self) -> "Inversion":
        """The same with the source put back on the pivot after every step, unless its replay corrects it anyway."""
        return (
            self
            if self.replay.exact
            else replace(self, replay=replace(self.replay, corrected="source"), reconstruction=None)
        )

    def restore(self, pixels: OnePixels) -> Image.Image:
        """A result, [1, 3, H, W] in [-1, 1], put back into the photograph: an image of the photograph's size."""
        return self.frame.restore(pixels)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes an inversion file, whole or not at all.

        Args:
            path: Where to; ends in ``.safetensors``.
            overwrite: Whether a file already there may be replaced.

        Returns:
            The path.

        Raises:
            SettingError: It is not what an inversion file can hold, or the name does not end so.
            OutputExistsError: There is something and `overwrite` is off.
            OutputWriteError: Disk full, no permission, no such folder.
        """
        tensors, record = write_record({field.name: getattr(self, field.name) for field in fields(self)})
        return file.write(path, tensors, record, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Inversion":
        """Reads an inversion file and checks it.

        Raises:
            InversionFileNotFoundError: There is no such file.
            DamagedFileError: It is truncated or altered, or what stands in it does not agree.
            ForeignFileError: It holds something else.
            FileVersionError: It was written in a format this version does not read.
        """
        found = file.checked(path, *file.read(path))
        scores = Scores(**found.pop("scores"))
        return cls(**found, scores=scores)
