"""Null-text inversion: edit real photographs by changing words.

    import nulltext

    model = nulltext.load()
    image = nulltext.open_image("cat.jpg", model)
    inversion = nulltext.DirectInversion()(model, image, "a cat sitting next to a mirror")
    edit = nulltext.PromptToPrompt()(model, inversion, "a tiger sitting next to a mirror")
    edit.image.save("tiger.png")

The names below are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nulltext.diffusion.fixed_point import FixedPoint
    from nulltext.diffusion.rule import Rule
    from nulltext.editing.base import Edit, Editor
    from nulltext.editing.blend import Blend
    from nulltext.editing.change import Change
    from nulltext.editing.generate import generate, generate_inversion
    from nulltext.editing.many import edit_many
    from nulltext.editing.maps import AttentionMaps, attention_maps
    from nulltext.editing.table import *
    from nulltext.errors import NulltextError
    from nulltext.images import SourceImage, open_image, to_image
    from nulltext.inversion.base import Inversion, Scores
    from nulltext.inversion.invert import Inverter
    from nulltext.inversion.many import invert_many
    from nulltext.inversion.reconstruct import reconstruct, replay
    from nulltext.inversion.replay import Replay
    from nulltext.inversion.stopping import DescentSchedule
    from nulltext.inversion.table import *
    from nulltext.metrics import psnr
    from nulltext.models.base import Model, ModelIdentity
    from nulltext.models.loading import load
    from nulltext.progress import OnProgress, Progress
else:
    from nulltext.editing.table import EDITORS, MASKS
    from nulltext.inversion.table import INVERTERS

__version__ = "0.1.0"

_HOMES = {
    "AttentionMaps": "nulltext.editing.maps",
    "Blend": "nulltext.editing.blend",
    "Change": "nulltext.editing.change",
    "DescentSchedule": "nulltext.inversion.stopping",
    "Edit": "nulltext.editing.base",
    "Editor": "nulltext.editing.base",
    "FixedPoint": "nulltext.diffusion.fixed_point",
    "Inversion": "nulltext.inversion.base",
    "Inverter": "nulltext.inversion.invert",
    "Model": "nulltext.models.base",
    "ModelIdentity": "nulltext.models.base",
    "NulltextError": "nulltext.errors",
    "OnProgress": "nulltext.progress",
    "SourceImage": "nulltext.images",
    "Progress": "nulltext.progress",
    "Replay": "nulltext.inversion.replay",
    "Rule": "nulltext.diffusion.rule",
    "Scores": "nulltext.inversion.base",
    "attention_maps": "nulltext.editing.maps",
    "edit_many": "nulltext.editing.many",
    "generate": "nulltext.editing.generate",
    "generate_inversion": "nulltext.editing.generate",
    "invert_many": "nulltext.inversion.many",
    "load": "nulltext.models.loading",
    "open_image": "nulltext.images",
    "psnr": "nulltext.metrics",
    "reconstruct": "nulltext.inversion.reconstruct",
    "replay": "nulltext.inversion.reconstruct",
    "to_image": "nulltext.images",
}
_METHODS = {row.class_name: row.module for table in (INVERTERS, EDITORS, MASKS) for row in table.values()}

__all__ = [
    "AttentionMaps",
    "Blend",
    "Change",
    "DescentSchedule",
    "Edit",
    "Editor",
    "FixedPoint",
    "Inversion",
    "Inverter",
    "Model",
    "ModelIdentity",
    "NulltextError",
    "OnProgress",
    "Progress",
    "Replay",
    "Rule",
    "Scores",
    "SourceImage",
    "__version__",
    "attention_maps",
    "edit_many",
    "generate",
    "generate_inversion",
    "invert_many",
    "load",
    "open_image",
    "psnr",
    "reconstruct",
    "replay",
    "to_image",
]
__all__ += list(_METHODS)  # pyright: ignore[reportUnsupportedDunderAll]  of the imports above


def __getattr__(name: str) -> object:
    """Loads a public name on first use (PEP 562)."""
    home = _HOMES.get(name) or _METHODS.get(name)
    if home is None:
        raise AttributeError(f"module 'nulltext' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
