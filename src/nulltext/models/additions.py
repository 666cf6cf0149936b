"""What people add to a checkpoint: LoRAs, another autoencoder, learnt words. Each is part of which model it is."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final

import torch

from nulltext.checks import Range, check_numbers, checked
from nulltext.errors import ModelLoadError, ModelNotFoundError, SettingError, UnsupportedPipelineError, shown
from nulltext.models import weights
from nulltext.models.base import Addition
from nulltext.models.chunks import MOST_CHUNKS
from nulltext.models.learnt_words import teach
from nulltext.models.other_autoencoder import read_autoencoder
from nulltext.models.parts import Parts
from nulltext.models.quiet import quiet
from nulltext.models.tensors import SAFE

FilePath = str | os.PathLike[str]
Lora = FilePath | tuple[FilePath, float]
"""A LoRA's file, perhaps with its weight, which is 1 otherwise."""
_WEIGHTS = Annotated[float, Range(least=-100, most=100)]
"""How much of a LoRA may be added; 0.5 to 1 is usual."""


@final
@dataclass(frozen=True, kw_only=True)
class Additions:
    """What is added to a checkpoint.

    Attributes:
        lora: LoRA files with their weights.
        vae: The folder or the file of an autoencoder in the checkpoint's own one's place.
        embedding: Files of words that were learnt by textual inversion.
        chunks: Of how many runs of the tokens that the text encoders read a prompt is made up, 1 to 16.

    Raises:
        SettingError: A weight is no number from -100 to 100, or a file is named twice.
        ModelNotFoundError: There is no such file.
        ModelLoadError: It is a pickled one.
    """

    lora: tuple[tuple[Path, float], ...] = ()
    vae: Path | None = None
    embedding: tuple[Path, ...] = ()
    chunks: Annotated[int, Range(least=1, most=MOST_CHUNKS)] = 1

    @classmethod
    def of(
        cls,
        lora: Lora | Sequence[Lora] | None = None,
        vae: FilePath | None = None,
        embedding: FilePath | Sequence[FilePath] | None = None,
        chunks: int = 1,
    ) -> "Additions":
        """Of what `nulltext.load` is given."""
        return cls(
            lora=tuple(_weighted(one) for one in _several(lora)),
            vae=None if vae is None else Path(vae),
            embedding=tuple(Path(one) for one in _several(embedding)),
            chunks=chunks,
        )

    def __str__(self) -> str:
        """What is added, as the options say it."""
        each = [f"--lora {path}" for path, _ in self.lora] + [f"--vae {self.vae}"] * (self.vae is not None)
        return ", ".join([*each, *(f"--embedding {path}" for path in self.embedding)]) or "nothing"

    def __post_init__(self) -> None:
        check_numbers(self)
        files = {"lora": [path for path, _ in self.lora], "embedding": self.embedding}
        for name, paths in files.items():
            for path in paths:
                _check_file(name, path)
            if twice := [path for at, path in enumerate(paths) if path in paths[:at]]:
                raise SettingError(f"got {name} {shown(twice[0])} twice; expected it once. Leave one out.")
        if self.vae is not None and not self.vae.is_dir():
            _check_file("vae", self.vae)

    def to(self, parts: Parts, model: str, dtype: torch.dtype) -> tuple[Parts, tuple[Addition, ...]]:
        """A checkpoint's parts with all that is added, and what names it in the model's identity.

        Args:
            parts: As `nulltext.models.families.Adapter.read` gives them; their networks and tokenizers are changed.
            model: What errors call the checkpoint.
            dtype: The denoiser's precision, in which LoRAs are merged.

        Raises:
            UnsupportedPipelineError: Something was made for another family.
            ModelLoadError: Something is damaged, or not what it is given as.
        """
        return self._add(parts, model, dtype), self.named()

    def _add(self, parts: Parts, model: str, dtype: torch.dtype) -> Parts:
        if self.vae is not None:
            parts = parts.but(vae=read_autoencoder(self.vae, _own_autoencoder(parts, model), model))
        if self.embedding:
            for path in self.embedding:
                teach(path, vars(parts), model)
        if self.lora:
            from nulltext.models.lora import NETWORKS, merge  # noqa: PLC0415  peft takes a second to load

            networks = {name: part for name, part in vars(parts).items() if name in NETWORKS}
            with quiet():
                for name, network in networks.items():
                    network.to(torch.float32 if name.startswith("text_encoder") else dtype)
            for path, weight in self.lora:
                merge(path, weight, networks, model)
        return parts

    def named(self) -> tuple[Addition, ...]:
        """What names all that is added in a model's identity."""
        return tuple(self._named())

    def _named(self) -> Iterator[Addition]:
        for path, weight in self.lora:
            yield Addition("lora", path.name, _digest(path), weight)
        if self.vae is not None:
            yield Addition("vae", self.vae.resolve().name, _digest(self.vae))
        for path in self.embedding:
            yield Addition("embedding", path.name, _digest(path))
        if self.chunks > 1:
            name = str(self.chunks)
            yield Addition("chunks", name, f"sha256:{hashlib.sha256(name.encode()).hexdigest()}")


def _own_autoencoder(parts: Parts, model: str) -> Any:  # noqa: ANN401  diffusers carries no types
    if "vae" not in vars(parts):
        raise UnsupportedPipelineError(
            f"got --vae with {model}, which has no AutoencoderKL that another could replace; expected a model of "
            "another family. Leave --vae out."
        )
    return parts.vae


def _several(given: Any) -> Sequence[Any]:  # noqa: ANN401  one of something, or several
    """One or several, as several; a path with a number is one LoRA."""
    if given is None:
        return ()
    pair = isinstance(given, tuple) and len(given) == 2 and not isinstance(given[1], str | os.PathLike | tuple)  # noqa: PLR2004  a file and its weight
    return (given,) if pair or isinstance(given, str | os.PathLike) else tuple(given)


def _weighted(one: Lora) -> tuple[Path, float]:
    path, weight = one if isinstance(one, tuple) else (one, 1.0)
    return Path(path), checked(f"the weight of {shown(os.fspath(path))}", float(weight), _WEIGHTS)


def _check_file(name: str, path: Path) -> None:
    try:
        there = path.is_file()
    except (OSError, ValueError):  # a name longer than the system takes, or with a null character
        there = False
    if not there:
        raise ModelNotFoundError(f"there is no file {shown(path)} for {name}; expected a {SAFE}. Check the path.")
    if path.suffix != SAFE:
        raise ModelLoadError(
            f"{path} for {name} is not opened: a file of that kind may be pickled, which runs what it holds; expected "
            f"a {SAFE}. Take the one that is offered beside it, or convert it."
        )


def _digest(path: Path) -> str:
    """SHA-256 of a file's content, or of a folder's files, whatever it is called."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".json", SAFE, ".bin"))
        return weights.digest(files, path)
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
