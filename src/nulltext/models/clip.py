"""CLIP: images and prompts as unit vectors in one space (Radford et al., 2021)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from nulltext.errors import ModelNotFoundError, SettingError
from nulltext.models import embedded
from nulltext.models.base import Model
from nulltext.models.configs import read_config
from nulltext.models.loading import EMBEDDED
from nulltext.models.networks import read_network
from nulltext.models.tokenizers import read_tokenizer
from nulltext.models.weights import checksum

_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own pixel statistics."""


def normalized(pixels: Tensor) -> Tensor:
    """Pixels [n, 3, h, w] in [-1, 1] as CLIP's vision tower takes them."""
    mean = torch.tensor(_MEAN, device=pixels.device)[:, None, None]
    std = torch.tensor(_STD, device=pixels.device)[:, None, None]
    return ((pixels + 1) / 2 - mean) / std


class Clip:
    """A frozen CLIPModel and its tokenizer."""

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer, name: str = "") -> None:
        """Freeze the model; its name says where it is from, for people."""
        self.name = name
        self._digest = ""
        self.model = model.float().eval().requires_grad_(requires_grad=False)
        self.tokenizer = tokenizer
        self.side = int(model.vision_model.config.to_dict()["image_size"])

    @staticmethod
    def load(folder: str | Path = embedded.CLIP) -> "Clip":
        """Any CLIPModel saved by transformers with its tokenizer; the embedded one by default.

        Raises:
            ModelNotFoundError: The folder holds no CLIP.
            ModelLoadError: It does, but damaged or incomplete.
        """
        path = Path(folder)
        if not (path / "config.json").is_file() or read_config(path / "config.json").get("model_type") != "clip":
            raise ModelNotFoundError(
                f"got {str(folder)!r}; expected a folder with a CLIPModel and its tokenizer, as transformers saves it."
            )
        name = f"the {EMBEDDED} model" if path == embedded.CLIP else str(folder)
        return Clip(read_network(CLIPModel, path), read_tokenizer(path), name)

    def __repr__(self) -> str:
        """Which CLIP it is, for the records of runs: by its weights and its words, so that a folder may be moved."""
        if not self._digest:
            words = json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
            self._digest = checksum(self.model, words, f"{self.side}")
        return f"Clip({self._digest})"

    def __str__(self) -> str:
        """The same, and where it is from."""
        return f"{self!r} of {self.name}" if self.name else repr(self)

    @torch.no_grad()
    def texts(self, prompts: Sequence[str]) -> Tensor:
        """Prompts as unit vectors, [n, D]; of one that is longer than the tower reads, the beginning."""
        length = int(self.model.text_model.config.to_dict()["max_position_embeddings"])
        tokens = self.tokenizer(
            list(prompts), padding="longest", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids
        hidden = self.model.text_model(input_ids=tokens.to(self.model.device)).pooler_output
        return functional.normalize(self.model.text_projection(hidden), dim=-1)

    def images(self, pixels: Tensor) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1] as unit vectors, [n, D]; scaled to the tower's size where they are not.

        Differentiable with respect to the images.
        """
        hidden = self.model.vision_model(pixel_values=self._fitted(pixels)).pooler_output
        return functional.normalize(self.model.visual_projection(hidden), dim=-1)

    def patches(self, pixels: Tensor) -> Tensor:
        """What the last layer says of every patch of images [n, 3, h, w] in [-1, 1]: unit vectors, [n, patches, D].

        Differentiable with respect to the images.
        """
        hidden = self.model.vision_model(pixel_values=self._fitted(pixels)).last_hidden_state
        return functional.normalize(hidden[:, 1:], dim=-1)  # the first stands for the whole image

    def _fitted(self, pixels: Tensor) -> Tensor:
        side = self.side
        if pixels.shape[-2:] != (side, side):
            pixels = functional.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)
        return normalized(pixels.to(self.model.device))


def spherical(a: Tensor, b: Tensor) -> Tensor:
    """How far unit vectors [..., D] are apart: half the square of the angle between them, ``2 asin(|a - b| / 2)²``."""
    return 2 * ((a - b).norm(dim=-1) / 2).clamp(max=1 - 1e-6).asin() ** 2


def clip_for(model: Model, given: Clip | None) -> Clip:
    """The CLIP that judges images of a model: the one given, or the embedded model's own.

    Raises:
        SettingError: None is given, and the model is not the embedded one.
    """
    if given is not None:
        return given
    if model.identity.id != EMBEDDED:
        raise SettingError(
            f"got no CLIP for {model.identity.id}; only the embedded model has one of its own. Pass "
            "clip=nulltext.models.clip.Clip.load(folder), of a folder with a CLIPModel and its tokenizer."
        )
    clip = Clip.load()
    network: Any = clip.model  # its `to` is typed as a function
    network.to(model.device)
    return clip
