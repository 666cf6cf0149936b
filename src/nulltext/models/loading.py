"""From a name to a model: the embedded one, a hub id, a folder in diffusers' format, or a single checkpoint file."""

import json
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from nulltext.errors import ModelLoadError, ModelNotFoundError, SettingError, UnsupportedPipelineError, shown
from nulltext.models import embedded, weights
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.compiling import compile_denoiser
from nulltext.models.configs import read_config
from nulltext.models.families import Family, family_of
from nulltext.models.kinds import SINGLE_FILE, not_a_model
from nulltext.models.networks import first_line
from nulltext.models.precision import choose_dtype
from nulltext.models.quiet import quiet
from nulltext.models.recommended import Recommended
from nulltext.models.single_file import read_single_file
from nulltext.models.vq import VQAutoencoder

EMBEDDED = "scenes"
"""The name of the model that ships inside the package."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


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
    """Loads a model of one of the families in `nulltext.models.families`, frozen and ready.

    Args:
        name: "scenes" for the embedded model (a folder of that name is "./scenes" or a `Path`); or a folder in
            diffusers' format; or a single ``.safetensors`` or ``.ckpt`` file; or a hub id, "owner/name",
            fetched if it is not yet on this machine.
        device: Where to compute; a CUDA device if there is one, else the CPU.
        dtype: The denoiser's precision: float32, "tf32" (see `choose_dtype`), float16 or bfloat16; float16 on CUDA,
            else float32.
        revision: A hub id's branch, tag or commit.
        config: For a single file: a folder in diffusers' format, or a hub id, with the configs and the tokenizer which
            such a file lacks. Without it the usual ones are fetched, where it is clear which; else it has to be given.
        low_memory: Slower, in less memory: activations are computed again for the gradient, the autoencoder works in
            tiles, and what is not used waits on the CPU.
        compiled: Whether the network is compiled, and its answers compared with those of the network as it is: minutes
            at first, to save a part of each evaluation. Attention that is controlled runs as it is.

    Returns:
        The model.

    Raises:
        ModelNotFoundError: There is nothing of that name, or no network to fetch it with.
        ModelLoadError: It is damaged or incomplete.
        UnsupportedPipelineError: It is of no known family; says which there are.
        UnsupportedScheduleError: Its noise schedule cannot be walked both ways.
        CompilationError: `compiled` is on, and the gradient would be another.
        SettingError: A device or precision that does not exist here, or a revision or config where none belongs.
    """
    found_device = choose_device(device)
    precision = choose_dtype(dtype, found_device)
    found = _find(name, revision, config)
    folder = found.folder
    model = found.family.load().from_parts(
        found.parts,
        found.identity,
        device=found_device,
        dtype=precision,
        recommended=(
            Recommended(guidance=found.family.guidance)
            if folder is None
            else weights.recommended_in(folder, found.family)
        ),
        quantised=None if folder is None else VQAutoencoder.beside(folder, device=found_device),
        word_list=None if folder is None else _word_list(folder),
        low_memory=low_memory,
    )
    if compiled:
        compile_denoiser(model)
    return model


def identify(
    name: str | os.PathLike[str] = EMBEDDED,
    *,
    revision: str | None = None,
    config: str | os.PathLike[str] | None = None,
    **_: object,
) -> ModelIdentity:
    """Which weights `load` would load, without making a model of them.

    Args:
        name: As for `load`.
        revision: Likewise.
        config: Likewise.

    Raises:
        ModelError: As `load` does.
        SettingError: Likewise.
    """
    return _find(name, revision, config).identity


@dataclass(frozen=True)
class _Found:
    """Attributes: a model's family and parts; what to call it; the folder it is in, unless it is a single file."""

    family: Family
    parts: Any
    identity: ModelIdentity
    folder: Path | None


