"""A pipeline of diffusers as a checkpoint: its configs written out for a moment, its networks taken as they are."""

import copy
import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers
from diffusers.configuration_utils import FrozenDict
from torch import nn

from nulltext.errors import NulltextError, SettingError, UnsupportedPipelineError
from nulltext.models import weights
from nulltext.models.configs import read_config
from nulltext.models.families import Family, family_of
from nulltext.models.quiet import quiet

CALLED: Final = "the pipeline"
_NOT_COMPUTED: Final = ("transformers_version", "torch_dtype", "dtype", "name_or_path", "processor_class")
"""Entries of configs that change nothing of what a model computes; so are those that begin with an underscore."""
_STATE: Final = ("truncation", "padding")
"""What a tokenizer's file says of how it was last used."""


@final
@dataclass(frozen=True, kw_only=True)
class Described:
    """A pipeline whose configs are in a folder.

    Attributes:
        folder: In diffusers' format, but for the weights.
        family: Its family.
        networks: By the names of their parts.
        parts: Networks and tokenizers, by the folders of their configs.
    """

    folder: Path
    family: Family
    networks: Mapping[str, nn.Module]
    parts: Mapping[Path, Any]

    def digest(self, *named: str) -> str:
        """SHA-256 over its weights, what its configs say that changes what it computes, and what else is named."""
        configs = [
            f"{path.relative_to(self.folder).as_posix()} {json.dumps(_computed(path), sort_keys=True)}"
            for path in weights.config_files(self.folder, self.family)
            if path.suffix == ".json"
        ]
        return weights.digest_of(self.networks, *configs, *named)


@contextmanager
def described(pipeline: diffusers.DiffusionPipeline) -> Generator[Described]:
    """Writes a pipeline's configs and tokenizers into a folder that is there meanwhile.

    Raises:
        UnsupportedPipelineError: It is of no known family, or a part is missing or is no plain network.
        SettingError: Its parts are moved about while they compute.
    """
    with tempfile.TemporaryDirectory(prefix="nulltext-") as temporary:
        folder = Path(temporary) / "pipeline"
        try:
            yield _describe(pipeline, folder)
        except NulltextError as error:
            said = str(error)
            if str(folder) not in said:
                raise
            raise type(error)(said.replace(f"{folder}/", "the pipeline's ").replace(str(folder), CALLED)) from error


def _describe(pipeline: Any, folder: Path) -> Described:  # noqa: ANN401  as diffusers has it
    with quiet():
        _unwritten(pipeline).save_config(folder)
    family = family_of(read_config(folder / "model_index.json"), CALLED)
    parts = {name: getattr(pipeline, name, None) for name in family.parts}
    absent = [name for name, part in parts.items() if part is None and name not in family.optional]
    if absent:
        raise UnsupportedPipelineError(
            f"{CALLED} has no {', '.join(absent)}; expected all parts of {family.summary}. Load it whole, without "
            f"{absent[0]}=None."
        )
    there = {name: part for name, part in parts.items() if part is not None}
    for name, part in there.items():
        _write(part, folder / name)
    networks = {name: there[name] for name in family.networks if name in there}
    for name, network in networks.items():
        _check(network, name)
    used = {folder / name: part for name, part in there.items() if name != "scheduler"}
    return Described(folder=folder, family=family, networks=networks, parts=used)


def _write(part: Any, folder: Path) -> None:  # noqa: ANN401  the libraries carry no types
    with quiet():
        if isinstance(part, transformers.PreTrainedModel):
            part.config.save_pretrained(folder)
        elif isinstance(part, diffusers.ConfigMixin):
            _unwritten(part).save_config(folder)
        elif isinstance(part, transformers.PreTrainedTokenizerBase):
            part.save_pretrained(folder)
        else:
            raise UnsupportedPipelineError(
                f"{CALLED} has a {type(part).__name__} as its {folder.name}; expected a class of diffusers or "
                "transformers. Put in its place the one that the checkpoint was trained with, not compiled."
            )


def _unwritten(part: Any) -> Any:  # noqa: ANN401  the libraries carry no types
    """What stands for a part while its config is written, which adds entries to that."""
    stand_in = copy.copy(part)
    vars(stand_in)["_internal_dict"] = FrozenDict(part.config)
    return stand_in


def _check(network: nn.Module, name: str) -> None:
    """Makes sure that a network is where its weights are, and is nothing but them."""
    modules = list(network.modules())
    if any(hasattr(module, "_hf_hook") or hasattr(module, "_diffusers_hook") for module in modules):
        raise SettingError(
            f"got a pipeline whose {name} is moved or changed while it computes (CPU offload, a device map, layerwise "
            "casting); expected one without. Call pipe.remove_all_hooks() or load it without; "
            "nulltext.load(pipe, low_memory=True) saves memory."
        )
    floating = all(weight.is_floating_point() for weight in network.parameters())
    if not floating or any(weight.is_meta for weight in network.parameters()) or _quantised(network):
        raise UnsupportedPipelineError(
            f"{CALLED}'s {name} is quantised, or its weights are not there; expected floating-point weights. Load it "
            "without a quantization_config or device_map."
        )
    if _adapted(network):
        raise UnsupportedPipelineError(
            f"{CALLED}'s {name} has a LoRA or an IP-Adapter beside its weights; expected none. Merge a LoRA: "
            "pipe.fuse_lora(), pipe.unload_lora_weights(); take an IP-Adapter off: pipe.unload_ip_adapter()."
        )


def _quantised(network: Any) -> bool:  # noqa: ANN401  the libraries carry no types
    return getattr(network, "hf_quantizer", None) is not None or bool(getattr(network, "is_quantized", False))


def _adapted(network: Any) -> bool:  # noqa: ANN401  the libraries carry no types
    if getattr(network, "_hf_peft_config_loaded", False):
        return True
    if getattr(network.config, "encoder_hid_dim_type", None) == "ip_image_proj":
        return True
    return any(hasattr(module, "lora_A") for module in network.modules())


def default_device(network: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(network.parameters()).device


def default_dtype(network: nn.Module) -> torch.dtype:
    """In what precision most of a network's weights are: some are kept in float32 in some families."""
    sizes: dict[torch.dtype, int] = {}
    for weight in network.parameters():
        sizes[weight.dtype] = sizes.get(weight.dtype, 0) + weight.numel()
    return max(sizes, key=lambda dtype: sizes[dtype])


def _computed(path: Path) -> dict[str, Any]:
    """What a config says that changes what a model computes."""
    config = read_config(path)
    left_out = {*_NOT_COMPUTED, *(_STATE if path.name == "tokenizer.json" else ())}
    return {
        name: value
        for name, value in config.items()
        if name == "_class_name" or not (name.startswith("_") or name in left_out)
    }
