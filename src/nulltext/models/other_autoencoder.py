"""An autoencoder in the place of a checkpoint's own."""

import re
from pathlib import Path
from typing import Any, Final

import diffusers
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

from nulltext.errors import ModelLoadError, UnsupportedPipelineError
from nulltext.models import weights
from nulltext.models.configs import read_config
from nulltext.models.fit import check_width
from nulltext.models.frozen_autoencoder import scale_of
from nulltext.models.networks import assemble, empty, first_line, read_network
from nulltext.models.tensors import open_tensors

_OWN: Final = re.compile(r"^(first_stage_model\.|vae\.)?(encoder|decoder|quant_conv|post_quant_conv)\.")
"""What the names of an autoencoder's weights begin with; training programs leave losses beside them."""
_DIFFUSERS: Final = "encoder.conv_norm_out.weight"
"""A weight that only diffusers calls so."""


def read_autoencoder(path: Path, own: Any, model: str) -> Any:  # noqa: ANN401  diffusers carries no types
    """An ``AutoencoderKL`` that a checkpoint's denoiser can work with.

    Args:
        path: A folder in diffusers' format, or a ``.safetensors``, whose config is then the checkpoint's own.
        own: The checkpoint's own.
        model: What errors call the checkpoint.

    Raises:
        ModelLoadError: It is damaged, or holds something else.
        UnsupportedPipelineError: It was made for another family.
    """
    network = _of_folder(path) if path.is_dir() else _of_file(path, own.config)
    config = network.config
    check_width(f"the latents of {path} have channels:", config.latent_channels, own.config.latent_channels, model)
    check_width(f"the latents of {path} have pixels on a side:", scale_of(config), scale_of(own.config), model)
    scaled = [config.get(name) is not None for name in ("latents_mean", "latents_std")]
    if any(scaled) and own.config.get("latents_mean") is None:
        raise UnsupportedPipelineError(
            f"{path / 'config.json'} has latents_mean or latents_std, by which latents are scaled channel by channel; "
            f"expected scaling_factor alone, as {model} has it. Choose another autoencoder."
        )
    return network


def _of_folder(path: Path) -> Any:  # noqa: ANN401  the libraries carry no types
    if not (path / "config.json").is_file():
        hint = f" Give {path / 'vae'}." if (path / "vae" / "config.json").is_file() else " Check the path."
        raise ModelLoadError(f"{path} has no config.json; expected a folder with an autoencoder of diffusers'.{hint}")
    made = read_config(path / "config.json").get("_class_name", "AutoencoderKL")
    if made != "AutoencoderKL":
        raise UnsupportedPipelineError(f"{path} holds {made}; expected an AutoencoderKL. Choose another autoencoder.")
    return read_network(diffusers.AutoencoderKL, path, variant=weights.variant(path.parent, [path.name]))


def _of_file(path: Path, config: Any) -> Any:  # noqa: ANN401  the libraries carry no types
    file = open_tensors(path)
    if not any(_OWN.match(name) for name in file.shapes):
        raise ModelLoadError(
            f"{path} holds no autoencoder, but such as {next(iter(file.shapes), 'nothing')}; expected one. A LoRA goes "
            "to --lora, a checkpoint to --model."
        )
    tensors = {name: tensor for name, tensor in file.read(("",)).items() if _OWN.match(name)}
    network = empty(diffusers.AutoencoderKL, {**config}, path)
    if _DIFFUSERS not in tensors:
        try:
            tensors = convert_ldm_vae_checkpoint(tensors, dict(config))
        except Exception as error:  # of names that are not where they belong
            raise ModelLoadError(
                f"{path} is not laid out as the checkpoint's own autoencoder: {first_line(error)}. Give a folder, "
                "which brings its config."
            ) from error
    return assemble(network, tensors, f"{path}, by the config of the checkpoint's own autoencoder,")
