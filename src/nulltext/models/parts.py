"""The parts of a latent diffusion model, each made by its own class: no code of a model's folder is ever run."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import diffusers
import transformers

from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import ModelLoadError, NulltextError, UnsupportedPipelineError, UnsupportedScheduleError
from nulltext.models import weights
from nulltext.models.at_hand import part_at
from nulltext.models.configs import check_sizes, check_types, read_config
from nulltext.models.networks import check_regular, first_line, read_network
from nulltext.models.offload import Offload
from nulltext.models.quiet import quiet
from nulltext.models.text_encoder import PromptEncoder, PromptReader
from nulltext.models.word_list import TaughtWords

SCHEDULER: Final = "scheduler/scheduler_config.json"
_LEAST: Final = 3
"""Tokens of an embedding: a word between its two marks."""
_LEVELS: Final = "a DDIM (DDIM, PNDM, Euler, DPM-Solver, ...)"


@runtime_checkable
class LatentParts(Protocol):
    """What `nulltext.models.latent_model.put_together` makes a model of."""

    @property
    def unet(self) -> Any:  # noqa: ANN401  diffusers carries no types
        """``UNet2DConditionModel``."""
        ...

    @property
    def vae(self) -> Any:  # noqa: ANN401
        """``AutoencoderKL``."""
        ...

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """A tokenizer that cuts prompts as they are read."""
        ...

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The config of any scheduler."""
        ...

    @property
    def width(self) -> int:
        """D, of the text embeddings."""
        ...

    @property
    def pooled(self) -> int | None:
        """P, of the pooled text; None where there is none."""
        ...

    def reader(self, offload: Offload, model: str, words: TaughtWords | None) -> PromptReader:
        """Takes over what reads prompts.

        Args:
            offload: Where it computes.
            model: What errors call the model.
            words: Those the model was taught, if it has a list.

        Raises:
            UnsupportedPipelineError: Its parts are not made for each other.
            ModelLoadError: One of them does not work.
        """
        ...


