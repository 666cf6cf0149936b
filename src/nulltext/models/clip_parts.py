"""The parts that decoders of image embeddings have beside their networks, read from a folder in diffusers' format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import transformers

from nulltext.errors import ModelLoadError, UnsupportedPipelineError, shown
from nulltext.models.configs import check_sizes, check_types, read_config
from nulltext.models.networks import check_regular, first_line
from nulltext.models.quiet import quiet


def check_named(folder: Path, index: Mapping[str, Any], expected: Mapping[str, type[Any]]) -> None:
    """Makes sure that an index names these classes of transformers, by part, where it names any.

    Raises:
        UnsupportedPipelineError: It names another.
    """
    for part, made in expected.items():
        wanted = ["transformers", made.__name__]
        if index.get(part, wanted) != wanted:
            raise UnsupportedPipelineError(
                f"{folder / 'model_index.json'} names {shown(index[part])} for the {part}; expected {made.__name__} of "
                "transformers. Put in its place the one that the checkpoint was trained with."
            )


def read_processor(folder: Path) -> Any:  # noqa: ANN401  transformers carries no types
    """What fits images to the vision tower, by Pillow, so that its pixels do not depend on what else is installed.

    Raises:
        ModelLoadError: Its config is damaged, or describes none.
    """
    check_regular(folder)
    config = read_config(folder / "preprocessor_config.json")
    check_sizes(config, folder / "preprocessor_config.json")
    try:
        with quiet():
            return transformers.CLIPImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # of values that are no sizes, of any kind
        raise ModelLoadError(
            f"{folder / 'preprocessor_config.json'} describes no image processor: {first_line(error)}. Correct it, or "
            "fetch the model again."
        ) from error


def read_unclip_scheduler(path: Path) -> Mapping[str, Any]:
    """The config of an ``UnCLIPScheduler``.

    Raises:
        UnsupportedPipelineError: It is another's.
        ModelLoadError: It is damaged, or a value has another type.
    """
    config = read_config(path)
    check_sizes(config, path)
    if config.get("_class_name") != diffusers.UnCLIPScheduler.__name__:
        raise UnsupportedPipelineError(
            f"{path} is of a {shown(config.get('_class_name'))}; expected an UnCLIPScheduler. Put in its place the one "
            "that the checkpoint came with."
        )
    plain = {name: value for name, value in config.items() if not name.startswith("_")}
    check_types(plain, diffusers.UnCLIPScheduler, path)
    return plain
