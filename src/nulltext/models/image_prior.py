"""A denoiser's image embedding: CLIP's of a photograph, or what a prior makes of a prompt.

Ramesh et al., arXiv 2204.06125 (DALL-E 2): CLIP sees an image as a vector and reads a prompt as a vector of the same
space; the prior draws of a prompt the vector of an image that it could describe, and the decoder draws that image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import diffusers
import torch
from PIL import Image
from torch import Tensor

from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import SessionError
from nulltext.models.offload import Offload
from nulltext.models.quiet import quiet
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords
from nulltext.text.words import Tokens
from nulltext.types import Pixels, Pooled

STEPS: Final = 25
"""Of the prior; this and the next are diffusers' own."""
GUIDANCE: Final = 4.0
SEED: Final = 0
"""Of the prior's noise, for every prompt: an embedding depends on nothing but its prompt."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ClipPair:
    """CLIP's two towers, frozen and in float32, see `nulltext.models.capabilities.ImageReader`.

    Attributes:
        text: Reads prompts: ``CLIPTextModelWithProjection``.
        vision: Sees images: ``CLIPVisionModelWithProjection``.
        processor: Fits images to it: ``CLIPImageProcessor``, which crops what is not square.
        offload: Where they compute.
    """

    text: PromptEncoder
    vision: Any
    processor: Any
    offload: Offload

    @classmethod
    def ready(cls, text: PromptEncoder, vision: Any, processor: Any, offload: Offload) -> "ClipPair":  # noqa: ANN401  the libraries carry no types
        """Takes over what sees images: puts it where it waits, and freezes it."""
        with quiet():
            vision.to(device=offload.waiting, dtype=torch.float32)
        vision.requires_grad_(requires_grad=False).eval()
        return cls(text=text, vision=vision, processor=processor, offload=offload)

    def see(self, pixels: Pixels) -> Pooled:
        """[B, D] the embeddings of images in [-1, 1], as 8-bit images."""
        levels = ((pixels.detach().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        images = [Image.fromarray(each.permute(1, 2, 0).contiguous().numpy()) for each in levels]
        with quiet():
            return self._of(self.processor(images, return_tensors="pt").pixel_values)

    def read(self, prompts: Sequence[str]) -> Pooled:
        """[B, D] the embeddings of prompts."""
        for prompt in prompts:
            self.text.check_prompt(prompt)
        return self.text.read(prompts).text_embeds.float()

    @cached_property
    def unseen(self) -> Pooled:
        """[1, D] the embedding of zeros, in the vision tower's own scale, which stands for no image."""
        side: int = self.vision.config.image_size
        return self._of(torch.zeros(1, 3, side, side))

    def _of(self, pixels: Tensor) -> Pooled:
        with torch.no_grad(), quiet(), self.offload.in_use(self.vision):
            return self.vision(pixels.to(self.offload.device, torch.float32)).image_embeds


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Prior:
    """A frozen ``PriorTransformer``, in float32: draws the image embedding of a prompt.

    Attributes:
        network: The ``PriorTransformer``.
        scheduler_config: Of its ``UnCLIPScheduler``.
        offload: Where it computes.
    """

    network: Any
    scheduler_config: Mapping[str, Any]
    offload: Offload

    @classmethod
    def ready(cls, network: Any, scheduler_config: Mapping[str, Any], offload: Offload) -> "Prior":  # noqa: ANN401  the libraries carry no types
        """Takes over a network: puts it where it waits, and freezes it."""
        with quiet():
            network.to(device=offload.waiting, dtype=torch.float32)
        network.requires_grad_(requires_grad=False).eval()
        return cls(network=network, scheduler_config=scheduler_config, offload=offload)

    def imagine(self, text: PromptEncoder, prompt: str) -> Pooled:
        """[1, D] an image embedding for a prompt, as ``KandinskyV22PriorPipeline`` draws it.

        Args:
            text: Reads the prompt, which was checked, and the empty one, which guidance leads away from.
            prompt: Alone, so that its embedding does not depend on others beside it.
        """
        read, (_, seen) = text.read(["", prompt]), text.padded(["", prompt])
        generator = torch.Generator().manual_seed(SEED)
        scheduler: Any = diffusers.UnCLIPScheduler.from_config(dict(self.scheduler_config))
        scheduler.set_timesteps(STEPS)
        times: list[int] = scheduler.timesteps.tolist()
        width = read.text_embeds.shape[-1]
        x = torch.randn(1, width, generator=generator).to(self.offload.device) * scheduler.init_noise_sigma
        with torch.no_grad(), quiet(), self.offload.in_use(self.network):
            for t, following in zip(times, [*times[1:], None], strict=True):
                null, own = self.network(
                    x.expand(2, -1),
                    timestep=t,
                    proj_embedding=read.text_embeds,
                    encoder_hidden_states=read.last_hidden_state,
                    attention_mask=seen.bool(),
                ).predicted_image_embedding.chunk(2)
                x = scheduler.step(
                    null + GUIDANCE * (own - null), t, x, prev_timestep=following, generator=generator
                ).prev_sample
            return self.network.post_process_latents(x)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class PriorReader:
    """Reads prompts for a decoder of image embeddings, see `nulltext.models.text_encoder.PromptReader`.

    A conditioning's text is the image embedding, as one token.

    Attributes:
        clip: Embeds photographs and prompts.
        prior: Draws image embeddings of prompts.
        model: What errors call the model.
    """

    clip: ClipPair
    prior: Prior
    model: str

    @property
    def length(self) -> int:
        """L, the one token that an image embedding is."""
        return 1

    @property
    def word_list(self) -> TaughtWords | None:
        """The words that the model was taught, if it has a list."""
        return self.clip.text.word_list

    def embed(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """What the prior makes of prompts, at every size.

        Raises:
            PromptError: A prompt has characters that are no text.
            PromptTooLongError: A prompt has more tokens than the prior reads.
            UnknownWordError: The model has a word list, and a word is not on it.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        return self.told(torch.cat([self.imagine(prompt) for prompt in prompts]))

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """The embedding of no image, one row."""
        return self.told(self.clip.unseen)

    def check_prompt(self, prompt: str) -> None:
        """Raises what `embed` would for a prompt, and embeds nothing."""
        self.clip.text.check_prompt(prompt)

    def tokenize(self, prompt: str) -> Tokens:
        """Refused: the denoiser sees no words.

        Raises:
            SessionError: Always.
        """
        raise no_words(self.model, prompt)

    def see(self, pixels: Pixels) -> Pooled:
        """See `ClipPair.see`."""
        return self.clip.see(pixels)

    def read(self, prompts: Sequence[str]) -> Pooled:
        """See `ClipPair.read`."""
        return self.clip.read(prompts)

    def imagine(self, prompt: str) -> Pooled:
        """See `Prior.imagine`."""
        return self.prior.imagine(self.clip.text, prompt)

    def told(self, embeddings: Pooled) -> Conditioning:
        """What the network is told of images by their embeddings, [B, D]: each is one token."""
        return Conditioning(text=embeddings[:, None])


def no_words(model: str, prompt: str) -> SessionError:
    """The error for whatever looks for the words of a prompt in an image where a denoiser sees none."""
    return SessionError(
        f"got the prompt {prompt!r} to find its words in an image, but the denoiser of {model} is told of an image "
        "embedding and sees no words; expected an editor that needs none, such as text-diff. A blend takes a mask."
    )