def _find(name: str | os.PathLike[str], revision: str | None, config: str | os.PathLike[str] | None) -> _Found:
    """Reads the model of a name."""
    path, ships = Path(name), isinstance(name, str) and name == EMBEDDED
    try:
        is_folder, is_file = path.is_dir() and not ships, path.is_file() and not ships
    except (OSError, ValueError):  # a name longer than the system takes, or with a null character
        is_folder = is_file = False
    if revision is not None and (ships or is_folder or is_file):
        raise SettingError(f"got revision {revision!r} with {name}; only a hub id has revisions. Leave it out.")
    if config is not None and not is_file:
        raise SettingError(f"got config {str(config)!r} with {name}; only a checkpoint file lacks one. Leave it out.")
    if ships:
        if not (embedded.FOLDER / "model_index.json").is_file():
            raise ModelNotFoundError(
                f"the embedded model is not in {embedded.FOLDER}: the package is incomplete. Reinstall it."
            )
        return _in_folder(embedded.FOLDER, EMBEDDED)
    if is_folder:
        called = path.resolve().name
        # A file made with this folder must not be taken for one made with the embedded model.
        return _in_folder(path, f"./{called}" if called == EMBEDDED else called)
    if is_file:
        family, parts = read_single_file(path, config)
        described = [] if config is None else weights.config_files(Path(config), family)
        named = [] if config is None else _settings(Path(config), family) if described else [str(config)]
        return _Found(family, parts, ModelIdentity(path.name, weights.digest([path, *described], None, *named)), None)
    if _HUB_ID.fullmatch(str(name)) and path.suffix not in SINGLE_FILE:
        folder = _fetch(str(name), revision)
        family, parts = _read_folder(folder)
        return _Found(family, parts, ModelIdentity(str(name), folder.name), folder)
    raise ModelNotFoundError(
        f"there is no model {str(name)!r}; expected {EMBEDDED!r}, a folder in diffusers' format, a .safetensors or "
        ".ckpt file, or a hub id, 'owner/name'. Check the path."
    )


def _in_folder(folder: Path, called: str) -> _Found:
    family, parts = _read_folder(folder)
    digest = weights.digest(weights.files(folder, family), folder, *_settings(folder, family))
    return _Found(family, parts, ModelIdentity(called, digest), folder)


def _settings(folder: Path, family: Family) -> list[str]:
    """What a folder's index says that changes what its model computes."""
    path = folder / "model_index.json"
    index = read_config(path) if family.settings and path.is_file() else {}
    return [f"{name}={json.dumps(index[name])}" for name in family.settings if name in index]


def _word_list(folder: Path) -> Path | None:
    path = folder / "words.txt"
    return path if path.is_file() else None


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a GPU if there is one, else the CPU.

    Raises:
        SettingError: It is not here, or nothing can be computed on it.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with warnings.catch_warnings():  # of names that torch knew once
            warnings.simplefilter("ignore")
            found = torch.device(device)
            (torch.ones(1, device=found) + 1).item()  # "meta" makes tensors, but they have no numbers
    except Exception as error:  # what is not here says so in many ways: assertions, missing modules, internal errors
        reason = first_line(error).partition(". ")[0]
        raise SettingError(
            f"got device {shown(str(device))}, which cannot compute here ({reason}); expected one that can. Try 'cpu'."
        ) from error
    return found


def _read_folder(folder: Path) -> tuple[Family, Any]:
    """A folder's family and parts, with their weights in the precision they are stored in."""
    if not (folder / "model_index.json").is_file():
        raise not_a_model(folder)
    index = read_config(folder / "model_index.json")
    family = family_of(index, folder)
    absent = [part for part in family.parts if part not in family.optional and not (folder / part).is_dir()]
    # Without its vocabulary transformers makes an empty tokenizer and says nothing.
    absent += [
        f"{part}/{family.vocabulary[0]}"
        for part in family.others
        if part.startswith("tokenizer")
        and part not in family.optional
        and not any((folder / part / name).is_file() for name in family.vocabulary)
    ]
    if absent:
        raise ModelLoadError(f"{folder} is incomplete: it lacks {', '.join(absent)}. Fetch the model again.")
    return family, family.load().read(folder, index)


def _fetch(name: str, revision: str | None) -> Path:
    """The local folder of a hub id, named after its commit; fetched if it is not there."""
    try:
        with quiet():
            index: Any = diffusers.DiffusionPipeline.load_config(name, revision=revision)
        unused: dict[str, Any] = dict.fromkeys(family_of(index, name).unused)  # before gigabytes are fetched
        return Path(diffusers.DiffusionPipeline.download(name, revision=revision, **unused))
    except UnsupportedPipelineError:
        raise
    except Exception as error:  # a dozen kinds from the hub client and its transport
        at = "" if revision is None else f" at revision {revision!r}"
        raise ModelNotFoundError(
            f"cannot get {name!r}{at} from the hub: {first_line(error)}. If the name is right, connect to the network "
            "once (or log in, if the model is gated), or give a folder or a file that is on this machine."
        ) from error
