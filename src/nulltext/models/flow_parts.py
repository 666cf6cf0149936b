"""What the checkpoints of flows with CLIP and T5 have in common: Stable Diffusion 3 and FLUX.1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from nulltext.diffusion.flow import FLOW_SCHEDULER, FlowConfig
from nulltext.errors import ModelLoadError, UnsupportedScheduleError
from nulltext.models.configs import check_types
from nulltext.models.offload import Offload
from nulltext.models.parts import read_tokenizer
from nulltext.models.t5 import precision_of_t5, read_t5_tokenizer
from nulltext.models.text_encoder import PromptEncoder


def read_cutter(folder: Path, *, t5: bool) -> Any:  # noqa: ANN401  transformers carries no types
    """The tokenizer of a CLIP or a T5.

    Raises:
        ModelLoadError: It is damaged or incomplete.
    """
    if t5:
        return read_t5_tokenizer(folder)
    files = ("vocab.json", "tokenizer.json")
    if not any((folder / name).is_file() for name in files):  # without it transformers makes an empty one
        raise ModelLoadError(
            f"{folder.parent} is incomplete: it lacks {folder.name}/{files[0]}. Fetch the model again."
        )
    return read_tokenizer(folder, transformers.CLIPTokenizer)


def ready_t5(
    network: Any,  # noqa: ANN401  transformers carries no types
    tokenizer: Any,  # noqa: ANN401  the libraries carry no types
    offload: Offload,
    model: str,
    *,
    part: str,
    rows: int,
    beside: torch.dtype,
) -> PromptEncoder:
    """A T5. Having billions of weights, it is in bfloat16 where the denoiser is in half precision.

    Args:
        network: ``T5EncoderModel``.
        tokenizer: Its tokenizer.
        offload: Where it computes.
        model: What errors call the model.
        part: The folder that errors name.
        rows: Of an embedding.
        beside: The denoiser's precision.

    Raises:
        ModelLoadError: See `PromptEncoder.ready`.
    """
    return PromptEncoder.ready(network, tokenizer, offload, model, part=part, most=rows, dtype=precision_of_t5(beside))


def flow_config(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The config of a flow's scheduler.

    Raises:
        UnsupportedScheduleError: It is of another, or of levels that are not supported.
        ModelLoadError: A value has the wrong type.
    """
    if config.get("_class_name") != FLOW_SCHEDULER:
        raise UnsupportedScheduleError(
            f"{where} is of a {config.get('_class_name')}; expected a {FLOW_SCHEDULER}, whose levels the model was "
            "trained at. Put in its place the one that the checkpoint came with."
        )
    check_types(
        {key: value for key, value in config.items() if key != "_class_name"},
        diffusers.FlowMatchEulerDiscreteScheduler,
        Path(where),
    )
    FlowConfig.read(config, where)
    return config
