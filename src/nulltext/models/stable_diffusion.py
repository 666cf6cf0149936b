"""Stable Diffusion 1.x and 2.x."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from nulltext.models.latent_model import put_together
from nulltext.models.parts import Parts, network_classes, read_parts, tokenizer_class


@final
class StableDiffusion:
    """The adapter of ``StableDiffusionPipeline``, see `nulltext.models.families.Adapter`."""

    from_parts: Final = partial(put_together, "StableDiffusion")

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format."""
        return read_parts(folder, network_classes(folder, index), tokenizer_class(folder, index))
