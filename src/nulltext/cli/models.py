"""Which model a command loads, and how it computes: one set of options for all commands."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from nulltext.cli import options, terminal
from nulltext.errors import ModelNotFoundError, SettingError, shown

if TYPE_CHECKING:
    from nulltext import Model, ModelIdentity

EMBEDDED = "scenes"


@dataclass(frozen=True, kw_only=True)
class How:
    """How a model is loaded, whichever it is; the fields are `nulltext.load`'s."""

    config: options.Config = None
    device: options.Device = None
    dtype: options.Dtype = None
    low_memory: options.LowMemory = False
    compiled: options.Compiled = False
    lora: options.Lora = None
    vae: options.Vae = None
    embedding: options.Embedding = None
    chunks: options.Chunks = 1

    @property
    def settings(self) -> dict[str, Any]:
        """What `nulltext.load` is given: of what is added, only what there is."""
        plain = {each.name: getattr(self, each.name) for each in fields(How)}
        added = {
            "lora": tuple(_weighted(one) for one in plain.pop("lora") or ()),
            "vae": plain.pop("vae"),
            "embedding": tuple(plain.pop("embedding") or ()),
            "chunks": plain.pop("chunks"),
        }
        return plain | {name: value for name, value in added.items() if value not in (None, (), 1)}


@dataclass(frozen=True, kw_only=True)
class Loading(How):
    """The model that a command names."""

    model: options.ModelName = EMBEDDED

    def load(self) -> "Model":
        """Loads it, and says so meanwhile."""
        return _load(self.model, self.settings)


@dataclass(frozen=True, kw_only=True)
class FileLoading(How):
    """The model that an inversion file asks for."""

    model: options.FileModel = None

    def load(self, identity: "ModelIdentity") -> "Model":
        """Loads the model that an inversion was made with, and says so meanwhile.

        Raises:
            ModelNotFoundError: The file was made with a folder, a file or a pipeline, and says not where that is.
        """
        how = {each.kind: int(each.name) for each in identity.additions if each.kind == "chunks"} | self.settings
        if lacking := [each for each in identity.additions if each.kind not in how]:
            raise ModelNotFoundError(
                f"this inversion was made with {', '.join(map(str, lacking))}, of which it has the name and a digest. "
                f"Give that again: {_asked(lacking)}."
            )
        if self.model is not None:
            return _load(self.model, how)
        by_digest = identity.revision.startswith("sha256:")
        if by_digest and identity.id != EMBEDDED:
            raise ModelNotFoundError(
                f"this inversion was made with a folder, file or pipeline named {identity.id!r}, which may be "
                "anywhere. Say where it is with --model, and give --config again if it was given then; a pipeline's is "
                "edited in Python."
            )
        return _load(identity.id, how | {"revision": None if by_digest else identity.revision})


def _asked(lacking: Sequence[Any]) -> str:
    """The options that give what an inversion was made with, once more."""
    return " ".join(f"--{each.kind} PATH{f'={each.weight:g}' if each.kind == 'lora' else ''}" for each in lacking)


def _weighted(one: str) -> tuple[str, float]:
    """A LoRA's file and its weight, 1 if none is given.

    Raises:
        SettingError: The weight is no number.
    """
    path, equals, weight = one.rpartition("=")
    if not equals or "/" in weight or weight.endswith(".safetensors"):
        return one, 1.0
    try:
        return path, float(weight)
    except ValueError:
        raise SettingError(
            f"got --lora {shown(one)}; expected FILE or FILE=WEIGHT, as in style.safetensors=0.8."
        ) from None


def _load(name: str, how: dict[str, Any]) -> "Model":
    from nulltext import load

    with terminal.loading(name):
        return load(name, **how)
