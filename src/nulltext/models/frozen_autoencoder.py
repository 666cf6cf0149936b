"""Autoencoders of diffusers as they are used: in float32, frozen, and away while they wait."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from nulltext.checks import check_finite
from nulltext.diffusion.sharing import saying_what_fits
from nulltext.models.build import Build
from nulltext.models.gradients import clamp
from nulltext.models.offload import Offload
from nulltext.models.quiet import quiet
from nulltext.types import Latents, Pixels

T = TypeVar("T", bound="FrozenAutoencoder")


@dataclass(frozen=True, eq=False, kw_only=True)
class FrozenAutoencoder(ABC):
    """A network for images as latents and back. It stays in float32: in float16 it can overflow to a black image.

    Attributes:
        network: One of diffusers'.
        offload: Where it computes.
        layout: The memory layout of its weights and inputs, see `nulltext.models.layout`.
        where: In which model it is, and how that computes, for errors.
    """

    tiles: ClassVar[bool] = False
    """Whether the network can work in tiles, which takes less memory."""

    network: Any
    offload: Offload
    layout: torch.memory_format
    where: str

    @classmethod
    def ready(cls: type[T], network: Any, build: Build) -> T:  # noqa: ANN401, PYI019  no types; no Self for beartype
        """Takes over a network: puts it where it waits, and freezes it."""
        offload = build.offload
        with quiet():
            network.to(device=offload.waiting, dtype=torch.float32, memory_format=build.layout)
            if cls.tiles and offload.low_memory:
                network.enable_tiling()
                network.enable_slicing()
        network.requires_grad_(requires_grad=False).eval()
        return cls(network=network, offload=offload, layout=build.layout, where=build.where)

    @property
    def config(self) -> Any:  # noqa: ANN401  diffusers carries no types
        """The network's."""
        return self.network.config

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell."""
        return scale_of(self.network.config)

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, H / scale, W / scale] latents of images.

        Raises:
            OutOfMemoryError: The device has no memory for the images.
        """
        pixels = pixels.to(self.offload.device, torch.float32).contiguous(memory_format=self.layout)
        with torch.no_grad(), saying_what_fits(pixels, "pixels"), self.offload.in_use(self.network):
            return self.latents_of(pixels).contiguous()

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, h * scale, w * scale] images of latents, clamped to [-1, 1]; differentiable.

        Raises:
            DivergedError: The images became infinite or not-a-number.
            OutOfMemoryError: The device has no memory for the images.
        """
        with saying_what_fits(latents), self.offload.in_use(self.network, stays=latents.requires_grad):
            decoded = self.image_of(latents.contiguous(memory_format=self.layout))
        check_finite("image", decoded, where=self.where)  # clamped, infinity is white
        return clamp(decoded, -1.0, 1.0).contiguous()

    @abstractmethod
    def latents_of(self, pixels: Pixels) -> Tensor:
        """What the network makes of images, as the denoiser knows it."""
        ...

    @abstractmethod
    def image_of(self, latents: Latents) -> Tensor:
        """Its way back, before anything is clamped."""
        ...


def scale_of(config: Any) -> int:  # noqa: ANN401 diffusers carries no types
    """Pixels on the side of one latent cell: an autoencoder halves once between two of its blocks."""
    return 2 ** (len(config.block_out_channels) - 1)


def side_of(config: Any, usual: int) -> int:  # noqa: ANN401  diffusers carries no types
    """Pixels on a side of the images that an autoencoder was made for; the usual ones where its config does not say."""
    silent = "sample_size" in getattr(config, "_use_default_values", config.get("_use_default_values", ()))
    return usual if silent else config.sample_size
