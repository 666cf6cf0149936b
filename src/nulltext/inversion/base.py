"""What an inversion is, what makes one, and how one is kept."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from torch import Tensor

from nulltext import __version__
from nulltext.checks import Guidance, Range, check_finite, check_numbers, checked
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import MismatchError, SettingError
from nulltext.inversion import storage
from nulltext.models.base import Model, ModelIdentity
from nulltext.pictures import Frame, to_image, to_pixels
from nulltext.showing import brief, html_table
from nulltext.types import Embedding, Nulls, OnePixels, Picture, Trajectory

Decibels = Annotated[float, Range(infinite=True)]
"""Infinite of two pictures that are the same."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a photograph survives, over the fitted picture; decibels, higher is better.

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
    """A photograph inverted into a model. Everything is in sampling order, from noise to picture; T is the steps.

    Attributes:
        caption: The source caption.
        pivot: [T+1, C, h, w] the trajectory; ``pivot[0]`` is z_T, ``pivot[-1]`` is z_0, and step i of the schedule
            leads from ``pivot[i]`` to ``pivot[i + 1]``. On the CPU, float32.
        nulls: [T, L, D] the null embedding of each step, ``nulls[0]`` for t = T; None if the method has none, and the
            null caption is meant. On the CPU, float32.
        cond: [L, D] the conditional embedding that stands in the source caption's place; None for the caption's own.
            On the CPU, float32.
        held: Whether the source is put back on the pivot after every step wherever it is drawn, see `DirectInversion`.
        guidance: The weight w that it was made for.
        method: The method's name.
        settings: The method's settings.
        schedule: The intervals walked.
        model: Which weights it was made with.
        picture: [H, W, 3] the fitted source, bytes.
        frame: Where the fitted source lies in the photograph.
        sha256: Digest of the input picture.
        scores: How well the photograph survived.
        version: The version of the package that made it.

    Raises:
        SettingError: A number in it is infinite or not-a-number.
    """

    caption: str
    pivot: Trajectory
    nulls: Nulls | None
    cond: Embedding | None = None
    held: bool = False
    guidance: Guidance
    method: str
    settings: Mapping[str, Any]
    schedule: Schedule
    model: ModelIdentity
    picture: Picture
    frame: Frame
    sha256: str
    scores: Scores
    version: str

    def __post_init__(self) -> None:
        check_numbers(self)
        tensors = {"pivot": self.pivot, "nulls": self.nulls, "cond": self.cond}
        for name, tensor in tensors.items():
            if tensor is not None:
                check_finite(name, tensor, error=SettingError, advice="Invert the picture again.")

    __repr__ = brief

    def _repr_html_(self) -> str:
        """The source picture, how it was inverted and how well, in a notebook."""
        rows = {
            "caption": self.caption,
            "method": f"{self.method}, {len(self.schedule)} steps, guidance {self.guidance:g}",
            "PSNR": f"{self.scores.psnr:.2f} dB of at most {self.scores.vae_psnr:.2f} dB",
            "model": self.model.id,
        }
        return html_table(list(rows.items()), picture=to_image(to_pixels(self.picture)))

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
        if not self.model.same_weights(model.identity):
            raise MismatchError(
                f"got the model {_name(model.identity)}; this inversion was made with {_name(self.model)}, by nulltext "
                f"{self.version} (this is {__version__}). Load that model, or invert the picture again with this one."
            )
        if not _same_schedule(self.schedule, model.schedule(len(self.schedule), self.frame.fitted)):
            raise MismatchError(
                f"the schedule of {model.identity.id} in {len(self.schedule)} steps is not the one this inversion was "
                "made with. Give the model back its scheduler config, or invert the picture again."
            )
        cells = tuple(side // model.scale for side in self.frame.fitted)
        if self.pivot.shape[1:] != (model.latent_channels, *cells):
            raise MismatchError(
                f"the latents of this inversion are {list(self.pivot.shape[1:])}; expected "
                f"{[model.latent_channels, *cells]} for its picture. Invert the picture again."
            )
        self._check_embeddings(model)
        if guidance is None:
            return self.guidance
        if guidance != self.guidance and not (self.nulls is None and self.cond is None):
            raise MismatchError(
                f"got guidance {guidance:g}; the embeddings of this inversion were made for {self.guidance:g}. "
                "Use that, or invert the picture again for the other."
            )
        return guidance

    def _check_embeddings(self, model: Model) -> None:
        held = {"null embeddings": self.nulls, "conditional embedding": self.cond}
        for name, tensor in held.items():
            if tensor is not None and tensor.shape[-2:] != (wanted := model.null().text.shape[-2:]):
                raise MismatchError(
                    f"the {name} of this inversion are {list(tensor.shape[-2:])}; expected {list(wanted)}, which "
                    f"{model.identity.id} reads. Invert the picture again."
                )

    def restore(self, pixels: OnePixels) -> Image.Image:
        """A result, [1, 3, H, W] in [-1, 1], put back into the photograph: a picture of the photograph's size."""
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
        tensors = {"pivot": self.pivot, "picture": self.picture}
        if self.nulls is not None:
            tensors["nulls"] = self.nulls
        if self.cond is not None:
            tensors["cond"] = self.cond
        if self.frame.surroundings is not None:
            tensors["surroundings"] = torch.frombuffer(bytearray(self.frame.surroundings), dtype=torch.uint8)
        scores = {name: score if math.isfinite(score) else None for name, score in asdict(self.scores).items()}
        record = {
            "caption": self.caption,
            "held": self.held,
            "guidance": self.guidance,
            "method": self.method,
            "settings": dict(self.settings),
            "schedule": [asdict(interval) for interval in self.schedule],
            "model": asdict(self.model),
            "frame": self.frame.record(),
            "sha256": self.sha256,
            "scores": scores,
            "version": self.version,
        }
        return storage.write(path, tensors, record, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Inversion":
        """Reads an inversion file and checks it.

        Raises:
            InversionFileNotFoundError: There is no such file.
            DamagedFileError: It is truncated or altered, or what stands in it does not agree.
            ForeignFileError: It holds something else.
            FileVersionError: It was written in a format this version does not read.
        """
        tensors, record = storage.read(path)
        found = storage.checked(path, tensors, record)
        scores = Scores(**found.pop("scores"))
        return cls(
            **found,
            scores=scores,
            pivot=tensors["pivot"],
            nulls=tensors.get("nulls"),
            cond=tensors.get("cond"),
            picture=tensors["picture"],
        )


def _name(identity: ModelIdentity) -> str:
    return f"{identity.id} ({identity.revision[:19]})"


def _same_schedule(a: Schedule, b: Schedule) -> bool:
    """Equal but for the rounding of another machine."""

    def numbers(schedule: Schedule) -> Tensor:
        return torch.tensor(
            [(step.t, step.noisy.alpha, step.noisy.sigma, step.clean.alpha, step.clean.sigma) for step in schedule],
            dtype=torch.float64,
        )

    return len(a) == len(b) and torch.allclose(numbers(a), numbers(b), rtol=0, atol=1e-5)
