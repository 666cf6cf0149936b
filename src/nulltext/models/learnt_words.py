"""Words learnt by textual inversion (Gal et al., arXiv 2208.01618), from files of their vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from nulltext.errors import ModelLoadError, SettingError, UnsupportedPipelineError, shown
from nulltext.models.finite import check_finite_weights, check_floating_tensors
from nulltext.models.fit import check_width
from nulltext.models.tensors import open_tensors

_NAMELESS: Final = "emb_params"
"""The one tensor of a file in the format of the web UIs, in which the word is called as the file is."""
_OF_TWO: Final = {"clip_l": "", "clip_g": "_2"}
"""The tensors of a file for two text encoders, and which of them each is for."""
_MOST: Final = 75
"""Vectors of a word: as many as CLIP reads tokens."""


def teach(path: Path, parts: Mapping[str, Any], model: str) -> None:
    """Adds a word to a checkpoint's tokenizers, and its vectors to the text encoders.

    Args:
        path: A ``.safetensors`` with a tensor of the word's name, or one whose file is called as the word.
        parts: The checkpoint's, by their names. They are changed.
        model: What errors call the checkpoint.

    Raises:
        ModelLoadError: It is damaged, or holds no learnt word.
        UnsupportedPipelineError: It was made for another family.
        SettingError: The checkpoint has that word already, or it is none.
    """
    word, vectors = _read(path)
    if parts.get("text_encoder_3") is not None or "transformer" in parts:
        raise UnsupportedPipelineError(
            f"{path} is a learnt word, and {model} has text encoders that no such file teaches (T5); expected none. "
            "Take a LoRA, or Stable Diffusion 1.x, 2.x or XL."
        )
    encoders = [suffix for suffix in _OF_TWO.values() if parts.get(f"text_encoder{suffix}") is not None]
    if sorted(vectors) != sorted(encoders):
        raise UnsupportedPipelineError(
            f"{path} has vectors for {len(vectors)} text encoder(s); expected {len(encoders)}, as {model} has. It was "
            "made for another family of checkpoints: choose one for this."
        )
    widths = {suffix: parts[f"text_encoder{suffix}"].get_input_embeddings().weight.shape[-1] for suffix in encoders}
    for suffix in encoders:
        check_width(f"{path} has vectors of width", vectors[suffix].shape[-1], widths[suffix], model)
    for suffix in encoders:
        _teach(word, vectors[suffix], parts[f"tokenizer{suffix}"], parts[f"text_encoder{suffix}"], model)


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    """A word, and its vectors [n, D] for each text encoder, by the ends of their names."""
    open_tensors(path)  # for what it says of files that are none
    tensors = load_file(path)
    check_floating_tensors(tensors, path)
    check_finite_weights(tensors, path)
    if set(tensors) <= set(_OF_TWO) and tensors:
        word, found = path.stem, {_OF_TWO[name]: tensor for name, tensor in tensors.items()}
    else:
        name, tensor = next(iter(tensors.items()), ("none", torch.empty(0)))
        word, found = path.stem if name == _NAMELESS else name, {"": tensor}
    found = {suffix: tensor[None] if tensor.ndim == 1 else tensor for suffix, tensor in found.items()}
    rows = {tuple(tensor.shape[:-1]) for tensor in found.values()}
    if (
        not tensors
        or len(tensors) > len(found)
        or len(rows) > 1
        or not all(len(row) == 1 and 0 < row[0] <= _MOST for row in rows)
    ):
        raise ModelLoadError(
            f"{path} holds no learnt word; expected the vectors of one, at most {_MOST}, as textual inversion saves "
            "them. A LoRA goes to --lora, a checkpoint to --model."
        )
    if not word.strip() or any(character.isspace() for character in word):
        raise SettingError(f"{path} is of the word {shown(word)}; expected one without blanks. Rename the file.")
    return word, found


def _teach(word: str, vectors: Tensor, tokenizer: Any, network: Any, model: str) -> None:  # noqa: ANN401  the libraries carry no types
    words = [word, *(f"{word}_{number}" for number in range(1, len(vectors)))]
    known = tokenizer.get_vocab()
    if taken := [each for each in words if each in known]:
        raise SettingError(
            f"got the learnt word {shown(word)}, but {model} has {shown(taken[0])} already; expected another. Rename "
            "the file, or leave it out."
        )
    tokenizer.add_tokens(words)
    rows = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = network.get_input_embeddings().weight
    with torch.no_grad():
        for each, vector in zip(words, vectors, strict=True):
            table[tokenizer.convert_tokens_to_ids(each)] = vector.to(table)
