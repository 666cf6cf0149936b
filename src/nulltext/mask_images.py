"""Masks that are drawn over photographs: opened, held against the photograph's shape, and made grey."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps

from nulltext.colours import eight_bits
from nulltext.decoding import decode, read_bytes
from nulltext.errors import ImageDecodeError, ImageError
from nulltext.truncation import check_end


def open_mask(source: str | os.PathLike[str] | Image.Image) -> Image.Image:
    """Opens a mask drawn over a photograph, turned upright; see `Frame.fit_mask` for what its colours mean.

    Raises:
        ImageNotFoundError: There is no such file.
        ImageDecodeError: It is no image, or truncated, or its pixels are no levels.
    """
    name = "the mask" if isinstance(source, Image.Image) else str(source)
    data = b"" if isinstance(source, Image.Image) else read_bytes(Path(source))
    image = source if isinstance(source, Image.Image) else decode(name, data)
    with whole(name):
        upright = ImageOps.exif_transpose(image)
        if data:
            check_end(image, data)
        # Of an array of integers, "I", nobody knows whether it counts to 255 or further.
        return (upright if upright.mode == "I" else eight_bits(name, upright)).convert("RGBA")


@contextmanager
def whole(name: str) -> Generator[None, None, None]:
    """While a mask is read: what its reader raises is said in a sentence.

    Raises:
        ImageDecodeError: It is truncated or damaged.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # as in `decoding.read`
        raise ImageDecodeError(
            f"{name} is truncated or damaged: {error}. Expected a whole image; draw or export it again."
        ) from error


def check_mask_size(mask: tuple[int, int], image: tuple[int, int]) -> None:
    """Refuses a mask of another shape than the photograph's.

    Args:
        mask: (width, height) of the mask, upright.
        image: (height, width) of the photograph, upright.

    Raises:
        ImageError: It has another aspect ratio.
    """
    width, height = mask
    if abs(width * image[0] - height * image[1]) > max(*mask, *image):
        raise ImageError(
            f"the mask is {width} x {height}; expected the photograph's {image[1]} x {image[0]}, or its aspect ratio. "
            "Draw it over the photograph."
        )


def grey_mask(mask: Image.Image) -> Image.Image:
    """A mask as 8-bit grey: black, not white, is behind what is transparent, as nothing has been drawn there."""
    if mask.mode == "L" and not mask.has_transparency_data:
        return mask
    return Image.alpha_composite(Image.new("RGBA", mask.size, (0, 0, 0, 255)), mask.convert("RGBA")).convert("L")
