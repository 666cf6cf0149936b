"""A denoiser's image embedding: CLIP's of a photograph, or what a prior makes of a prompt.

Ramesh et al., arXiv 2204.06125 (DALL-E 2): CLIP sees an image as a vector and reads a prompt as a vector of the same
space; the prior draws of a prompt the vector of an image that it could describe, and the decoder draws that image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import diffusers
import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.models.embedding_reader import EmbeddingReader
from nulltext.models.offload import Offload, waiting
from nulltext.models.quiet import quiet
from nulltext.models.text_encoder import PromptEncoder
from nulltext.types import Pooled

STEPS: Final = 25
"""Of the prior; this and the next are diffusers' own."""
GUIDANCE: Final = 4.0
SEED: Final = 0
"""Of the prior's noise, for every prompt: an embedding depends on nothing but its prompt."""


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
        return cls(network=waiting(network, offload), scheduler_config=scheduler_config, offload=offload)

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
class PriorReader(EmbeddingReader):
    """Reads prompts for a decoder of image embeddings whose text is such an embedding, as one token.

    Attributes:
        prior: Draws image embeddings of prompts.
    """

    prior: Prior

    @property
    def length(self) -> int:
        """L, the one token that an image embedding is."""
        return 1

    def null(self, size: tuple[int, int] | None = None) -> Conditioning:  # noqa: ARG002  the same at every size
        """The embedding of no image, one row."""
        return self.told(self.clip.unseen)

    def imagine(self, prompt: str) -> Pooled:
        """See `Prior.imagine`."""
        return self.prior.imagine(self.clip.text, prompt)

    def told(self, embeddings: Pooled) -> Conditioning:
        """What the network is told of images by their embeddings, [B, D]: each is one token."""
        return Conditioning(text=embeddings[:, None])
