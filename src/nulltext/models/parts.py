"""The parts of a model, each made by its own class: no code of a model's folder is ever run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, final

import diffusers
import transformers

from nulltext.errors import UnsupportedPipelineError, shown
from nulltext.models import weights
from nulltext.models.configs import read_config
from nulltext.models.networks import read_network

Readers = Mapping[str, tuple[str, Callable[[Path], Any]]]
"""Of parts that are no networks, by name: the folder, and what reads it."""
Classes = Mapping[str, tuple[str, type[Any]]]
"""Of networks, by name: the folder, and the class."""
_FITTING: Final = "Put in its place the one that the checkpoint was trained with."


@final
class Parts(SimpleNamespace):
    """What a checkpoint is made of, by the names of its family's `Inventory`; a family may add settings to them."""

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

    def but(self, **others: object) -> "Parts":
        """These with others added, or in their place."""
        return Parts(**vars(self) | others)


@final
@dataclass(frozen=True)
class Inventory:
    """What the folders of a family's checkpoints hold, in diffusers' format.

    Parts have the names that `nulltext.models.additions` knows: "unet" or "transformer", "vae", "text_encoder",
    "tokenizer", with "_2" and "_3" behind the further ones.

    Attributes:
        networks: Of each network its folder and its class.
        others: Of each other part its folder and what reads it.
    """

    networks: Classes
    others: Readers

    def without(self, *names: str) -> "Inventory":
        """The same but for parts of these names."""

        def kept(parts: Mapping[str, Any]) -> dict[str, Any]:
            return {name: part for name, part in parts.items() if name not in names}

        return replace(self, networks=kept(self.networks), others=kept(self.others))

    def read(self, folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder, their weights in the precision they are stored in, see `Adapter.read`.

        Networks come last, being gigabytes, and are all in one variant if they are there in it.

        Args:
            folder: The folder.
            index: What its ``model_index.json`` holds.

        Raises:
            UnsupportedPipelineError: A part is of a class that cannot be used.
            ModelLoadError: A part is damaged or incomplete.
        """
        self.check(folder, index)
        others = self.read_others(folder)
        variant = weights.variant(folder, [name for name, _ in self.networks.values()])
        networks = {
            part: read_network(made, folder / name, variant=variant) for part, (name, made) in self.networks.items()
        }
        return Parts(**networks, **others)

    def check(self, folder: Path, index: Mapping[str, Any]) -> None:
        """Makes sure that networks are of the classes that they have to be.

        Those of diffusers are named in their own configs, those of transformers in the index.

        Raises:
            UnsupportedPipelineError: One is not.
            ModelLoadError: A config is damaged.
        """
        for name, made in self.networks.values():
            if issubclass(made, diffusers.ModelMixin):
                own = read_config(folder / name / "config.json").get("_class_name", made.__name__)
                if own != made.__name__:
                    raise UnsupportedPipelineError(f"{folder / name} holds {own}; expected {made.__name__}. {_FITTING}")
            elif made.__module__.startswith(f"{transformers.__name__}."):
                wanted = [transformers.__name__, made.__name__]
                if index.get(name, wanted) != wanted:
                    raise UnsupportedPipelineError(
                        f"{folder / 'model_index.json'} names {shown(index[name])} for the {name}; expected "
                        f"{made.__name__} of transformers. {_FITTING}"
                    )

    def read_others(self, folder: Path) -> dict[str, Any]:
        """The parts of a folder that are no networks.

        Raises:
            UnsupportedPipelineError: One is of a kind that cannot be used.
            ModelLoadError: One is damaged or incomplete.
        """
        return {part: read(folder / name) for part, (name, read) in self.others.items()}
