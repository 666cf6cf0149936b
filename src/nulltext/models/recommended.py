"""What a checkpoint is best used with: what it says itself, else what is published for Stable Diffusion."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, cast, final

from nulltext.errors import ModelLoadError, shown
from nulltext.showing import brief

FILE: Final = "recommended.json"
"""A JSON object of names of `Recommended` and numbers, beside a folder's ``model_index.json``.

It is no part of the digest that a folder's model is known by: it says how a model is best used, and not what the model
computes, so that an inversion stays valid when a recommendation is added or mended.
"""
IN_WEIGHTS: Final = "recommended"
"""The same object in the metadata of a denoiser's ``.safetensors``, where it travels with a model of the hub."""
GUIDANCE_IN_WEIGHTS: Final = "recommended_guidance"
"""The guidance alone, as the embedded weights and those trained before say it."""
PUBLISHED: Final = "published for Stable Diffusion"


def _range(low: float, high: float, *, above: bool = False) -> Mapping[str, float]:
    """From where, or above which number, to where a setting makes sense."""
    return {"low": low, "high": high, "above": above}


@final
@dataclass(frozen=True, kw_only=True)
class Recommended:
    """Settings that editors and inverters take where none are given. The defaults here are the published ones.

    Attributes:
        guidance: The guidance scale w; 7.5 in the notebooks of Hertz et al. and Mokady et al., and in diffusers.
        cross_attention: Prompt-to-Prompt's share of steps; 0.8 in its authors' notebooks for Stable Diffusion
            (github.com/google/prompt-to-prompt, ``prompt-to-prompt_stable.ipynb`` and ``null_text_w_ptp.ipynb``).
        self_attention: Likewise; 0.4 in ``prompt-to-prompt_stable.ipynb``, with that 0.8. Its null-text notebook picks
            one for each image, 0.5 to make a cat a tiger.
        threshold: A blend's; 0.3 in both notebooks.
        vqgan_clip_learning_rate: `VQGANCLIP`'s; 0.1 in the authors' notebook (Crowson et al., arXiv 2204.08583).
        vqgan_clip_cutouts: Likewise, 32.
        text2live_iterations: `Text2LIVE`'s; 1000 in the authors' code (Bar-Tal et al., arXiv 2204.02491).
        text2live_views: Likewise, 16.
        text2live_width: Likewise, 128.
        own: Which of them the checkpoint itself says.
    """

    guidance: float = field(default=7.5, metadata=_range(0.0, 30.0, above=True))
    cross_attention: float = field(default=0.8, metadata=_range(0.0, 1.0))
    self_attention: float = field(default=0.4, metadata=_range(0.0, 1.0))
    threshold: float = field(default=0.3, metadata=_range(0.0, math.nextafter(1, 0)))
    vqgan_clip_learning_rate: float = field(default=0.1, metadata=_range(0.0, 10.0, above=True))
    vqgan_clip_cutouts: int = field(default=32, metadata=_range(1.0, 1024.0))
    text2live_iterations: int = field(default=1000, metadata=_range(1.0, 100_000.0))
    text2live_views: int = field(default=16, metadata=_range(1.0, 1024.0))
    text2live_width: int = field(default=128, metadata=_range(1.0, 1024.0))
    own: frozenset[str] = frozenset()

    __repr__ = brief

    def why(self, name: str, model: str) -> str:
        """A setting and where it comes from: "0.8, recommended by the model 'scenes'".

        Args:
            name: The setting's.
            model: The model's.
        """
        return f"{getattr(self, name):g}, {f'recommended by the model {model!r}' if name in self.own else PUBLISHED}"


_FIELDS: Final[dict[str, Any]] = {each.name: each for each in fields(Recommended) if each.name != "own"}


def parse(text: str, where: str) -> dict[str, Any]:
    """The settings of a JSON object, by their names in `Recommended`.

    Raises:
        ModelLoadError: It is no JSON object, or has an unknown name, or a number out of range.
    """
    try:
        values: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{where}: the recommended settings are no JSON: {error}. Correct them.") from error
    if not isinstance(values, dict):
        raise ModelLoadError(
            f"{where}: the recommended settings are {shown(text, 40)}; expected a JSON object of names and numbers, as "
            'in {"self_attention": 0.4}. Correct them.'
        )
    for name, value in cast("dict[str, object]", values).items():
        if name not in _FIELDS:
            raise ModelLoadError(
                f"{where}: got the recommended setting {shown(name, 40)}; expected {', '.join(_FIELDS)}. Correct "
                "the name."
            )
        bounds, kind = _FIELDS[name].metadata, _FIELDS[name].type
        low, high, above = bounds["low"], bounds["high"], bounds["above"]
        sound = (isinstance(value, float) and kind is float) or (isinstance(value, int) and not isinstance(value, bool))
        if not sound or not low <= cast("float", value) <= high or (above and value == low):
            most = "less than 1" if high < 1 else f"{high:g}"
            raise ModelLoadError(
                f"{where}: got {str(value)[:40]} as the recommended {name}; expected a "
                f"{'whole ' if kind is int else ''}number {'above' if above else 'from'} {low:g} to {most}. Correct it."
            )
    numbers = cast("dict[str, Any]", values)
    return {name: _FIELDS[name].type(value) for name, value in numbers.items()}  # 4 is as good as 4.0
