"""A model put together of what reads prompts, an autoencoder and a denoiser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import nn

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import Denoiser
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import shown
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.build import Build
from nulltext.models.capabilities import ImageReader
from nulltext.models.inpainting import InpaintingUNet
from nulltext.models.kl_autoencoder import KLAutoencoder, check_scaling
from nulltext.models.lending import Loan
from nulltext.models.parts import Parts
from nulltext.models.recommended import Recommended
from nulltext.models.schedulers import SCHEDULER, ddim_schedule
from nulltext.models.text_encoder import PromptEncoder, PromptReader
from nulltext.models.unet import UNet, check_fit, is_inpainting, latent_size
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens
from nulltext.types import Latents, Pixels, Times


@runtime_checkable
class Network(Denoiser, Protocol):
    """A denoiser and the network behind it."""

    @property
    def network(self) -> Any:  # noqa: ANN401  diffusers carries no types
        """That network."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Its precision."""
        ...


@runtime_checkable
class LatentSpace(Autoencoder, Protocol):
    """An autoencoder, and what its latents are."""

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        ...

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell."""
        ...

    @property
    def config(self) -> Any:  # noqa: ANN401  diffusers carries no types
        """That of its network, which tells the usual size of the latents where the denoiser's does not."""
        ...


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class LatentModel:
    """A frozen latent diffusion model, see `nulltext.models.base.Model`.

    Attributes:
        family: What kind of checkpoint it is.
        identity: Which weights these are.
        device: Where they are.
        text: Reads prompts.
        autoencoder: Makes latents of images and back.
        unet: Predicts.
        scheduler_config: A full ``DDIMScheduler`` config, or that of a flow.
        recommended: What the checkpoint is best used with.
        quantised: The autoencoder with a codebook that the checkpoint holds besides its own, if it holds one.
        patch: Latent cells on the side of what the denoiser reads as one, or halves down to one.
        side: Those on a side of the latents that the checkpoint was made for, where the denoiser's config does not say.
        loan: Whether its networks are still lent, where they are a pipeline's.
    """

    family: str
    identity: ModelIdentity
    device: torch.device
    text: PromptReader
    autoencoder: LatentSpace
    unet: Network
    scheduler_config: Mapping[str, Any]
    recommended: Recommended = field(default_factory=Recommended)
    quantised: Autoencoder | None = None
    patch: int = 1
    side: int | None = None
    loan: Loan = field(default_factory=Loan)

    def close(self) -> None:
        """Gives the networks of a pipeline back to it as they were; of a model loaded by name they are its own."""
        self.loan.end()

    def __enter__(self) -> "LatentModel":
        """Itself, to be closed at the end."""
        return self

    def __exit__(self, *raised: object) -> None:
        """See `close`."""
        self.close()

    def __repr__(self) -> str:
        """Which model it is and where; its networks have millions of characters."""
        precision = str(self.dtype).removeprefix("torch.")
        about = f"{shown(self.identity.id)}, {shown(self.identity.revision)}, {precision} on {self.device}"
        return f"LatentModel({self.family}, {about})"

    @property
    def dtype(self) -> torch.dtype:
        """The denoiser's precision."""
        return self.unet.dtype

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        return self.autoencoder.latent_channels

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell."""
        return self.autoencoder.scale

    @property
    def multiple(self) -> int:
        """Pixels of which heights and widths are multiples."""
        return self.scale * self.patch

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the checkpoint was made for."""
        if self.side is not None:
            return self.side * self.scale, self.side * self.scale
        height, width = latent_size(self.unet.network.config, self.autoencoder.config)
        return height * self.scale, width * self.scale

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        return self.unet.prediction

    @property
    def guidance(self) -> float:
        """The guidance scale at which the checkpoint is best used."""
        return self.recommended.guidance

    @property
    def denoiser(self) -> nn.Module:
        """The UNet's network."""
        return self.unet.network

    @property
    def inpaints(self) -> bool:
        """Whether the denoiser is shown a mask and what is left of the image."""
        return isinstance(self.unet, InpaintingUNet)

    @property
    def word_list(self) -> TaughtWords | None:
        """The words the model was taught, if it has a list; None for a model that takes any."""
        return self.text.word_list

    @property
    def images(self) -> ImageReader | None:
        """What embeds images, of a model that is told of those; None for one that is told of text."""
        return self.text if isinstance(self.text, ImageReader) else None

    def schedule(self, steps: int, size: tuple[int, int] | None = None) -> Schedule:
        """The checkpoint's noise schedule in so many steps, as ``DDIMScheduler`` or that of a flow would walk it.

        Raises:
            SettingError: `steps` is out of range.
        """
        height, width = size or self.default_size
        tokens = (height // self.multiple) * (width // self.multiple)
        return Schedule.from_config(self.scheduler_config, steps, tokens)

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """See `PromptReader.embed`."""
        self.loan.check(thoroughly=True)
        return self.text.embed(prompts, size or self.default_size)

    @property
    def text_length(self) -> int:
        """L, the tokens of an embedding."""
        return self.text.length

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:
        """See `PromptReader.null`."""
        self.loan.check(thoroughly=True)
        return self.text.null(size or self.default_size)

    def check_prompt(self, prompt: str) -> None:
        """See `PromptReader.check_prompt`."""
        self.text.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """See `PromptReader.tokenize`."""
        return self.text.tokenize(prompt)

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """See `UNet.predict`."""
        self.loan.check()
        return self.unet.predict(x, t, conditioning, attention)

    def encode(self, pixels: Pixels) -> Latents:
        """See `nulltext.models.base.Autoencoder.encode`."""
        self.loan.check(thoroughly=True)
        return self.autoencoder.encode(pixels)

    def decode(self, latents: Latents) -> Pixels:
        """See `nulltext.models.base.Autoencoder.decode`."""
        self.loan.check()
        return self.autoencoder.decode(latents)


def check_parts(parts: Parts, build: Build, width: int, pooled: int | None = None) -> None:
    """Makes sure that UNet, autoencoder and text encoders are made for each other.

    Args:
        parts: With "unet" and "vae".
        build: How the model is made.
        width: D, of the text embeddings.
        pooled: P, of the pooled text; None where there is none.

    Raises:
        UnsupportedPipelineError: They are no text-to-image or inpainting checkpoint's, or not made for each other.
        ModelLoadError: A config has no size, or no scaling.
    """
    check_fit(parts.unet.config, parts.vae.config, width, build.called, pooled)
    check_scaling(parts.vae.config, build.called)
    latent_size(parts.unet.config, parts.vae.config)  # for what it raises


def put_together(family: str, parts: Parts, build: Build, text: PromptReader) -> LatentModel:
    """A model of a UNet and an ``AutoencoderKL`` that were checked: moves them, sets their precision, and freezes them.

    Args:
        family: What kind of checkpoint it is.
        parts: With "unet", "vae" and "scheduler_config".
        build: How the model is made.
        text: Reads prompts.

    Raises:
        UnsupportedScheduleError: DDIM cannot walk the scheduler's levels both ways.
        ModelLoadError: A config has a value of the wrong type.
    """
    scheduler = ddim_schedule(parts.scheduler_config, f"{build.called}/{SCHEDULER}")
    autoencoder = KLAutoencoder.ready(parts.vae, build)
    unet = UNet.ready(parts.unet, build, scheduler["prediction_type"])
    inpainting = is_inpainting(parts.unet.config, parts.vae.config)
    return LatentModel(
        family=family,
        identity=build.identity,
        device=build.device,
        text=text,
        autoencoder=autoencoder,
        unet=InpaintingUNet.ready(unet, autoencoder, autoencoder.scale) if inpainting else unet,
        scheduler_config=scheduler,
        recommended=build.recommended or Recommended(),
        quantised=build.quantised,
    )


def of_one_encoder(family: str, parts: Parts, build: Build) -> LatentModel:
    """The same where one encoder reads prompts, see `nulltext.models.families.Adapter.from_parts`."""
    check_parts(parts, build, parts.text_encoder.config.hidden_size)
    text = PromptEncoder.ready(parts.text_encoder, parts.tokenizer, build, build.words(parts.tokenizer))
    return put_together(family, parts, build, text)
