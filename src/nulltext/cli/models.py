"""Which model a command loads, and how it computes: one set of options for all commands."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nulltext.cli import options, terminal
from nulltext.errors import ModelNotFoundError

if TYPE_CHECKING:
    from nulltext import Model, ModelIdentity

EMBEDDED = "scenes"


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The model that a command names; the fields are `nulltext.load`'s."""

    model: options.ModelName = EMBEDDED
    config: options.Config = None
    device: options.Device = None
    dtype: options.Dtype = None
    low_memory: options.LowMemory = False
    compiled: options.Compiled = False

    def load(self) -> "Model":
        """Loads it, and says so meanwhile."""
        how = asdict(self)
        return _load(how.pop("model"), how)


@dataclass(frozen=True, kw_only=True)
class FileLoading:
    """The model that an inversion file asks for."""

    model: options.FileModel = None
    config: options.Config = None
    device: options.Device = None
    dtype: options.Dtype = None
    low_memory: options.LowMemory = False
    compiled: options.Compiled = False

    def load(self, identity: "ModelIdentity") -> "Model":
        """Loads the model that an inversion was made with, and says so meanwhile.

        Raises:
            ModelNotFoundError: The file was made with a folder, a checkpoint file or a pipeline, and says not where
                that is.
        """
        how = asdict(self)
        name = how.pop("model")
        if name is not None:
            return _load(name, how)
        by_digest = identity.revision.startswith("sha256:")
        if by_digest and identity.id != EMBEDDED:
            raise ModelNotFoundError(
                f"this inversion was made with a folder, file or pipeline named {identity.id!r}, which may be "
                "anywhere. Say where it is with --model, and give --config again if it was given then; a pipeline's is "
                "edited in Python."
            )
        return _load(identity.id, how | {"revision": None if by_digest else identity.revision})


def _load(name: str, how: dict[str, Any]) -> "Model":
    from nulltext import load

    with terminal.loading(name):
        return load(name, **how)
