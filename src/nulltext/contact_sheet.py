"""Images side by side on one sheet, with words under them."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

INK, FAINT, ACCENT, PAPER = (28, 28, 30), (120, 120, 126), (196, 60, 20), (255, 255, 255)
GAP = 12
TEXT_SIZE = 15
LINE_HEIGHT = 20


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image and what is written under it.

    Attributes:
        image: The image, of any size; scaled to fill the cell as far as its aspect ratio allows.
        text: What is written under it; wrapped to the cell's width.
        unlike: Another prompt: the words of `text` that it does not have are written in colour.
    """

    image: Image.Image
    text: str = ""
    unlike: str | None = None


def contact_sheet(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, cell_size: int = 256) -> Image.Image:
    """Draws a sheet.

    Args:
        headings: What stands over each column.
        rows: The cells, one for each heading in every row.
        cell_size: The longer side of an image on the sheet, in pixels.

    Returns:
        An RGB image.

    Raises:
        ValueError: No row, or a row with another number of cells than headings.
    """
    if not rows or any(len(row) != len(headings) for row in rows):
        raise ValueError(
            f"got rows of {[len(row) for row in rows]} cells for {len(headings)} headings; expected as many."
        )
    font = ImageFont.load_default(TEXT_SIZE)
    texts = [[_wrap(cell.text, font, cell_size) for cell in row] for row in rows]
    heights = [
        max(_scaled(cell.image, cell_size)[1] for cell in row) + max(len(lines) for lines in lines_of_row) * LINE_HEIGHT
        for row, lines_of_row in zip(rows, texts, strict=True)
    ]
    step = cell_size + GAP
    top = 2 * GAP + LINE_HEIGHT
    sheet = Image.new("RGB", (GAP + step * len(headings), top + sum(heights) + 2 * GAP * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((GAP + step * column, GAP), heading, FAINT, font)
    for row, lines_of_row, height in zip(rows, texts, heights, strict=True):
        image_height = max(_scaled(cell.image, cell_size)[1] for cell in row)
        for column, (cell, lines) in enumerate(zip(row, lines_of_row, strict=True)):
            left = GAP + step * column
            sheet.paste(
                cell.image.convert("RGB").resize(_scaled(cell.image, cell_size), Image.Resampling.LANCZOS), (left, top)
            )
            _write(draw, font, (left, top + image_height + 4), lines, cell.unlike)
        top += height + 2 * GAP
    return sheet


def _scaled(image: Image.Image, longest: int) -> tuple[int, int]:
    factor = longest / max(image.size)
    return max(1, round(image.width * factor)), max(1, round(image.height * factor))


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[list[str]]:
    """Lines of words, none wider than `width` unless a single word is."""
    lines: list[list[str]] = []
    for word in text.split():
        if lines and font.getlength(" ".join([*lines[-1], word])) <= width:
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _write(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    corner: tuple[int, int],
    lines: Sequence[Sequence[str]],
    unlike: str | None,
) -> None:
    known = None if unlike is None else {word.strip(",.") for word in unlike.split()}
    left, top = corner
    for number, line in enumerate(lines):
        x = float(left)
        for word in line:
            changed = known is not None and word.strip(",.") not in known
            draw.text((x, top + number * LINE_HEIGHT), word, ACCENT if changed else INK, font)
            x += font.getlength(f"{word} ")
