"""How a model is made of a checkpoint's parts: what is asked for, the same for every family."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.layout import layout_for
from nulltext.models.offload import Offload
from nulltext.models.recommended import Recommended
from nulltext.models.word_list import TaughtWords


@final
@dataclass(frozen=True, kw_only=True)
class Build:
    """What is asked for, see `nulltext.models.families.Adapter.from_parts`.

    Attributes:
        identity: What to call the weights.
        device: Where to compute.
        dtype: The denoiser's precision: float32, float16 or bfloat16.
        recommended: What the model is best used with; None for what is published.
        quantised: An autoencoder with a codebook that lies beside it.
        word_list: A text file with one known word a line, if the model only knows some.
        low_memory: Slower, in less memory: activations are computed again for the gradient, the autoencoder works in
            tiles, and what is not used waits on the CPU.
    """

    identity: ModelIdentity
    device: torch.device
    dtype: torch.dtype
    recommended: Recommended | None = None
    quantised: Autoencoder | None = None
    word_list: Path | None = None
    low_memory: bool = False

    @property
    def called(self) -> str:
        """What errors call the model."""
        return self.identity.id

    @property
    def where(self) -> str:
        """In which model a part is, and how that computes, for errors."""
        return f"in {self.dtype} with {self.called}"

    @property
    def layout(self) -> torch.memory_format:
        """The memory layout of weights and inputs, see `nulltext.models.layout`."""
        return layout_for(self.device, self.dtype)

    @property
    def offload(self) -> Offload:
        """Where the parts beside the denoiser compute."""
        return Offload(self.device, self.low_memory)

    def best(self, guidance: float) -> Recommended:
        """What the model is best used with: what it says itself, else the guidance scale that is published."""
        return self.recommended or Recommended(guidance=guidance)

    def words(self, tokenizer: Any) -> TaughtWords | None:  # noqa: ANN401  transformers carries no types
        """The words that the model was taught, if it has a list, as a tokenizer of transformers' cuts them."""
        return None if self.word_list is None else TaughtWords.read(self.word_list, tokenizer)
