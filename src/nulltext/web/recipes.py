"""Recipes: a PNG says in itself how it was made, and says so again when it is opened."""

import io
import json
from collections.abc import Mapping
from typing import Any, cast

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nulltext.decoding import header

KEY = "nulltext"
"""The text of a PNG that holds the recipe."""
_MOST = 2**20
"""No recipe is longer, in characters."""


def png(image: Image.Image, recipe: Mapping[str, Any] | None = None) -> bytes:
    """An image as a PNG file, with its recipe if it has one."""
    info = PngInfo()
    if recipe is not None:
        info.add_text(KEY, json.dumps(recipe), zip=True)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3, pnginfo=info)
    return buffer.getvalue()


def recipe_in(data: bytes) -> dict[str, Any] | None:
    """The recipe of an image's file; None if it has none that can be read."""
    try:
        image = header(data, ("PNG",))
        text = image.info.get(KEY) or cast("Any", image).text.get(KEY)
        if not isinstance(text, str) or len(text) > _MOST:
            return None
        found = json.loads(text)
    except (OSError, ValueError, SyntaxError, RecursionError, AttributeError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
