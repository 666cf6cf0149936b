"""Networks from a folder or from tensors, with every weight that they have, or an error that names those they lack."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import accelerate
import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from nulltext.errors import ModelLoadError, NulltextError
from nulltext.models import weights
from nulltext.models.at_hand import part_at
from nulltext.models.configs import check_sizes, check_types, read_config
from nulltext.models.finite import check_finite_network, check_finite_weights
from nulltext.models.quiet import quiet
from nulltext.models.tensors import shapes_in

HARMLESS: Final = (
    r"(^|\.)position_ids$",  # counted, not learnt; saved by earlier versions of transformers
    r"^(logit_scale|(text|visual)_projection(\.weight)?)$|^vision_model\.",  # of a whole CLIP, beside its text encoder
)
"""Weights that a file may hold though the network has none of that name."""
_LORA: Final = re.compile(r"lora_|\.lora\.|\.base_layer\.|\.hada_|\.lokr_|\.dora_scale|^lora")
_NAMED: Final = 3

Reshaped = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A weight's name, the shape the file has it in, and the shape the network has."""


def is_lora(names: Iterable[str]) -> bool:
    """Whether some of these weights are a low-rank adapter's that was not merged into the others."""
    return any(_LORA.search(name) for name in names)


def check_weights(
    where: object,
    *,
    missing: Collection[str],
    unexpected: Collection[str] = (),
    reshaped: Collection[Reshaped] = (),
    harmless: Iterable[str] = (),
) -> None:
    """Makes sure that a file held a network's weights, all of them and nothing else.

    Args:
        where: What to call the file.
        missing: Weights of the network that the file has not.
        unexpected: Weights of the file that the network has not.
        reshaped: Weights of both, in different shapes.
        harmless: Patterns of further names that may be in the file.

    Raises:
        ModelLoadError: It did not.
    """
    allowed = [re.compile(pattern) for pattern in (*HARMLESS, *harmless)]
    extra = [name for name in unexpected if not any(pattern.search(name) for pattern in allowed)]
    if adapters := [name for name in unexpected if is_lora([name])]:
        raise ModelLoadError(
            f"{where} was saved with a LoRA that is not merged ({_some(adapters)}); "
            "fuse it first: pipe.fuse_lora(), pipe.unload_lora_weights(), pipe.save_pretrained(folder)."
        )
    found: list[str] = []
    if missing:
        found.append(f"{_count(missing)} of its weights are missing ({_some(missing)})")
    if extra:
        found.append(f"{_count(extra)} are none of its own ({_some(extra)})")
    if reshaped:
        shapes = (f"{name} is {list(got)}, expected {list(expected)}" for name, got, expected in sorted(reshaped))
        found.append(f"{_count(reshaped)} have another shape ({_some(shapes, keep_order=True)})")
    if found:
        raise ModelLoadError(
            f"{where} does not hold the network that its config describes: {'; '.join(found)}. Fetch it again, or "
            "save it again with the program it comes from."
        )


def read_network(made: type[Any], folder: Path, *, variant: str | None = None, harmless: Iterable[str] = ()) -> Any:  # noqa: ANN401  the libraries carry no types
    """A network of diffusers' or transformers' from a folder, with all of its weights.

    Args:
        made: Its class.
        folder: With ``config.json`` and weights, as `made` saves them.
        variant: Of the weights, if they are there in that variant.
        harmless: Patterns of names that may be in the file though the network does not have them.

    Raises:
        ModelLoadError: The folder is damaged or incomplete, or its weights are others than its config describes, or
            no finite numbers.
        UnsupportedPipelineError: A pipeline lends a network of another class.
    """
    if (own := part_at(folder, made)) is not None:
        check_finite_network(own, folder)
        return own
    config_file = folder / "config.json"
    config = read_config(config_file)
    check_sizes(config, config_file)
    check_regular(folder)
    files, variant = weights.loaded_from(folder, variant)
    if not files:
        raise ModelLoadError(f"{folder} is incomplete: it has no weights. Fetch the model again.")
    if (folder / "adapter_config.json").is_file():
        raise ModelLoadError(f"{folder} was saved with a LoRA that is not merged (adapter_config.json); fuse it first.")
    settings: dict[str, Any] = {"ignore_mismatched_sizes": True} if issubclass(made, PreTrainedModel) else {}
    if not settings:
        check_types(config, made, config_file)
    try:
        with quiet():
            loaded: Any = made.from_pretrained(
                str(folder),
                variant=variant,
                use_safetensors=files[0].suffix == ".safetensors",
                local_files_only=True,
                output_loading_info=True,
                **settings,
            )
    except NulltextError:
        raise
    except Exception as error:  # whatever the libraries' readers raise
        if not settings:
            check_weights(folder, missing=(), reshaped=_reshaped(made, config, files))
        raise ModelLoadError(
            f"{folder} cannot be loaded: {first_line(error)}. Its {_files([config_file, *files])} are damaged or "
            "incomplete; fetch them again."
        ) from error
    network, found = loaded
    check_loaded(folder, found, harmless=harmless)
    _check_floating(files)
    check_finite_network(network, folder)
    return network