@dataclass(frozen=True)
class Parts:
    """What a checkpoint is made of.

    Attributes:
        unet: ``UNet2DConditionModel``.
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``, or another text encoder of transformers.
        tokenizer: Its tokenizer.
        scheduler_config: The config of any scheduler.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]

    @classmethod
    def of(cls, pipeline: Any) -> "Parts":  # noqa: ANN401  any with these parts
        """Those of a Stable Diffusion pipeline, which are used and not copied."""
        scheduler: Any = pipeline.scheduler
        return cls(
            unet=pipeline.unet,
            vae=pipeline.vae,
            text_encoder=pipeline.text_encoder,
            tokenizer=pipeline.tokenizer,
            scheduler_config={**scheduler.config, "_class_name": type(scheduler).__name__},
        )

    @property
    def width(self) -> int:
        """D, of the text embeddings."""
        return self.text_encoder.config.hidden_size

    @property
    def pooled(self) -> None:
        """It has no pooled text."""
        return None

    def reader(self, offload: Offload, model: str, words: TaughtWords | None) -> PromptEncoder:
        """See `LatentParts.reader`."""
        return PromptEncoder.ready(self.text_encoder, self.tokenizer, offload, model, words)


Classes = Mapping[str, tuple[str, type[Any]]]
"""Of denoiser ("unet"), autoencoder ("vae") and "text_encoder": the name of its folder, and its class."""


def read_parts(folder: Path, classes: Classes, tokenizer: type[Any]) -> Parts:
    """The parts of a folder in diffusers' format, their weights in the precision they are stored in.

    Args:
        folder: The folder.
        classes: Of the networks.
        tokenizer: The tokenizer's class.

    Raises:
        ModelLoadError: A part is damaged or incomplete.
    """
    words = read_tokenizer(folder / "tokenizer", tokenizer)
    return Parts(**read_networks(folder, classes), tokenizer=words, scheduler_config=read_scheduler(folder))


def read_networks(folder: Path, classes: Classes) -> dict[str, Any]:
    """The networks of a folder in diffusers' format, all in one variant if they are there in it.

    Raises:
        ModelLoadError: One is damaged or incomplete.
    """
    variant = weights.variant(folder, [name for name, _ in classes.values()])
    return {part: read_network(made, folder / name, variant=variant) for part, (name, made) in classes.items()}


def read_scheduler(folder: Path) -> dict[str, Any]:
    """The scheduler's config of a folder in diffusers' format.

    Raises:
        ModelLoadError: It is damaged, or a number in it is out of range.
    """
    scheduler = read_config(folder / SCHEDULER)
    check_sizes(scheduler, folder / SCHEDULER)
    return scheduler


def check_classes(folder: Path, expected: Mapping[str, str]) -> None:
    """Makes sure that parts are of the classes that they have to be.

    Args:
        folder: In diffusers' format.
        expected: The name of the class in each part's config.

    Raises:
        UnsupportedPipelineError: One is not.
        ModelLoadError: A config is damaged.
    """
    for part, made in expected.items():
        own = read_config(folder / part / "config.json").get("_class_name", made)
        if own != made:
            raise UnsupportedPipelineError(
                f"{folder / part} holds {own}; expected {made}. Put in its place the one that the "
                "checkpoint was trained with."
            )


def check_encoder(folder: Path, index: Mapping[str, Any], part: str, expected: str) -> None:
    """Makes sure that a text encoder is of the class of transformers' that it has to be.

    Args:
        folder: In diffusers' format.
        index: What its ``model_index.json`` holds.
        part: The encoder's name.
        expected: The name of that class.

    Raises:
        UnsupportedPipelineError: It is not.
    """
    wanted = ["transformers", expected]
    if index.get(part, wanted) != wanted:
        raise UnsupportedPipelineError(
            f"{folder / 'model_index.json'} names {index[part]} for the {part}; expected {expected} of transformers. "
            "Put in its place the one that the checkpoint was trained with."
        )


def network_classes(folder: Path, index: Mapping[str, Any]) -> Classes:
    """The networks of a Stable Diffusion.

    Args:
        folder: In diffusers' format.
        index: What its ``model_index.json`` holds.

    Raises:
        UnsupportedPipelineError: One of them cannot be used.
        ModelLoadError: A config is damaged.
    """
    check_classes(folder, {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"})
    encoder = _class(index, "text_encoder", "CLIPTextModel", transformers.PreTrainedModel, folder)
    return {
        "unet": ("unet", diffusers.UNet2DConditionModel),
        "vae": ("vae", diffusers.AutoencoderKL),
        "text_encoder": ("text_encoder", encoder),
    }


def tokenizer_class(folder: Path, index: Mapping[str, Any], part: str = "tokenizer") -> type[Any]:
    """The class of a tokenizer.

    Raises:
        UnsupportedPipelineError: It is none of transformers'.
    """
    return _class(index, part, "CLIPTokenizer", transformers.PreTrainedTokenizerBase, folder)


def read_tokenizer(path: Path, made: type[Any] = transformers.CLIPTokenizer) -> Any:  # noqa: ANN401 - transformers carries no types
    """A tokenizer of transformers' from a folder.

    Raises:
        ModelLoadError: It is damaged or incomplete.
    """
    check_regular(path)
    files = sorted(path.glob("*.json"))
    for file in files:
        read_config(file)
    try:
        with quiet():
            tokenizer = part_at(path, transformers.PreTrainedTokenizerBase)
            if tokenizer is None:
                tokenizer = made.from_pretrained(str(path), local_files_only=True)
            tokenizer("a", padding="max_length", max_length=8, return_offsets_mapping=True)
            length = tokenizer.model_max_length
    except BaseException as error:  # what is written in Rust panics with an exception of its own
        if not isinstance(error, Exception) and "Panic" not in type(error).__name__:
            raise
        raise ModelLoadError(
            f"{path} cannot be loaded: {first_line(error)}. One of {', '.join(file.name for file in files)} is "
            "damaged or incomplete; fetch them again."
        ) from error
    if type(length) is not int or length < _LEAST:
        raise ModelLoadError(
            f"{path / 'tokenizer_config.json'} has model_max_length={length!r}; expected a number such as 77. Correct "
            "it, or fetch the model again."
        )
    return tokenizer


def ddim_config(config: Mapping[str, Any], where: object) -> Mapping[str, Any]:
    """The config that ``DDIMScheduler.from_config`` makes of any scheduler's; of its class the name alone is looked at.

    Args:
        config: The content of a ``scheduler_config.json``, or a scheduler's ``config``.
        where: What to call it in errors.

    Raises:
        UnsupportedScheduleError: It describes no schedule that DDIM can walk both ways.
        ModelLoadError: A value has the wrong type.
    """
    name = str(config.get("_class_name", "DDIMScheduler"))
    known: Any = getattr(diffusers, name, None) if name.isidentifier() else None
    takes = inspect.signature(known.__init__).parameters if isinstance(known, type) else ()
    if "beta_schedule" not in config and "beta_schedule" not in takes:
        raise UnsupportedScheduleError(
            f"the checkpoint's scheduler is {name}, whose config has no beta schedule; expected one that describes "
            f"{_LEVELS}. Use a Stable Diffusion 1.x or 2.x checkpoint."
        )
    plain = {key: value for key, value in config.items() if key != "_class_name"}
    check_sizes(plain, Path(str(where)))
    check_types(plain, diffusers.DDIMScheduler, Path(str(where)))
    ScheduleConfig.known(plain).check_numbers(str(where))
    try:
        with quiet():
            read = dict(diffusers.DDIMScheduler.from_config(plain).config)
    except NulltextError:
        raise
    except Exception as error:  # from torch, of numbers that make no schedule
        raise UnsupportedScheduleError(
            f"{where}, the config of a {name}, describes no DDIM: {first_line(error)}; expected {_LEVELS}. Correct it, "
            "or use a Stable Diffusion 1.x or 2.x checkpoint."
        ) from error
    ScheduleConfig.known(read).check_depth(str(where))
    return read


def _class(index: Mapping[str, Any], part: str, usual: str, base: type[Any], folder: Path) -> type[Any]:
    """The class of transformers' that a model_index.json names for a part; none that the model brings along."""
    entry: object = index.get(part, ["transformers", usual])
    library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, entry)  # noqa: PLR2004
    made: Any = getattr(transformers, name, None) if library == "transformers" and isinstance(name, str) else None
    if not (isinstance(made, type) and issubclass(made, base)):
        raise UnsupportedPipelineError(
            f"{folder / 'model_index.json'} names {entry} for the {part}; expected {usual} of transformers. Code that "
            "a model brings along is not run. Choose a Stable Diffusion 1.x or 2.x checkpoint."
        )
    return made
