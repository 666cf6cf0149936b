"""Tokenizers of transformers', read from folders: no code of a model's folder is ever run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import transformers
from transformers.utils import is_protobuf_available, is_sentencepiece_available

from nulltext.errors import ModelLoadError, UnsupportedPipelineError
from nulltext.models.at_hand import part_at
from nulltext.models.configs import read_config
from nulltext.models.networks import check_regular, first_line
from nulltext.models.quiet import quiet

_LEAST: Final = 3
"""Tokens of an embedding: a word between its two marks."""
_CLIP: Final = ("vocab.json", "tokenizer.json")
_T5: Final = ("spiece.model", "tokenizer.json")
"""Files of a tokenizer, of which it needs one."""


def read_tokenizer(path: Path, made: type[Any] = transformers.CLIPTokenizer) -> Any:  # noqa: ANN401 - transformers carries no types
    """A tokenizer of transformers' from a folder.

    Raises:
        ModelLoadError: It is damaged or incomplete.
    """
    check_regular(path)
    files = sorted(path.glob("*.json"))
    for file in files:
        read_config(file)
    try:
        with quiet():
            tokenizer = part_at(path, transformers.PreTrainedTokenizerBase)
            if tokenizer is None:
                tokenizer = made.from_pretrained(str(path), local_files_only=True)
            tokenizer("a", padding="max_length", max_length=8, return_offsets_mapping=True)
            length = tokenizer.model_max_length
    except BaseException as error:  # what is written in Rust panics with an exception of its own
        if not isinstance(error, Exception) and "Panic" not in type(error).__name__:
            raise
        raise ModelLoadError(
            f"{path} cannot be loaded: {first_line(error)}. One of {', '.join(file.name for file in files)} is "
            "damaged or incomplete; fetch them again."
        ) from error
    if type(length) is not int or length < _LEAST:
        raise ModelLoadError(
            f"{path / 'tokenizer_config.json'} has model_max_length={length!r}; expected a number such as 77. Correct "
            "it, or fetch the model again."
        )
    return tokenizer


def read_clip_tokenizer(folder: Path) -> Any:  # noqa: ANN401  transformers carries no types
    """A CLIP's tokenizer from its folder.

    Raises:
        ModelLoadError: It is damaged or incomplete.
    """
    _vocabulary(folder, _CLIP)
    return read_tokenizer(folder)


def read_t5_tokenizer(folder: Path) -> Any:  # noqa: ANN401  transformers carries no types
    """A T5's tokenizer from its folder.

    Raises:
        ModelLoadError: It is damaged or incomplete, or what reads it is not installed.
    """
    there = _vocabulary(folder, _T5)
    if there == [_T5[0]] and not (is_sentencepiece_available() and is_protobuf_available()):
        raise ModelLoadError(
            f"{folder} holds {_T5[0]} and no {_T5[1]}, which takes sentencepiece and protobuf to read. "
            "Run: pip install 'nulltext[t5]'."
        )
    return read_tokenizer(folder, transformers.T5Tokenizer)


def tokenizer_class(folder: Path, index: Mapping[str, Any], part: str = "tokenizer") -> type[Any]:
    """The class of a tokenizer.

    Raises:
        UnsupportedPipelineError: It is none of transformers'.
    """
    return class_named(index, part, "CLIPTokenizer", transformers.PreTrainedTokenizerBase, folder)


def class_named(index: Mapping[str, Any], part: str, usual: str, base: type[Any], folder: Path) -> type[Any]:
    """The class of transformers' that a model_index.json names for a part; none that the model brings along."""
    entry: object = index.get(part, ["transformers", usual])
    library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, entry)  # noqa: PLR2004  library and class
    made: Any = getattr(transformers, name, None) if library == "transformers" and isinstance(name, str) else None
    if not (isinstance(made, type) and issubclass(made, base)):
        raise UnsupportedPipelineError(
            f"{folder / 'model_index.json'} names {entry} for the {part}; expected {usual} of transformers. Code that "
            "a model brings along is not run. Choose a Stable Diffusion 1.x or 2.x checkpoint."
        )
    return made


def _vocabulary(folder: Path, files: Sequence[str]) -> Sequence[str]:
    """Those of the files that are there; without any transformers makes an empty tokenizer.

    Raises:
        ModelLoadError: None is.
    """
    if there := [name for name in files if (folder / name).is_file()]:
        return there
    raise ModelLoadError(f"{folder.parent} is incomplete: it lacks {folder.name}/{files[0]}. Fetch the model again.")
