"""Low-rank adapters (Hu et al., arXiv 2106.09685), merged into a checkpoint's weights when it is loaded."""

import re
from collections.abc import Mapping
from logging import CRITICAL
from pathlib import Path
from typing import Any, Final, final

import torch
from diffusers.loaders import FluxLoraLoaderMixin, SD3LoraLoaderMixin, StableDiffusionXLLoraLoaderMixin
from diffusers.utils import logging as diffusers_logging
from diffusers.utils import recurse_remove_peft_layers
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import Tensor, nn

from nulltext.errors import ModelLoadError, UnsupportedPipelineError
from nulltext.models.finite import check_finite_weights, check_floating_tensors
from nulltext.models.networks import first_line, is_lora
from nulltext.models.quiet import quiet
from nulltext.models.tensors import open_tensors

NETWORKS: Final = ("unet", "transformer", "text_encoder", "text_encoder_2")
"""Whose layers a LoRA may have; also what the names of its weights begin with."""
_KOHYA: Final = "lora_"
_OTHER_KINDS: Final = re.compile(r"(dora_scale|lora_magnitude_vector|hada_w|lokr_w|\boft_|diff_b?$)")
_DOWN: Final = re.compile(r"lora_A|[._]lora\.down|lora_down|lora_linear_layer\.down")

_LAYER: Final = re.compile(rf"(\w+)\.(.+?)\.?({_DOWN.pattern})")
_DOWNS: Final = {
    "lora_A": "lora_B",
    "lora_down": "lora_up",
    "lora.down": "lora.up",
    "lora_linear_layer.down": "lora_linear_layer.up",
}
_PAIRS: Final = {**_DOWNS, **{up: down for down, up in _DOWNS.items()}}
"""What a layer's two matrices are called, each by the other."""


@final
class _Loader(StableDiffusionXLLoraLoaderMixin):
    """Diffusers' own reading of such files; of a UNet's it is the same for all families."""


def merge(path: Path, weight: float, networks: Mapping[str, Any], model: str) -> None:
    """Adds a LoRA to the weights of a checkpoint's networks.

    Args:
        path: A ``.safetensors`` in kohya's format or in diffusers' and peft's.
        weight: How much of it is added.
        networks: By the names of `NETWORKS`, those that the checkpoint has. They are changed.
        model: What errors call the checkpoint.

    Raises:
        ModelLoadError: It is damaged, quantised, or no LoRA.
        UnsupportedPipelineError: It is of a kind that cannot be merged, or was made for another model.
    """
    tensors, metadata = _read(path, networks)
    wanted = sum(_DOWN.search(name) is not None for name in tensors)
    try:
        with quiet(), torch.no_grad():
            diffusers_logging.set_verbosity(CRITICAL)  # what goes wrong is raised below, in a sentence
            for name, network in networks.items():
                _load(name, network, tensors, metadata)
        found = sum(isinstance(module, BaseTunerLayer) for network in networks.values() for module in network.modules())
    except Exception as error:  # of layers with other names or shapes, in a dozen ways
        raise _foreign(path, model, _why(tensors, networks)) from error
    if found != wanted:
        raise _foreign(path, model, f"{wanted - found} of its {wanted} layers are not there")
    with torch.no_grad():
        for network in networks.values():
            _merge(network, weight)


