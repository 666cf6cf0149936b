"""Null-text inversion: edit real photographs by changing words.

    import nulltext

    model = nulltext.load()
    photo = nulltext.open_image("cat.jpg", model)
    inversion = nulltext.DirectInversion()(model, photo, "a cat sitting next to a mirror")
    edit = nulltext.PromptToPrompt()(model, inversion, "a tiger sitting next to a mirror")
    edit.image.save("tiger.png")

The names below are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nulltext.diffusion.fixed_point import FixedPoint
    from nulltext.editing.base import Edit, Editor
    from nulltext.editing.blend import Blend
    from nulltext.editing.change import Change
    from nulltext.editing.generate import generate, generate_inversion
    from nulltext.editing.maps import AttentionMaps, attention_maps
    from nulltext.editing.methods.caption_swap import CaptionSwap
    from nulltext.editing.methods.from_noise import FromNoise
    from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
    from nulltext.editing.methods.sdedit import SDEdit
    from nulltext.editing.methods.text2live import Text2LIVE
    from nulltext.editing.methods.vqgan_clip import VQGANCLIP
    from nulltext.editing.together import edit_together
    from nulltext.errors import NulltextError
    from nulltext.inversion.base import Inversion, Scores
    from nulltext.inversion.invert import Inverter
    from nulltext.inversion.methods.ddim import DDIM
    from nulltext.inversion.methods.direct import DirectInversion
    from nulltext.inversion.methods.global_null_text import GlobalNullText
    from nulltext.inversion.methods.negative_prompt import NegativePrompt
    from nulltext.inversion.methods.no_pivot import NoPivot
    from nulltext.inversion.methods.null_text import NullText
    from nulltext.inversion.methods.open_loop import OpenLoop
    from nulltext.inversion.methods.random_pivot import RandomPivot
    from nulltext.inversion.methods.textual_inversion import TextualInversion
    from nulltext.inversion.reconstruct import reconstruct, replay
    from nulltext.inversion.replay import Replay
    from nulltext.inversion.stopping import Constants
    from nulltext.inversion.together import invert_together
    from nulltext.metrics import psnr
    from nulltext.models.base import Model, ModelIdentity
    from nulltext.models.loading import load
    from nulltext.pictures import Photo, open_image, to_image
    from nulltext.progress import OnProgress, Progress

__version__ = "0.1.0"

_HOMES = {
    "AttentionMaps": "editing.maps",
    "Blend": "editing.blend",
    "Change": "editing.change",
    "CaptionSwap": "editing.methods.caption_swap",
    "Constants": "inversion.stopping",
    "DDIM": "inversion.methods.ddim",
    "DirectInversion": "inversion.methods.direct",
    "Edit": "editing.base",
    "Editor": "editing.base",
    "FixedPoint": "diffusion.fixed_point",
    "FromNoise": "editing.methods.from_noise",
    "GlobalNullText": "inversion.methods.global_null_text",
    "Inversion": "inversion.base",
    "Inverter": "inversion.invert",
    "Model": "models.base",
    "ModelIdentity": "models.base",
    "NegativePrompt": "inversion.methods.negative_prompt",
    "NoPivot": "inversion.methods.no_pivot",
    "NullText": "inversion.methods.null_text",
    "NulltextError": "errors",
    "OnProgress": "progress",
    "Photo": "pictures",
    "Progress": "progress",
    "OpenLoop": "inversion.methods.open_loop",
    "PromptToPrompt": "editing.methods.prompt_to_prompt",
    "RandomPivot": "inversion.methods.random_pivot",
    "Replay": "inversion.replay",
    "SDEdit": "editing.methods.sdedit",
    "Scores": "inversion.base",
    "Text2LIVE": "editing.methods.text2live",
    "TextualInversion": "inversion.methods.textual_inversion",
    "VQGANCLIP": "editing.methods.vqgan_clip",
    "attention_maps": "editing.maps",
    "edit_together": "editing.together",
    "generate": "editing.generate",
    "generate_inversion": "editing.generate",
    "invert_together": "inversion.together",
    "load": "models.loading",
    "open_image": "pictures",
    "psnr": "metrics",
    "reconstruct": "inversion.reconstruct",
    "replay": "inversion.reconstruct",
    "to_image": "pictures",
}

__all__ = [
    "DDIM",
    "VQGANCLIP",
    "AttentionMaps",
    "Blend",
    "CaptionSwap",
    "Change",
    "Constants",
    "DirectInversion",
    "Edit",
    "Editor",
    "FixedPoint",
    "FromNoise",
    "GlobalNullText",
    "Inversion",
    "Inverter",
    "Model",
    "ModelIdentity",
    "NegativePrompt",
    "NoPivot",
    "NullText",
    "NulltextError",
    "OnProgress",
    "OpenLoop",
    "Photo",
    "Progress",
    "PromptToPrompt",
    "RandomPivot",
    "Replay",
    "SDEdit",
    "Scores",
    "Text2LIVE",
    "TextualInversion",
    "__version__",
    "attention_maps",
    "edit_together",
    "generate",
    "generate_inversion",
    "invert_together",
    "load",
    "open_image",
    "psnr",
    "reconstruct",
    "replay",
    "to_image",
]


def __getattr__(name: str) -> object:
    """Loads a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nulltext' has no attribute {name!r}")
    value: object = getattr(import_module(f"nulltext.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
