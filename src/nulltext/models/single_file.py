"""Checkpoints in a single file, in the layout of the original Stable Diffusion repository."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import huggingface_hub
import torch
from diffusers.loaders import single_file_utils as convert

from nulltext.errors import ModelLoadError, UnsupportedPipelineError
from nulltext.models import flux, kinds, stable_diffusion, stable_diffusion_3, weights
from nulltext.models import stable_diffusion_xl as xl
from nulltext.models.configs import read_config
from nulltext.models.families import FLUX_IN_A_FILE, IN_A_FILE, THIRD_IN_A_FILE, XL_IN_A_FILE, Family
from nulltext.models.networks import assemble, check_weights, empty, first_line, is_lora, read_network
from nulltext.models.parts import Inventory, Parts
from nulltext.models.quiet import quiet
from nulltext.models.reach import answers
from nulltext.models.schedulers import SCHEDULER
from nulltext.models.tensors import TensorFile, open_tensors

_FIRST: Final = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_FIRST_XL: Final = "stabilityai/stable-diffusion-xl-base-1.0"
"""Where the configs of Stable Diffusion 1.x and of XL come from unless they are given."""
_THIRD: Final = "stabilityai/stable-diffusion-3-medium-diffusers"
_MEDIUM, _LARGE = "stabilityai/stable-diffusion-3.5-medium", "stabilityai/stable-diffusion-3.5-large"
"""The same of 3, and of 3.5, which normalises queries; of the two medium alone attends twice in a block."""
_DEV, _SCHNELL = "black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell"
"""The same of FLUX.1; dev is told the guidance scale."""
_TEXT_READER: Final = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
_WIDTH_OF_2: Final = 1024
"""A weight and its width, the text encoder's, in Stable Diffusion 2.x; in 1.x that is 768."""
_MARKS: Final = ("v_pred", "ztsnr")
_OPEN_CLIP: Final = {"text_encoder": "cond_stage_model.model.", "text_encoder_2": kinds.TEXT_2}
_CLIP: Final = ("cond_stage_model.transformer.", kinds.TEXT_1)
_PROJECTION: Final = "text_projection.weight"
_TEXTS: Final = {
    THIRD_IN_A_FILE.path: dict(zip(THIRD_IN_A_FILE.networks[2:], (*kinds.TEXTS_OF_3, kinds.T5_OF_3), strict=True)),
    FLUX_IN_A_FILE.path: dict(zip(FLUX_IN_A_FILE.networks[2:], (kinds.TEXTS_OF_3[0], kinds.T5_OF_3), strict=True)),
}
"""What the weights of the text encoders of Stable Diffusion 3 and FLUX begin with."""
_FLOWS: Final = {
    THIRD_IN_A_FILE.path: convert.convert_sd3_transformer_checkpoint_to_diffusers,
    FLUX_IN_A_FILE.path: convert.convert_flux_transformer_checkpoint_to_diffusers,
}
_PREDICTIONS: Final = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon", "eps": "epsilon"}


class SingleFile(NamedTuple):
    """What was read of a checkpoint file.

    Attributes:
        family: Its own.
        parts: Of it, and of the folder beside it.
        borrowed: The files of that folder whose weights are among them.
    """

    family: Family
    parts: Parts
    borrowed: Sequence[Path]