def check_regular(folder: Path) -> None:
    """Makes sure that a folder holds files: a pipe among them would be read until somebody writes.

    Raises:
        ModelLoadError: It does not.
    """
    for path in folder.iterdir():
        if not path.is_file() and not path.is_dir():
            raise ModelLoadError(f"{path} is no file, or leads to none; expected one. Fetch the model again.")


def _check_floating(files: Iterable[Path]) -> None:
    """Makes sure that weights are no whole numbers, which would be taken as they are.

    Raises:
        ModelLoadError: Some are.
    """
    for path in files:
        if path.suffix != ".safetensors":
            continue
        opened: Any = safe_open(path, framework="pt")  # safetensors carries no types
        with opened as file:
            whole = [
                name
                for name in file.keys()  # noqa: SIM118  no dict
                if not name.endswith("position_ids") and file.get_slice(name).get_dtype()[0] not in "FB"
            ]
        if whole:
            raise ModelLoadError(
                f"{path} has {len(whole)} weights of whole numbers ({', '.join(whole[:3])}); expected floating point. "
                "It is quantised, or another model's: take the checkpoint that it was made of."
            )


def check_loaded(where: object, found: Mapping[str, Any], *, harmless: Iterable[str] = ()) -> None:
    """As `check_weights`, by what ``from_pretrained(output_loading_info=True)`` says of a file.

    Raises:
        ModelLoadError: It did not hold the network's weights.
    """
    check_weights(
        where,
        missing=found["missing_keys"],
        unexpected=found["unexpected_keys"],
        reshaped=[(name, tuple(got), tuple(own)) for name, got, own in found["mismatched_keys"]],
        harmless=harmless,
    )


def assemble(network: Any, tensors: Mapping[str, torch.Tensor], where: object) -> Any:  # noqa: ANN401  the libraries carry no types
    """Puts tensors into a network that was made by `empty`.

    Raises:
        ModelLoadError: They are not its weights, or no finite numbers.
    """
    own = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_weights(
        where,
        missing=own.keys() - given.keys(),
        unexpected=given.keys() - own.keys(),
        reshaped=[(name, shape, own[name]) for name, shape in given.items() if own.get(name, shape) != shape],
    )
    check_finite_weights(tensors, where)
    network.load_state_dict({name: tensors[name] for name in own}, assign=True)
    return network


def empty(made: type[Any], config: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401  the libraries carry no types
    """A network of a config, whose weights take no memory until `assemble` brings them.

    Raises:
        ModelLoadError: The config describes none.
    """
    check_sizes(config, path)
    try:
        with quiet(), accelerate.init_empty_weights():
            if issubclass(made, PreTrainedModel):
                described: Any = made.config_class
                return made(described(**config))
            check_types(config, made, path)
            return made.from_config(dict(config))
    except NulltextError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"{path} describes no {made.__name__}: {first_line(error)}. Correct it, or fetch the model again."
        ) from error


def first_line(error: BaseException) -> str:
    """What kind of an error it was, and the beginning of what it said."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines[0] = f"{lines[0]} {lines[1]}"
    return f"{type(error).__name__}: {lines[0].rstrip('. ')}" if lines else type(error).__name__


def _reshaped(made: type[Any], config: Mapping[str, Any], files: Iterable[Path]) -> list[Reshaped]:
    """Which weights of files have other shapes than those of the network that a config describes."""
    try:
        with quiet(), accelerate.init_empty_weights():
            network = made.from_config(dict(config))
        given = {name: shape for file in files for name, shape in shapes_in(file).items()}
    except Exception:  # noqa: BLE001 - then the error that is being explained says more
        return []
    own = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    return [(name, given[name], own[name]) for name in own.keys() & given.keys() if given[name] != own[name]]


def _some(names: Iterable[str], *, keep_order: bool = False) -> str:
    listed = list(names) if keep_order else sorted(names)
    return ", ".join(listed[:_NAMED]) + (", ..." if len(listed) > _NAMED else "")


def _count(names: Collection[object]) -> str:
    return f"{len(names)}"


def _files(paths: Iterable[Path]) -> str:
    return " or ".join(path.name for path in paths)
