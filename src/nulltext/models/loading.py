"""From a name to a model: the embedded one, a hub id, a folder in diffusers' format, or a single checkpoint file."""

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import diffusers
import torch
from torch import nn

from nulltext.errors import ModelLoadError, ModelNotFoundError, SettingError, UnsupportedPipelineError, shown
from nulltext.models import embedded, weights
from nulltext.models.additions import Additions, FilePath, Lora
from nulltext.models.at_hand import at_hand
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.build import Build
from nulltext.models.capabilities import Closable
from nulltext.models.compiling import compile_denoiser
from nulltext.models.configs import read_config
from nulltext.models.families import Adapter, Family, family_of
from nulltext.models.kinds import SINGLE_FILE, not_a_model
from nulltext.models.lending import State, Watch, end_loans
from nulltext.models.long_prompts import reading_chunks
from nulltext.models.networks import first_line
from nulltext.models.parts import Parts
from nulltext.models.pipelines import default_device, default_dtype, described
from nulltext.models.precision import choose_dtype
from nulltext.models.quiet import quiet
from nulltext.models.reach import answers
from nulltext.models.recommended import Recommended
from nulltext.models.single_file import read_single_file
from nulltext.models.vq import VQAutoencoder

EMBEDDED = "scenes"
"""The name of the model that ships inside the package."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@overload
def load(
    name: str | os.PathLike[str] = EMBEDDED,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    config: str | os.PathLike[str] | None = None,
    low_memory: bool = False,
    compiled: bool = False,
    lora: Lora | Sequence[Lora] | None = None,
    vae: FilePath | None = None,
    embedding: FilePath | Sequence[FilePath] | None = None,
    chunks: int = 1,
) -> Model: ...


@overload
def load(
    name: diffusers.DiffusionPipeline,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    revision: None = None,
    config: None = None,
    low_memory: bool = False,
    compiled: bool = False,
    chunks: int = 1,
) -> Closable: ...


def load(
    name: str | os.PathLike[str] | diffusers.DiffusionPipeline = EMBEDDED,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    config: str | os.PathLike[str] | None = None,
    low_memory: bool = False,
    compiled: bool = False,
    lora: Lora | Sequence[Lora] | None = None,
    vae: FilePath | None = None,
    embedding: FilePath | Sequence[FilePath] | None = None,
    chunks: int = 1,
) -> Model:
    """Loads a model of one of the families in `nulltext.models.families`, frozen and ready.

    Args:
        name: "scenes" for the embedded model (a folder of that name is "./scenes" or a `Path`); a folder in diffusers'
            format; a ``.safetensors`` or ``.ckpt`` file; a hub id, "owner/name", fetched if it is not here; or a
            pipeline of diffusers, whose networks are used, not copied, and are as they were after ``close()``.
        device: Where to compute; a CUDA device if there is one, else the CPU; for a pipeline where that is.
        dtype: The denoiser's precision: float32, "tf32" (see `choose_dtype`), float16 or bfloat16; float16 on CUDA,
            else float32; for a pipeline its own.
        revision: A hub id's branch, tag or commit.
        config: For a single file: a folder in diffusers' format, or a hub id, with the configs and the tokenizer that
            it lacks, and the other networks where it is a denoiser alone. By default the usual ones, if clear, fetched.
        low_memory: Slower, in less memory: activations are computed again for the gradient, the autoencoder works in
            tiles, and what is not used waits on the CPU.
        compiled: Whether the network is compiled, and its answers compared: minutes at first, to save a part of each
            evaluation. Attention that is controlled runs as it is.
        lora: ``.safetensors`` files, each alone or as (file, weight), merged into the weights.
        vae: Another autoencoder: a folder in diffusers' format, or a ``.safetensors``.
        embedding: Words learnt by textual inversion, ``.safetensors``.
        chunks: For prompts of so many times the tokens that the text encoder reads, 1 to 16, one chunk after the other.

    What is added is part of the model's identity: inversions are made with it, and edited with it alone.

    Raises:
        ModelNotFoundError: There is nothing of that name, or no network to fetch it with.
        ModelLoadError: It is damaged or incomplete.
        UnsupportedPipelineError: It is of no known family; says which there are.
        UnsupportedScheduleError: Its noise schedule cannot be walked both ways.
        CompilationError: `compiled` is on, and the gradient would be another.
        SettingError: A name that is none, a device or precision that does not exist here, a revision or config where
            none belongs, or a weight that is no number from -100 to 100.
    """
    check_name(name)
    added = Additions.of(lora, vae, embedding, chunks)
    if isinstance(name, diffusers.DiffusionPipeline):
        found = _of_pipeline(name, revision, config, added)
        denoiser = found.lent[found.family.networks[0]]
        found_device = choose_device(default_device(denoiser) if device is None else device)
        precision = choose_dtype(default_dtype(denoiser) if dtype is None else dtype, found_device)
        return _lent(found, found_device, precision, low_memory=low_memory, compiled=compiled)
    found_device = choose_device(device)
    precision = choose_dtype(dtype, found_device)
    found = _find(name, revision, config)
    parts, additions = added.to(found.parts, found.identity.id, precision)
    found = replace(found, parts=parts, identity=replace(found.identity, additions=additions))
    return _ready(found, found_device, precision, low_memory=low_memory, compiled=compiled)


def check_name(name: object) -> None:
    """Makes sure that a model is named by what can name one.

    Raises:
        UnsupportedPipelineError: It is a part of a pipeline, or its class.
        SettingError: It is nothing of that kind, or empty.
    """
    wanted = "expected a name, a folder, a file, or a pipeline of diffusers"
    if isinstance(name, nn.Module):
        raise UnsupportedPipelineError(
            f"got a {type(name).__name__}, one part of a model; {wanted}. Give the whole pipeline: nulltext.load(pipe)."
        )
    if isinstance(name, type) and issubclass(name, diffusers.DiffusionPipeline):
        raise UnsupportedPipelineError(
            f"got the class {name.__name__}; {wanted}. Make one: {name.__name__}.from_pretrained(folder), or give the "
            "folder."
        )
    if not isinstance(name, str | os.PathLike | diffusers.DiffusionPipeline):
        raise SettingError(f"got {shown(name)} for the model; {wanted}. Leave it out for {EMBEDDED!r}.")
    if isinstance(name, str) and not name.strip():
        raise SettingError(f"got an empty name for the model; {wanted}. The present folder is '.'.")


def _ready(found: "_Found", device: torch.device, dtype: torch.dtype, *, low_memory: bool, compiled: bool) -> Model:
    """A model of what was found."""
    folder = found.folder
    build = Build(
        identity=found.identity,
        device=device,
        dtype=dtype,
        recommended=(
            Recommended(guidance=found.family.guidance)
            if folder is None
            else weights.recommended_in(folder, found.family)
        ),
        quantised=None if folder is None else VQAutoencoder.beside(folder, device=device),
        word_list=None if folder is None else _word_list(folder),
        low_memory=low_memory,
    )
    model = found.family.load().from_parts(found.parts, build)
    if chunks := next((int(each.name) for each in found.identity.additions if each.kind == "chunks"), 0):
        model = reading_chunks(model, chunks)
    if compiled:
        compile_denoiser(model)
    return model


def _lent(found: "_Found", device: torch.device, dtype: torch.dtype, *, low_memory: bool, compiled: bool) -> Closable:
    """The same of networks that are lent, which are left as they were if no model can be made of them."""
    state = State(found.lent.values())
    try:
        model = _closable(_ready(found, device, dtype, low_memory=low_memory, compiled=compiled))
        state.release()
    except BaseException:
        state.restore()
        raise
    model.loan.begin(found.lent.values(), state.restore, Watch(found.pipeline, found.used))
    return model


def _closable(model: Model) -> Closable:
    if not isinstance(model, Closable):
        raise UnsupportedPipelineError(
            f"got {model.identity.id}, of which no model can be made that leaves it as it was; expected another "
            "family's. Save it, and load the folder: pipe.save_pretrained(folder), nulltext.load(folder)."
        )
    return model


def identify(
    name: str | os.PathLike[str] = EMBEDDED,
    *,
    revision: str | None = None,
    config: str | os.PathLike[str] | None = None,
    lora: Lora | Sequence[Lora] | None = None,
    vae: FilePath | None = None,
    embedding: FilePath | Sequence[FilePath] | None = None,
    **_: object,
) -> ModelIdentity:
    """Which weights `load` would load, without making a model of them; for its arguments see there.

    Raises:
        ModelError: As `load` does.
        SettingError: Likewise.
    """
    check_name(name)
    additions = Additions.of(lora, vae, embedding).named()
    return replace(_find(name, revision, config).identity, additions=additions)


@dataclass(frozen=True)
class _Found:
    """What `load` makes a model of.

    Attributes:
        family: The model's.
        parts: Its parts.
        identity: What to call it.
        folder: The folder it is in, if it is in one.
        pipeline: The pipeline that lends it, if one does.
        lent: The networks of that.
        used: These and its tokenizers, by their names in it.
    """

    family: Family
    parts: Parts
    identity: ModelIdentity
    folder: Path | None
    pipeline: diffusers.DiffusionPipeline | None = None
    lent: Mapping[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    used: Mapping[str, Any] = field(default_factory=dict[str, Any])


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
        read = read_single_file(path, config)
        family = read.family
        described = [] if config is None else weights.config_files(Path(config), family)
        named = [] if config is None else _settings(Path(config), family) if described else [str(config)]
        digest = weights.digest([path, *described, *read.borrowed], None, *named)
        return _Found(family, read.parts, ModelIdentity(path.name, digest), None)
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


def of_pipeline(pipeline: diffusers.DiffusionPipeline) -> tuple[Adapter, Parts]:
    """The adapter of a pipeline, and its parts, which are used and not copied.

    Raises:
        UnsupportedPipelineError: It is of no known family; says which there are.
    """
    with described(pipeline) as known, at_hand(known.parts):
        family, parts = _read_folder(known.folder)
        return family.load(), parts


def _of_pipeline(pipeline: diffusers.DiffusionPipeline, revision: object, config: object, added: Additions) -> _Found:
    """Reads a pipeline, by what its family's adapter would read from a folder."""
    if replace(added, chunks=1) != Additions():
        raise SettingError(
            f"got a pipeline and {added}; expected a pipeline that has it already. Add it to the pipeline, merge a "
            "LoRA with its fuse_lora() and unload_lora_weights(), and load that."
        )
    for setting, value in (("revision", revision), ("config", config)):
        if value is not None:
            raise SettingError(f"got {setting} {shown(str(value))} with a pipeline, which has its own. Leave it out.")
    with described(pipeline) as known, at_hand(known.parts):
        end_loans(known.networks.values())  # so that the digest is of the weights as they were
        family, parts = _read_folder(known.folder)
        digest = known.digest(*_settings(known.folder, family))
        identity = ModelIdentity(f"a {type(pipeline).__name__}", digest, added.named())
        used = {folder.name: part for folder, part in known.parts.items()}
        return _Found(family, parts, identity, None, pipeline, dict(known.networks), used)


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


