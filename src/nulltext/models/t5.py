"""What is common to the models that read prompts by a T5: Raffel et al., arXiv 1910.10683."""

from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers.utils import is_protobuf_available, is_sentencepiece_available

from nulltext.errors import ModelLoadError
from nulltext.models.parts import read_tokenizer

VOCABULARY: Final = ("spiece.model", "tokenizer.json")
"""Files of its tokenizer, of which it needs one."""


def precision_of_t5(dtype: torch.dtype) -> torch.dtype:
    """The precision of a T5 of billions of weights: bfloat16 where the denoiser is in half precision.

    In float16 it can overflow.
    """
    return torch.float32 if dtype == torch.float32 else torch.bfloat16


def read_t5_tokenizer(folder: Path) -> Any:  # noqa: ANN401  transformers carries no types
    """A T5's tokenizer from its folder.

    Raises:
        ModelLoadError: It is damaged or incomplete, or what reads it is not installed.
    """
    there = [name for name in VOCABULARY if (folder / name).is_file()]
    if not there:  # without it transformers makes an empty one
        raise ModelLoadError(
            f"{folder.parent} is incomplete: it lacks {folder.name}/{VOCABULARY[0]}. Fetch the model again."
        )
    if there == [VOCABULARY[0]] and not (is_sentencepiece_available() and is_protobuf_available()):
        raise ModelLoadError(
            f"{folder} holds {VOCABULARY[0]} and no {VOCABULARY[1]}, which takes sentencepiece and protobuf to read. "
            "Run: pip install 'nulltext[t5]'."
        )
    return read_tokenizer(folder, transformers.T5Tokenizer)
