"""From a name to a model: the embedded one, a hub id, a folder in diffusers' format, or a single checkpoint file."""

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from safetensors import safe_open

from nulltext.errors import ModelLoadError, ModelNotFoundError, SettingError, UnsupportedPipelineError
from nulltext.models import embedded, weights
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.compiling import compile_denoiser
from nulltext.models.precision import choose_dtype
from nulltext.models.quiet import quiet
from nulltext.models.stable_diffusion import StableDiffusion
from nulltext.models.vq import VQAutoencoder

EMBEDDED = "scenes"
"""The name of the model that ships inside the package."""

_UNUSED: dict[str, None] = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SINGLE_FILE = (".safetensors", ".ckpt")
_TEXT_READER = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
_WIDTH_OF_2 = 1024
"""A weight of single files and its width, the text encoder's, in Stable Diffusion 2.x; in 1.x that is 768."""


def load(
    name: str | os.PathLike[str] = EMBEDDED,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    config: str | os.PathLike[str] | None = None,
    low_memory: bool = False,
    compiled: bool = False,
) -> Model:
    """Loads a Stable Diffusion 1.x or 2.x model, frozen and ready.

    Args:
        name: "scenes" for the embedded model (a folder of that name is "./scenes" or a `Path`); or a folder in
            diffusers' format; or a single ``.safetensors`` or ``.ckpt`` file; or a hub id such as
            "stable-diffusion-v1-5/stable-diffusion-v1-5", fetched if it is not yet on this machine.
        device: Where to compute; a CUDA device if there is one, else the CPU.
        dtype: The denoiser's precision: float32, "tf32" (see `choose_dtype`), float16 or bfloat16; float16 on CUDA,
            else float32.
        revision: A hub id's branch, tag or commit.
        config: For a single file: a folder in diffusers' format, or a hub id, with the configs and the tokenizer which
            such a file lacks. Without it those of Stable Diffusion 1.5 are fetched; for 2.x it has to be given.
        low_memory: Slower, in less memory: activations are computed again for the gradient, the autoencoder works in
            tiles, and what is not used waits on the CPU.
        compiled: Whether the network is compiled, and its answers compared with those of the network as it is: minutes
            at first, to save a part of each evaluation. Attention that is controlled runs as it is.

    Returns:
        The model.

    Raises:
        ModelNotFoundError: There is nothing of that name, or no network to fetch it with.
        ModelLoadError: It is damaged or incomplete.
        UnsupportedPipelineError: It is not a text-to-image Stable Diffusion 1.x or 2.x.
        UnsupportedScheduleError: DDIM cannot walk its noise schedule both ways.
        CompilationError: `compiled` is on, and the gradient would be another.
        SettingError: A device or precision that does not exist here, or a revision or config where none belongs.
    """
    place = choose_device(device)
    precision = choose_dtype(dtype, place)
    path, ships = Path(name), isinstance(name, str) and name == EMBEDDED
    try:
        is_folder, is_file = path.is_dir() and not ships, path.is_file() and not ships
    except OSError:  # a name longer than the system takes
        is_folder = is_file = False
    if revision is not None and (ships or is_folder or is_file):
        raise SettingError(f"got revision {revision!r} with {name}; only a hub id has revisions. Leave it out.")
    if config is not None and not is_file:
        raise SettingError(f"got config {str(config)!r} with {name}; only a checkpoint file lacks one. Leave it out.")
    if ships:
        folder = embedded.FOLDER
        if not (folder / "model_index.json").is_file():
            raise ModelNotFoundError(f"the embedded model is not in {folder}: the package is incomplete. Reinstall it.")
        pipeline = _read_folder(folder)
        identity = ModelIdentity(EMBEDDED, weights.digest(weights.files(folder), folder))
    elif is_folder:
        folder = path
        pipeline, called = _read_folder(folder), path.resolve().name
        # A file made with this folder must not be taken for one made with the embedded model.
        called = f"./{called}" if called == EMBEDDED else called
        identity = ModelIdentity(called, weights.digest(weights.files(folder), folder))
    elif is_file:
        folder = path.parent
        pipeline = _read_single_file(path, config)
        described = [] if config is None else weights.config_files(Path(config))
        named = [] if config is None or described else [str(config)]
        identity = ModelIdentity(path.name, weights.digest([path, *described], None, *named))
    elif _HUB_ID.fullmatch(str(name)) and path.suffix not in _SINGLE_FILE:
        folder = _fetch(str(name), revision)
        pipeline, identity = _read_folder(folder), ModelIdentity(str(name), folder.name)
    else:
        raise ModelNotFoundError(
            f"there is no model {str(name)!r}; expected {EMBEDDED!r}, a folder in diffusers' format, a .safetensors or "
            ".ckpt file, or a hub id such as 'stable-diffusion-v1-5/stable-diffusion-v1-5'. Check the path."
        )
    word_list = folder / "words.txt"
    model = StableDiffusion.from_pipeline(
        pipeline,
        identity,
        device=place,
        dtype=precision,
        recommended=None if is_file else weights.recommended_in(folder),
        quantised=None if is_file else VQAutoencoder.beside(folder, device=place),
        word_list=word_list if word_list.is_file() and not is_file else None,
        low_memory=low_memory,
    )
    if compiled:
        compile_denoiser(model)
    return model


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a GPU if there is one, else the CPU.

    Raises:
        SettingError: It is not here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise SettingError(f"got device {str(device)!r}, which is not here: {error}. Try 'cpu'.") from error
    return place