def _read_folder(folder: Path) -> tuple[Family, Parts]:
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
        if "tokenizer" in part
        and part not in family.optional
        and not any((folder / part / name).is_file() for name in family.vocabulary)
    ]
    if absent:
        raise ModelLoadError(f"{folder} is incomplete: it lacks {', '.join(absent)}. Fetch the model again.")
    return family, family.load().read(folder, index)


def _fetch(name: str, revision: str | None) -> Path:
    """The local folder of a hub id, named after its commit; fetched if it is not there."""
    offline = not answers()
    at = "" if revision is None else f" at revision {revision!r}"
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The `local_dir_use_symlinks` argument")  # diffusers gives it
            where: dict[str, Any] = {"revision": revision, "local_files_only": offline}
            index: Any = diffusers.DiffusionPipeline.load_config(name, **where)
        unused: dict[str, Any] = dict.fromkeys(family_of(index, name).unused)  # before gigabytes are fetched
        return Path(diffusers.DiffusionPipeline.download(name, **where, **unused))
    except UnsupportedPipelineError:
        raise
    except Exception as error:  # a dozen kinds from the hub client and its transport
        if offline:
            raise ModelNotFoundError(
                f"{name!r}{at} is not on this machine, and the hub cannot be reached from it: cannot get {name!r} from "
                "the hub. If the name is right, connect to the network once, or give a folder or a file that is here."
            ) from error
        raise ModelNotFoundError(
            f"cannot get {name!r}{at} from the hub: {first_line(error)}. If the name is right, connect to the network "
            "once (or log in, if the model is gated), or give a folder or a file that is on this machine."
        ) from error
