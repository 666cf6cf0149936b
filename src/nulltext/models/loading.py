"""From a name to a model: the embedded one, a hub id, a folder in diffusers' format, or a single checkpoint file."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import diffusers
import torch

from nulltext.errors import ModelLoadError, ModelNotFoundError, SettingError, UnsupportedPipelineError
from nulltext.models import embedded
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.quiet import quiet
from nulltext.models.stable_diffusion import StableDiffusion

EMBEDDED = "scenes"
"""The name of the model that ships inside the package."""

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""What of a pipeline is used. The safety checker of some checkpoints is neither loaded nor fetched."""

_UNUSED: dict[str, None] = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SINGLE_FILE = (".safetensors", ".ckpt")


def load(
    name: str | os.PathLike[str] = EMBEDDED,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Model:
    """Loads a Stable Diffusion 1.x or 2.x model, frozen and ready.

    Args:
        name: "scenes" for the embedded model; or a folder in diffusers' format; or a single ``.safetensors`` or
            ``.ckpt`` file; or a hub id such as "stable-diffusion-v1-5/stable-diffusion-v1-5", fetched if it is not yet
            on this machine.
        device: Where to compute; a CUDA device if there is one, else the CPU.
        dtype: The denoiser's precision: float32, float16 or bfloat16; float16 on CUDA, else float32.
        revision: A hub id's branch, tag or commit.
        config: For a single file: a folder in diffusers' format, or a hub id, with the configs and the tokenizer which
            such a file lacks. Without it they are fetched for the kind of checkpoint it is.

    Returns:
        The model.

    Raises:
        ModelNotFoundError: There is nothing of that name, or no network to fetch it with.
        ModelLoadError: It is damaged or incomplete.
        UnsupportedPipelineError: It is not a text-to-image Stable Diffusion 1.x or 2.x.
        UnsupportedScheduleError: DDIM cannot walk its noise schedule both ways.
        SettingError: A device or precision that does not exist here.
    """
    place = _device(device)
    precision = _dtype(dtype, place)
    path = Path(name)
    if revision is not None and (str(name) == EMBEDDED or path.exists()):
        raise SettingError(f"got revision {revision!r} with {name}; only a hub id has revisions. Leave it out.")
    if str(name) == EMBEDDED:
        folder = embedded.FOLDER
        if not (folder / "model_index.json").is_file():
            raise ModelNotFoundError(f"the embedded model is not in {folder}: the package is incomplete. Reinstall it.")
        pipeline, identity = _read_folder(folder), ModelIdentity(EMBEDDED, _digest(_part_files(folder), folder))
    elif path.is_dir():
        folder = path
        pipeline, identity = _read_folder(folder), ModelIdentity(path.resolve().name, _digest(_part_files(path), path))
    elif path.is_file():
        folder = path.parent
        pipeline = _read_single_file(path, config)
        described = [] if config is None or not Path(config).is_dir() else _part_files(Path(config), configs_only=True)
        identity = ModelIdentity(path.name, _digest([path, *described], None))
    elif _HUB_ID.fullmatch(str(name)) and path.suffix not in _SINGLE_FILE:
        folder = _fetch(str(name), revision)
        pipeline, identity = _read_folder(folder), ModelIdentity(str(name), folder.name)
    else:
        raise ModelNotFoundError(
            f"there is no model {str(name)!r}; expected {EMBEDDED!r}, a folder in diffusers' format, a .safetensors or "
            ".ckpt file, or a hub id such as 'stable-diffusion-v1-5/stable-diffusion-v1-5'. Check the path."
        )
    word_list = folder / "words.txt"
    return StableDiffusion.from_pipeline(
        pipeline,
        identity,
        device=place,
        dtype=precision,
        word_list=word_list if word_list.is_file() and not path.is_file() else None,
    )


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise SettingError(f"got device {str(device)!r}, which is not here: {error}. Try 'cpu'.") from error
    return place


def _dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    names = {
        "float32": torch.float32, "fp32": torch.float32,
        "float16": torch.float16, "fp16": torch.float16,
        "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    }  # fmt: skip
    known = names.get(str(dtype).removeprefix("torch."))
    if known is None:
        raise SettingError(f"got dtype {dtype!s}; expected float32, float16 or bfloat16.")
    return known


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
    absent = [part for part in PARTS if not (folder / part).is_dir()]
    if not any((folder / "tokenizer" / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        absent.append("tokenizer/vocab.json")  # without it transformers makes an empty tokenizer and says nothing
    if absent:
        raise ModelLoadError(f"{folder} is incomplete: it lacks {', '.join(absent)}. Fetch the model again.")
    try:
        with quiet():
            return diffusers.StableDiffusionPipeline.from_pretrained(
                folder, **_UNUSED, requires_safety_checker=False, local_files_only=True
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
        with quiet():
            pipeline: Any = diffusers.StableDiffusionPipeline.from_single_file(
                str(path), **settings, **_UNUSED, requires_safety_checker=False
            )
    except Exception as error:
        raise ModelLoadError(
            f"{path} cannot be loaded: {_first_line(error)}. A single file lacks the configs and the tokenizer, which "
            "are fetched once from the hub: connect to the network, or give config=, a folder in diffusers' format "
            "that has them. If they are there, the file is damaged or is no Stable Diffusion 1.x or 2.x checkpoint."
        ) from error
    if not isinstance(pipeline, diffusers.StableDiffusionPipeline):
        raise UnsupportedPipelineError(f"{path} holds a {type(pipeline).__name__}; expected a StableDiffusionPipeline.")
    return pipeline


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


def _part_files(folder: Path, *, configs_only: bool = False) -> list[Path]:
    """The configs and weights of a folder, in a fixed order."""
    kinds = (".json", ".txt") if configs_only else (".json", ".txt", ".safetensors", ".bin")
    inside = (file for part in PARTS for file in (folder / part).glob("*") if file.suffix in kinds)
    return sorted([*inside, *(file for file in (folder / "words.txt",) if file.is_file())])


def _digest(paths: Iterable[Path], root: Path | None) -> str:
    """SHA-256 over the names (under `root`, if there is one) and contents of files."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name if root is None else path.relative_to(root).as_posix()}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"