def _check_kind(index: object, name: str) -> None:
    """Makes sure that what a model_index.json holds is a plain Stable Diffusion's."""
    kind = cast("dict[str, Any]", index).get("_class_name") if isinstance(index, dict) else None
    if kind != "StableDiffusionPipeline":
        raise UnsupportedPipelineError(
            f"{name} holds a {kind}; expected a StableDiffusionPipeline (Stable Diffusion 1.x or 2.x, text to image). "
            "Choose such a checkpoint."
        )


def _read_folder(folder: Path) -> "diffusers.StableDiffusionPipeline":
    """A folder's pipeline, with its weights in the precision they are stored in."""
    try:
        index: object = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            f"{folder} has no model_index.json; expected a folder in diffusers' format. Check the path."
        ) from error
    except ValueError as error:
        raise ModelLoadError(f"{folder}/model_index.json is damaged: {error}. Fetch the model again.") from error
    _check_kind(index, str(folder))
    absent = [part for part in weights.PARTS if not (folder / part).is_dir()]
    if not any((folder / "tokenizer" / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        absent.append("tokenizer/vocab.json")  # without it transformers makes an empty tokenizer and says nothing
    if absent:
        raise ModelLoadError(f"{folder} is incomplete: it lacks {', '.join(absent)}. Fetch the model again.")
    try:
        with quiet():
            return diffusers.StableDiffusionPipeline.from_pretrained(
                folder,
                variant=weights.variant(folder),
                **_UNUSED,
                requires_safety_checker=False,
                local_files_only=True,
            )
    except Exception as error:  # diffusers raises whatever its readers raise
        raise ModelLoadError(
            f"{folder} cannot be loaded: {_first_line(error)}. It is damaged or incomplete; fetch it again."
        ) from error


def _read_single_file(path: Path, config: str | os.PathLike[str] | None) -> "diffusers.StableDiffusionPipeline":
    """A single file's pipeline. Pickled checkpoints are read by torch's weights-only unpickler."""
    if path.suffix not in _SINGLE_FILE:
        raise ModelLoadError(f"{path} is no checkpoint file; expected one that ends in .safetensors or .ckpt.")
    settings: dict[str, Any] = {} if config is None else {"config": str(config)}
    try:
        if config is None:
            _check_version(path)
        with quiet():
            pipeline: Any = diffusers.StableDiffusionPipeline.from_single_file(
                str(path), **settings, **_UNUSED, requires_safety_checker=False
            )
    except ModelLoadError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"{path} cannot be loaded: {_first_line(error)}. A single file lacks the configs and the tokenizer, which "
            "are fetched once from the hub: connect to the network, or give config= (--config), a folder in diffusers' "
            "format that has them. If they are there, the file is damaged or is no Stable Diffusion 1.x or 2.x "
            "checkpoint."
        ) from error
    if not isinstance(pipeline, diffusers.StableDiffusionPipeline):
        raise UnsupportedPipelineError(f"{path} holds a {type(pipeline).__name__}; expected a StableDiffusionPipeline.")
    return pipeline


def _check_version(path: Path) -> None:
    """Makes sure that a single file without a config is no Stable Diffusion 2.x: diffusers takes all those for v."""
    if path.suffix == ".safetensors":
        opened: Any = safe_open(path, framework="pt")  # safetensors carries no types
        with opened as file:
            shape = file.get_slice(_TEXT_READER).get_shape() if _TEXT_READER in set(file.keys()) else [0]
    else:
        state: Any = torch.load(path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path))
        weight = state.get("state_dict", state).get(_TEXT_READER)
        shape = [0] if weight is None else weight.shape
    if shape[-1] == _WIDTH_OF_2:
        raise ModelLoadError(
            f"{path} is a Stable Diffusion 2.x checkpoint. Some of these predict ε and others v, and the file does not "
            "say which; mistaken, they draw noise. Give config= (--config), a folder in diffusers' format or the hub "
            "id of the model that it comes from."
        )


def _fetch(name: str, revision: str | None) -> Path:
    """The local folder of a hub id, named after its commit; fetched if it is not there."""
    try:
        with quiet():
            index = diffusers.DiffusionPipeline.load_config(name, revision=revision)
        _check_kind(index, name)  # before gigabytes of something else are fetched
        return Path(diffusers.DiffusionPipeline.download(name, revision=revision, **_UNUSED))
    except UnsupportedPipelineError:
        raise
    except Exception as error:  # a dozen kinds from the hub client and its transport
        at = "" if revision is None else f" at revision {revision!r}"
        raise ModelNotFoundError(
            f"cannot get {name!r}{at} from the hub: {_first_line(error)}. If the name is right, connect to the network "
            "once (or log in, if the model is gated), or give a folder or a file that is on this machine."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('. ')}" if lines else type(error).__name__