def read_single_file(path: Path, config: str | os.PathLike[str] | None) -> SingleFile:
    """The family and the parts of a checkpoint file. Of a pickled one the tensors are read, and nothing of it is run.

    Args:
        path: A ``.safetensors`` or ``.ckpt``.
        config: A folder in diffusers' format, or a hub id, with the configs and the tokenizer which the file lacks;
            and with the text encoders and the autoencoder of a Stable Diffusion 3 or FLUX that is the denoiser alone.

    Raises:
        UnsupportedPipelineError: It is something else than a Stable Diffusion 1.x, 2.x or XL, text to image or
            inpainting, a 3 or 3.5, or a FLUX.1.
        ModelLoadError: It is damaged or incomplete, contradicts its config, or its config cannot be had.
    """
    if path.suffix not in kinds.SINGLE_FILE:
        raise ModelLoadError(f"{path} is no checkpoint file; expected one that ends in .safetensors or .ckpt.")
    file = open_tensors(path)
    if config is None:
        _check_version(file)
    kinds.check_file(file)
    if is_lora(file.shapes):
        check_weights(path, missing=(), unexpected=file.shapes)
    family = _family(file)
    folder = _config_folder(file, config, family)
    index = read_config(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    scheduler = read_config(folder / SCHEDULER)
    if family.path not in _FLOWS:
        scheduler = follow(file, scheduler, folder / SCHEDULER if config is not None else None)
    inventory = _inventory(family, file, folder, index)
    inventory.check(folder, index)
    lacking = [part for part in inventory.networks if _is_lacking(part, file)]
    borrowed, variant = _borrowed(file, folder, lacking)
    networks = {
        part: read_network(made, folder / part, variant=variant)
        if part in lacking
        else _network(part, made, file, folder / part / "config.json", family)
        for part, (_, made) in inventory.networks.items()
    }
    others = inventory.without("scheduler_config").read_others(folder)
    parts = Parts(**networks, **others, scheduler_config=scheduler)
    return SingleFile(family, xl.finished(parts, folder, index) if family is XL_IN_A_FILE else parts, borrowed)


def _family(file: TensorFile) -> Family:
    if kinds.is_flux(file):
        return FLUX_IN_A_FILE
    return THIRD_IN_A_FILE if kinds.is_third(file) else XL_IN_A_FILE if kinds.is_xl(file) else IN_A_FILE


def _inventory(family: Family, file: TensorFile, folder: Path, index: Mapping[str, Any]) -> Inventory:
    """What a checkpoint file of a family holds, with what it borrows."""
    if family is FLUX_IN_A_FILE:
        return flux.INVENTORY
    if family is THIRD_IN_A_FILE:
        t5 = "text_encoder_3"
        own = any(name.startswith(kinds.T5_OF_3) for name in file.shapes)
        return stable_diffusion_3.inventory(t5=own or (kinds.is_denoiser_alone(file) and (folder / t5).is_dir()))
    return (xl if family is XL_IN_A_FILE else stable_diffusion).inventory(folder, index)


def _is_lacking(part: str, file: TensorFile) -> bool:
    """Whether a network is not in a file, where it may be elsewhere."""
    if not kinds.is_denoiser_alone(file) or part == "transformer":
        return False
    return part != "vae" or not any(name.startswith(kinds.VAES) for name in file.shapes)


def _borrowed(file: TensorFile, folder: Path, lacking: Sequence[str]) -> tuple[list[Path], str | None]:
    """The files of the weights that are a folder's, and their variant."""
    variant = weights.variant(folder, lacking)
    found = {part: weights.loaded_from(folder / part, variant)[0] for part in lacking}
    absent = [part for part, files in found.items() if not files]
    if absent:
        raise ModelLoadError(
            f"{file.path} holds the denoiser alone, and {folder} has no weights of {', '.join(absent)}; expected a "
            "whole model's folder. Give config= (--config), the folder or the hub id of the model that it was made "
            "from."
        )
    return [file for files in found.values() for file in files], variant


def follow(file: TensorFile, scheduler: Mapping[str, Any], given: Path | None) -> dict[str, Any]:
    """A scheduler's config with what a checkpoint file says of itself: empty tensors as marks, or text beside them.

    Args:
        file: The checkpoint.
        scheduler: The content of a ``scheduler_config.json``.
        given: Where that is, if it was given with the file; what it says must then agree.

    Raises:
        ModelLoadError: It does not.
        UnsupportedPipelineError: The file says that it predicts something else than ε or v.
    """
    stated: dict[str, Any] = {}
    if any(name.startswith("edm_") for name in file.shapes if "." not in name):
        raise UnsupportedPipelineError(f"{file.path} is an EDM checkpoint; expected one that predicts ε or v.")
    in_text = file.metadata.get("modelspec.prediction_type", file.metadata.get("prediction_type"))
    if in_text is not None:
        if in_text.lower() not in _PREDICTIONS:
            raise UnsupportedPipelineError(
                f"{file.path} says that it predicts {in_text!r}; expected 'epsilon' or 'v'. Choose another checkpoint."
            )
        stated["prediction_type"] = _PREDICTIONS[in_text.lower()]
    if "v_pred" in file.shapes:
        stated["prediction_type"] = "v_prediction"
    if "ztsnr" in file.shapes:
        stated["rescale_betas_zero_snr"] = True
    for key, value in stated.items():
        if given is not None and scheduler.get(key, value) != value:
            raise ModelLoadError(
                f"{file.path} says of itself that its {key} is {value!r}, and {given} that it is {scheduler[key]!r}; "
                "mistaken, it draws noise. Give the config that it was trained with, or leave that line out of it."
            )
    if stated.get("rescale_betas_zero_snr") and not scheduler.get("rescale_betas_zero_snr"):
        stated["timestep_spacing"] = "trailing"  # else the step of pure noise is never taken
    return {**scheduler, **stated}


def _check_version(file: TensorFile) -> None:
    """Makes sure that a file without a config is no Stable Diffusion 2.x, whose configs are several."""
    if file.shapes.get(_TEXT_READER, (0,))[-1] == _WIDTH_OF_2 and not any(mark in file.shapes for mark in _MARKS):
        raise ModelLoadError(
            f"{file.path} is a Stable Diffusion 2.x checkpoint. Some of these predict ε and others v, and the file "
            "does not say which; mistaken, they draw noise. Give config= (--config), a folder in diffusers' format or "
            "the hub id of the model that it comes from."
        )


def _usual(file: TensorFile, family: Family) -> str:
    """Where the configs of a checkpoint file come from unless they are given."""
    if family is FLUX_IN_A_FILE:
        return _DEV if any("guidance_in." in name for name in file.shapes) else _SCHNELL
    if family is not THIRD_IN_A_FILE:
        return _FIRST_XL if family is XL_IN_A_FILE else _FIRST
    if not any(".ln_q." in name for name in file.shapes):
        return _THIRD
    return _MEDIUM if any(".x_block.attn2." in name for name in file.shapes) else _LARGE


def _config_folder(file: TensorFile, config: str | os.PathLike[str] | None, family: Family) -> Path:
    """The folder with the configs, fetched if need be."""
    if config is not None and Path(config).is_dir():
        return Path(config)
    name = _usual(file, family) if config is None else str(config)
    kept = (".json", ".txt", ".model")
    wanted = ["model_index.json", *(f"{part}/*{kind}" for part in family.parts for kind in kept)]
    wanted += [f"{part}/*.safetensors" for part in family.networks if _is_lacking(part, file)]
    try:
        with quiet():  # of weights in several precisions, those in full
            found = huggingface_hub.snapshot_download(
                name, allow_patterns=wanted, ignore_patterns="*.*.safetensors", local_files_only=not answers()
            )
        return Path(found)
    except Exception as error:  # a dozen kinds from the hub client and its transport
        raise ModelLoadError(
            f"{file.path} lacks the configs and the tokenizer, as every single file does, and they cannot be fetched "
            f"from {name!r}: {first_line(error)}. If that name is right, connect to the network, or give config= "
            "(--config), a folder in diffusers' format that has them."
        ) from error


def _network(part: str, made: type[Any], file: TensorFile, config_file: Path, family: Family) -> Any:  # noqa: ANN401  the libraries carry no types
    """One of the networks."""
    config = read_config(config_file)
    if part == "unet":  # whether it inpaints the file says, whose other configs are those of text to image
        config["in_channels"] = kinds.channels_of(file)
    network = empty(made, config, config_file)
    try:
        tensors = _converted(part, network, file, family)
    except Exception as error:  # of names that are not where they belong
        raise ModelLoadError(
            f"the {part} in {file.path} is not laid out as {config_file} describes it: {first_line(error)}. Give the "
            "config of the model that it comes from."
        ) from error
    return assemble(network, tensors, f"the {part} in {file.path}, by {config_file},")


def _converted(part: str, network: Any, file: TensorFile, family: Family) -> dict[str, torch.Tensor]:  # noqa: ANN401  the libraries carry no types
    """A network's tensors under the names that diffusers or transformers have for them."""
    if part == "unet":
        return convert.convert_ldm_unet_checkpoint(file.read((kinds.UNET,)), dict(network.config))
    if part == "transformer":
        return _flow_transformer(file, family)
    if part == "vae":
        return convert.convert_ldm_vae_checkpoint(file.read(kinds.VAES), dict(network.config))
    if (own := _TEXTS.get(family.path)) is not None:
        return _text_encoder_of_flows(network, file.read((own[part],)), own[part])
    if tensors := file.read((_OPEN_CLIP[part],)):
        named = convert.convert_open_clip_checkpoint(network, tensors, prefix=_OPEN_CLIP[part])
    else:
        named = {_without(_CLIP, name): tensor for name, tensor in file.read(_CLIP).items()}
    return _named_as_here(network, named)


def _flow_transformer(file: TensorFile, family: Family) -> dict[str, torch.Tensor]:
    """The denoiser of Stable Diffusion 3 or FLUX.

    Raises:
        ModelLoadError: The file has more of it than is known, such as the scales of quantised weights.
    """
    tensors = file.read((kinds.UNET,)) or file.read(("",))  # alone it may have no prefix
    converted = _FLOWS[family.path](tensors)
    check_weights(file.path, missing=(), unexpected=[name for name in tensors if not name.startswith(kinds.VAES)])
    return converted


def _text_encoder_of_flows(network: Any, tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:  # noqa: ANN401  the libraries carry no types
    """One of the text encoders of Stable Diffusion 3 or FLUX."""
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if prefix == kinds.T5_OF_3:
        return {"encoder.embed_tokens.weight": found["shared.weight"]} | found
    found.pop("text_model.embeddings.position_ids", None)
    if prefix == kinds.TEXTS_OF_3[0]:
        found.pop(_PROJECTION, None)
        if hasattr(network, "text_projection"):  # 3's was trained without: the last state is the vector
            found[_PROJECTION] = torch.eye(network.config.hidden_size)
    return _named_as_here(network, found)


def _named_as_here(network: Any, named: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ANN401  the libraries carry no types
    """A text encoder's weights with the prefix that they have here; merges have it or not, and transformers too."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in named.items()}
    if not hasattr(network, "text_model"):
        return bare
    return {name if name == _PROJECTION else f"text_model.{name}": tensor for name, tensor in bare.items()}


def _without(prefixes: tuple[str, ...], name: str) -> str:
    return name.removeprefix(next(prefix for prefix in prefixes if name.startswith(prefix)))
