"""What is common to the models that read prompts by a T5: Raffel et al., arXiv 1910.10683."""

from typing import Any

import torch

from nulltext.models.build import Build
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords


def precision_of_t5(dtype: torch.dtype) -> torch.dtype:
    """The precision of a T5 of billions of weights: bfloat16 where the denoiser is in half precision.

    In float16 it can overflow.
    """
    return torch.float32 if dtype == torch.float32 else torch.bfloat16


def ready_t5(
    network: Any,  # noqa: ANN401  transformers carries no types
    tokenizer: Any,  # noqa: ANN401  nor here
    build: Build,
    word_list: TaughtWords | None = None,
    *,
    part: str = "text_encoder",
    rows: int,
) -> PromptEncoder:
    """A T5. Having billions of weights, it is in bfloat16 where the denoiser is in half precision.

    Args:
        network: ``T5EncoderModel``.
        tokenizer: Its tokenizer.
        build: How the model is made.
        word_list: The words that it was taught, if it has a list.
        part: The folder that errors name.
        rows: Of an embedding.

    Raises:
        ModelLoadError: See `PromptEncoder.ready`.
    """
    precision = precision_of_t5(build.dtype)
    return PromptEncoder.ready(network, tokenizer, build, word_list, part=part, most=rows, dtype=precision)