def _read(path: Path, networks: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """A LoRA's weights by the names that diffusers has for them, and what the file says of ranks."""
    names = open_tensors(path).shapes
    if other := next((match[0] for name in names if (match := _OTHER_KINDS.search(name))), None):
        raise UnsupportedPipelineError(
            f"{path} is an adapter of another kind than LoRA ({other}); expected plain LoRA. Choose one, or merge it "
            "into the checkpoint with the program that made it."
        )
    if not names or not all(is_lora([name]) or name.endswith(".alpha") for name in names):
        raise ModelLoadError(
            f"{path} holds no LoRA, but such as {next(iter(names), 'nothing')}; expected weights named lora. A "
            "checkpoint goes to --model, an autoencoder to --vae, a learnt word to --embedding."
        )
    transformer = type(networks["transformer"]).__name__ if "transformer" in networks else ""
    if transformer.startswith("SD3") and all(name.startswith(_KOHYA) for name in names):
        raise ModelLoadError(
            f"{path} is in kohya's format, and LoRAs of Stable Diffusion 3 are read in diffusers' format alone; "
            "expected names such as transformer.transformer_blocks.0. Convert it."
        )
    check_pairs(load_file(path), path)
    try:
        with quiet():
            if transformer:
                loader: Any = FluxLoraLoaderMixin if transformer.startswith("Flux") else SD3LoraLoaderMixin
                return loader.lora_state_dict(str(path), **_LOCAL, weight_name=path.name)
            if all(name.startswith(_KOHYA) for name in names):
                config = networks["unet"].config
                return _Loader.lora_state_dict(_scaled(load_file(path)), unet_config=config)[0], None
            found: Any = _Loader.lora_state_dict(str(path), **_LOCAL, weight_name=path.name)
            return found[0], found[2]
    except Exception as error:
        raise ModelLoadError(
            f"{path} cannot be read as a LoRA: {first_line(error)}. Save it again with the program that made it, in "
            "kohya's or in diffusers' format."
        ) from error


def check_pairs(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Makes sure that a LoRA's weights are numbers, and that each layer has both of its matrices, of one rank.

    Raises:
        ModelLoadError: They are not, or one has not.
    """
    check_floating_tensors({name: tensor for name, tensor in tensors.items() if not name.endswith(".alpha")}, path)
    check_finite_weights(tensors, path)
    for name, tensor in tensors.items():
        side = next((side for side in _PAIRS if side in name), None)
        if side is None or not name.endswith(".weight"):
            continue
        other = tensors.get(name.replace(side, _PAIRS[side]))
        if other is None:
            raise ModelLoadError(
                f"{path} has {name} without {name.replace(side, _PAIRS[side])}; expected both. It is incomplete: fetch "
                "it again, or save it again with the program that made it."
            )
        down, up = (tensor, other) if side in _DOWNS else (other, tensor)
        ranks = [down.shape[0] if down.ndim > 1 else 0, up.shape[1] if up.ndim > 1 else 0]
        if ranks[0] != ranks[1] or not tensor.numel():
            raise ModelLoadError(
                f"{path} has {name} of shape {list(tensor.shape)} beside one of {list(other.shape)}; expected two "
                "matrices of one rank, at least 1. It is damaged: fetch it again, or save it again with the program "
                "that made it."
            )


_LOCAL: Final[Mapping[str, Any]] = {
    "use_safetensors": True,
    "local_files_only": True,
    "return_lora_metadata": True,
}


def _scaled(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kohya's tensors with ``alpha / rank`` multiplied in, layer by layer.

    Then no alpha depends on a pattern of names, by which diffusers finds that of a layer.
    """
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith(".alpha")}
    for name, alpha in tensors.items():
        layer = name.removesuffix(".alpha")
        if layer != name:
            up, down = f"{layer}.lora_up.weight", f"{layer}.lora_down.weight"
            found[up] = found[up] * (float(alpha) / found[down].shape[0])
    return found


def _load(name: str, network: Any, tensors: Mapping[str, Tensor], metadata: Any) -> None:  # noqa: ANN401  the libraries carry no types
    """Puts a network's share of a LoRA beside its layers."""
    own = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
    if not own:
        return
    if name in ("unet", "transformer"):
        network.load_lora_adapter(own, prefix=name, metadata=metadata)
    else:
        _Loader.load_lora_into_text_encoder(own, None, network, prefix=name, metadata=metadata)


def _merge(network: nn.Module, weight: float) -> None:
    """Adds the adapters of a network's layers to their weights, and takes them out again."""
    layers: list[Any] = [module for module in network.modules() if isinstance(module, BaseTunerLayer)]
    if not layers:
        return
    for layer in layers:
        layer.scale_layer(weight)
        layer.merge()
    recurse_remove_peft_layers(network)
    del network.peft_config
    vars(network)["_hf_peft_config_loaded"] = False


def _why(tensors: Mapping[str, Tensor], networks: Mapping[str, Any]) -> str:
    """What a LoRA's layers are that a checkpoint's are not, in a few words."""
    for name, tensor in tensors.items():
        match = _LAYER.match(name)
        if match is None or (network := match[1]) not in networks:
            continue
        layer = match[2].replace(".processor.", ".")
        try:
            weight: Tensor = networks[network].get_submodule(layer).get_parameter("weight")
        except AttributeError:  # there is none, or it is wrapped already
            continue
        if tensor.shape[1] != weight.shape[1]:
            return f"its layer {network}.{layer} takes {tensor.shape[1]} channels, the checkpoint's {weight.shape[1]}"
    return "its layers have other names or shapes"


def _foreign(path: Path, model: str, why: str) -> UnsupportedPipelineError:
    return UnsupportedPipelineError(
        f"{path} is a LoRA that does not fit {model} ({why}); expected one made for a checkpoint of its family. Choose "
        "such a one, or the checkpoint that it was made for."
    )
