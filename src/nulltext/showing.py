"""How values look: a short repr, and an image or a table in a notebook."""

import base64
import html
import io
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, final

from nulltext.errors import shown

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 500
"""A repr has at most so many characters."""
LEAST_SIDE, SIDE = 256, 512
"""Between so many pixels is the longer side of an image within HTML, as it is seen; what it holds is never enlarged."""
MOST_OF_A_FIELD = 100
"""Of these each field has at most so many."""


def brief(self: Any) -> str:  # noqa: ANN401  any dataclass
    """The repr of a dataclass, for ``__repr__ = brief``: the fields that are not their defaults.

    Tensors are shown as their type and shape, bytes as their number, long texts and lists as their beginnings.
    """
    return _SHORT.repr1(self, _SHORT.maxlevel)


def png(image: "Image") -> bytes:
    """An image as a PNG file, for ``_repr_png_``."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def html_image(image: "Image", text: str) -> str:
    """An image as HTML, at most `SIDE` pixels on a side, with what it shows in words for whoever does not see it."""
    small = image if max(image.size) <= SIDE else image.copy()
    small.thumbnail((SIDE, SIDE))
    data = base64.b64encode(png(small)).decode()
    style = f"display:block;width:{_width(image)}px;max-width:100%"
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(text)}" style="{style}">'


def html_images(images: "Sequence[tuple[Image, str]]") -> str:
    """Images side by side as HTML, each with its words below; where there is no room, below each other."""
    figures = [
        f'<figure style="margin:0">{html_image(image, text)}<figcaption>{html.escape(text)}</figcaption></figure>'
        for image, text in images
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(figures)}</div>'


def html_slider(before: "Image", after: "Image", text: str) -> str:
    """Two images on each other as HTML, with a slider that says how much of the first is seen.

    It asks nothing of anybody else, and where a page lets no code run both halves are seen.

    Args:
        before: The first, on the left.
        after: The second, of the same size.
        text: What is written below.
    """
    return (
        '<figure style="margin:0;--at:50%">'
        f'<div style="display:grid;width:{_width(after)}px;max-width:100%">'
        f'<div style="grid-area:1/1">{html_image(after, f"after: {text}")}</div>'
        f'<div style="grid-area:1/1;clip-path:inset(0 calc(100% - var(--at)) 0 0)">{html_image(before, "before")}</div>'
        "</div>"
        '<input type="range" value="50" aria-label="how much is seen of the image before the edit" '
        "oninput=\"this.parentNode.style.setProperty('--at', this.value + '%')\" "
        f'style="display:block;width:{_width(after)}px;max-width:100%;margin:0">'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
    )


def _width(image: "Image") -> int:
    """How wide an image is seen within HTML."""
    longest = max(image.size)
    return round(image.width * min(max(longest, LEAST_SIDE), SIDE) / longest)


def html_table(
    rows: Sequence[Sequence[object]], *, headings: Sequence[str] = (), image: "Image | None" = None, alt: str = ""
) -> str:
    """A table as HTML, for ``_repr_html_``; nothing in it is taken for HTML.

    Args:
        rows: What stands in the cells.
        headings: What stands over the columns, if anything.
        image: Shown above.
        alt: What it shows, in words.
    """
    lines = [] if image is None else [html_image(image, alt)]
    lines.append("<table>")
    if headings:
        lines.append(f"<tr>{''.join(f'<th>{html.escape(text)}</th>' for text in headings)}</tr>")
    lines += [f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


@final
class _Short(reprlib.Repr):
    """`reprlib`'s, which looks for a method named after a value's type, and knows none of these."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxset, self.maxfrozenset = 3, 12, 12

    def repr_Tensor(self, x: Any, _: int) -> str:  # noqa: ANN401, N802  of torch, by the name that reprlib looks for
        where = "" if x.device.type == "cpu" else f" on {x.device}"
        return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}{where}"

    def repr_ndarray(self, x: Any, _: int) -> str:  # noqa: ANN401  of numpy
        return f"{x.dtype}{list(x.shape)}"

    def repr_bytes(self, x: bytes, _: int) -> str:
        return f"<{len(x)} bytes>"

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002  reprlib has it
        return shown(x)

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ANN401  of whatever there is no other for
        if not is_dataclass(x) or isinstance(x, type):
            return _cut(repr(x), MOST_OF_A_FIELD)
        if level <= 0:
            return f"{type(x).__name__}(…)"
        parts = [
            f"{each.name}={_cut(self.repr1(getattr(x, each.name), level - 1), MOST_OF_A_FIELD)}"
            for each in fields(x)
            if each.repr and not _is_default(each, getattr(x, each.name))
        ]
        return f"{type(x).__name__}({_cut(', '.join(parts), MOST - len(type(x).__name__) - 2)})"


def _is_default(each: "Field[Any]", value: object) -> bool:
    if each.default is not MISSING:
        return value is each.default or (isinstance(value, str | int | float | tuple) and value == each.default)
    return isinstance(value, Mapping) and not value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


_SHORT = _Short()
