"""Opening photographs for a model, and putting results back into them.

A model takes pictures of certain sizes. `open_image` fits a photograph to such a size in one of two ways, and the
`Frame` it leaves behind undoes that for any result:

- ``fit="crop"`` (default) takes the largest centred part with the wanted aspect ratio and scales it. A result is scaled
  back to that part's size and put in its place, and around it the photograph stays as it was.
- ``fit="pad"`` scales the whole photograph to fit inside and mirrors it at its borders to fill the rest. Of a result
  the filling is cut off again, and what is left is scaled back.

Either way a result has the photograph's width and height.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from PIL import Image, ImageOps

from nulltext.decoding import decode, header, read, read_bytes
from nulltext.errors import ImageDecodeError, ImageError, SettingError
from nulltext.types import Mask, OnePixels, Picture

Fit = Literal["crop", "pad"]
"""How a photograph is brought to a model's size."""

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""


@runtime_checkable
class Sizes(Protocol):
    """What fitting has to know of a model."""

    @property
    def scale(self) -> int:
        """Heights and widths are multiples of it."""
        ...

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where in a photograph a fitted picture lies; enough to put a result back.

    Attributes:
        size: (height, width) of the photograph, upright.
        fitted: (height, width) of the fitted picture.
        part: The box in the photograph that was taken.
        content: The box in the fitted picture that shows it; the rest is filling.
        surroundings: The photograph as a PNG with the part blackened, where the part is not all of it.
    """

    size: tuple[int, int]
    fitted: tuple[int, int]
    part: Box
    content: Box
    surroundings: bytes | None = None

    def __post_init__(self) -> None:
        for box, (height, width) in ((self.part, self.size), (self.content, self.fitted)):
            left, top, right, bottom = box
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                raise SettingError(f"got the box {box} in a picture of {width} x {height}; expected one inside it.")
        whole = self.part == (0, 0, self.size[1], self.size[0])
        if whole != (self.surroundings is None):
            raise SettingError("got a part that is the whole photograph and surroundings, or a smaller one and none.")

    @classmethod
    def whole(cls, height: int, width: int) -> "Frame":
        """The frame of a picture that was fitted to nothing."""
        box = (0, 0, width, height)
        return cls(size=(height, width), fitted=(height, width), part=box, content=box)

    def restore(self, pixels: OnePixels) -> Image.Image:
        """Puts a result back: cuts off filling, scales, and sets it into its surroundings.

        Args:
            pixels: [1, 3, H, W] in [-1, 1], of the fitted size.

        Returns:
            An RGB picture of the photograph's size.
        """
        left, top, right, bottom = self.part
        result = to_image(pixels).resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=self.content)
        if self.surroundings is None:
            return result
        whole = header(self.surroundings).convert("RGB")
        whole.paste(result, (left, top))
        return whole

    def fit_mask(self, mask: Image.Image) -> Mask:
        """Brings a mask drawn over the photograph to the fitted picture.

        Args:
            mask: Of the photograph's size or its aspect ratio, upright; white where something may change. Its
                transparency, if it has any, counts as black.

        Returns:
            [1, 1, H, W] in [0, 1]; filling is 0.

        Raises:
            ImageError: The mask has another aspect ratio than the photograph.
        """
        height, width = self.size
        check_mask_size(mask.size, self.size)
        left, top, right, bottom = self.content
        part = grey_mask(mask).resize((width, height), Image.Resampling.BILINEAR).crop(self.part)
        fitted = Image.new("L", (self.fitted[1], self.fitted[0]))
        fitted.paste(part.resize((right - left, bottom - top), Image.Resampling.BILINEAR), (left, top))
        return torch.from_numpy(np.array(fitted)).float()[None, None] / 255

    def restore_mask(self, mask: Mask) -> Image.Image:
        """Puts a mask, [1, 1, H, W] in [0, 1] of the fitted size, back over the photograph: 8-bit grey, of its size."""
        left, top, right, bottom = self.part
        fitted = Image.fromarray((mask[0, 0].cpu() * 255).round().to(torch.uint8).numpy())
        whole = Image.new("L", (self.size[1], self.size[0]))
        part = fitted.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=self.content)
        whole.paste(part, (left, top))
        return whole

    def record(self) -> dict[str, list[int]]:
        """All but the surroundings, as JSON can hold it."""
        return {
            "size": list(self.size), "fitted": list(self.fitted), "part": list(self.part), "content": list(self.content)
        }  # fmt: skip

    @classmethod
    def read(cls, record: Mapping[str, Sequence[int]], surroundings: bytes | None) -> "Frame":
        """Undoes `record`.

        Raises:
            KeyError, TypeError, ValueError: The record is not one, or the surroundings do not go with it.
        """
        height, width = (int(side) for side in record["size"])
        fitted_height, fitted_width = (int(side) for side in record["fitted"])
        frame = cls(
            size=(height, width),
            fitted=(fitted_height, fitted_width),
            part=_box(record["part"]),
            content=_box(record["content"]),
            surroundings=surroundings,
        )
        if surroundings is not None:
            with _opened(surroundings) as image:
                if image.size != (width, height):
                    raise SettingError(f"the surroundings are {image.size}, expected {(width, height)}.")
                image.verify()
        return frame


def _opened(data: bytes) -> Image.Image:
    try:
        return header(data, ("PNG",))
    except Image.DecompressionBombError as error:  # which is no OSError
        raise SettingError(f"the surroundings are {len(data)} bytes that unpack to far more.") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A photograph fitted to a model.

    Attributes:
        pixels: [1, 3, H, W] in [-1, 1], of a size the model can take, in whole steps of 2/255.
        frame: Where these pixels lie in the photograph.
        sha256: Digest of the input: of a file's bytes, or of a PIL picture's mode, size and pixels.
    """

    pixels: OnePixels
    frame: Frame
    sha256: str

    def restore(self, pixels: OnePixels) -> Image.Image:
        """A result of the fitted size, [1, 3, H, W] in [-1, 1], as a picture of the photograph's size."""
        return self.frame.restore(pixels)


def open_image(
    source: str | os.PathLike[str] | bytes | Image.Image,
    model: Sizes,
    *,
    fit: Fit = "crop",
    size: tuple[int, int] | None = None,
) -> Photo:
    """Opens a photograph and fits it to a model.

    It is turned upright as its EXIF orientation says, brought to 8-bit sRGB (by its colour profile if it has one;
    transparency laid on white, 16-bit and greyscale, palette and CMYK pictures converted; of an animation the first
    frame), then fitted. Pictures of any size are taken, small ones are enlarged.

    Args:
        source: A path, a file's bytes, or a PIL picture.
        model: Whose sizes to fit to.
        fit: "crop" or "pad", see this module's head.
        size: (height, width) in pixels to fit to, each rounded to the nearest size the model can take (a multiple
            of ``model.scale``); the size the checkpoint was made for if None.

    Returns:
        The photograph.

    Raises:
        ImageNotFoundError: There is no such file.
        ImageDecodeError: The data is not a picture, is truncated, or has pixels that are not colours.
        ImageTooLargeError: It has more than `MAX_PIXELS` pixels.
        SettingError: `fit` or `size` is out of range.
    """
    if fit not in get_args(Fit):
        raise SettingError(f"got fit={fit!r}; expected 'crop' or 'pad'.")
    height, width = nearest_size(model, model.default_size if size is None else size)
    image, digest = read(source)
    if fit == "crop":
        part = _centred_part(image.size, width / height)
        content = (0, 0, width, height)
        fitted = image.resize((width, height), Image.Resampling.LANCZOS, box=part)
    else:
        part = (0, 0, *image.size)
        scale = min(width / image.width, height / image.height)
        inner = (max(1, min(width, round(image.width * scale))), max(1, min(height, round(image.height * scale))))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        content = (left, top, left + inner[0], top + inner[1])
        around = ((top, height - content[3]), (left, width - content[2]), (0, 0))
        scaled = image.resize(inner, Image.Resampling.LANCZOS)
        fitted = Image.fromarray(np.pad(np.asarray(scaled), around, mode="reflect"))
    frame = Frame(
        size=(image.height, image.width),
        fitted=(height, width),
        part=part,
        content=content,
        surroundings=_surroundings(image, part),
    )
    return Photo(pixels=to_pixels(torch.from_numpy(np.array(fitted))), frame=frame, sha256=digest)


def open_mask(source: str | os.PathLike[str] | Image.Image) -> Image.Image:
    """Opens a mask drawn over a photograph, turned upright; see `Frame.fit_mask` for what its colours mean.

    Raises:
        ImageNotFoundError: There is no such file.
        ImageDecodeError: It is no picture, or truncated.
    """
    name = "the mask" if isinstance(source, Image.Image) else str(source)
    image = source if isinstance(source, Image.Image) else decode(name, read_bytes(Path(source)))
    try:
        return ImageOps.exif_transpose(image).convert("RGBA")
    except Exception as error:  # as in `decoding.read`
        raise ImageDecodeError(
            f"{name} is truncated or damaged: {error}. Expected a whole picture; draw or export it again."
        ) from error


def check_mask_size(mask: tuple[int, int], photo: tuple[int, int]) -> None:
    """Refuses a mask of another shape than the photograph's.

    Args:
        mask: (width, height) of the mask, upright.
        photo: (height, width) of the photograph, upright.

    Raises:
        ImageError: It has another aspect ratio.
    """
    width, height = mask
    if abs(width * photo[0] - height * photo[1]) > max(*mask, *photo):
        raise ImageError(
            f"the mask is {width} x {height}; expected the photograph's {photo[1]} x {photo[0]}, or its aspect ratio. "
            "Draw it over the photograph."
        )


def grey_mask(mask: Image.Image) -> Image.Image:
    """A mask as 8-bit grey: black, not white, is behind what is transparent, as nothing has been drawn there."""
    if mask.mode == "L" and not mask.has_transparency_data:
        return mask
    return Image.alpha_composite(Image.new("RGBA", mask.size, (0, 0, 0, 255)), mask.convert("RGBA")).convert("L")


def to_pixels(picture: Picture) -> OnePixels:
    """[H, W, 3] bytes as [1, 3, H, W] in [-1, 1], float32."""
    return picture.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_picture(pixels: OnePixels) -> Picture:
    """[1, 3, H, W] in [-1, 1] as [H, W, 3] bytes, rounded; undoes `to_pixels`."""
    return ((pixels[0].detach().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def to_image(pixels: OnePixels) -> Image.Image:
    """[1, 3, H, W] in [-1, 1] as an RGB picture of W x H pixels."""
    return Image.fromarray(to_picture(pixels).numpy())


def _box(sides: Sequence[int]) -> Box:
    left, top, right, bottom = (int(side) for side in sides)
    return left, top, right, bottom


def nearest_size(model: Sizes, size: tuple[int, int]) -> tuple[int, int]:
    """Rounds (height, width) to what the model can take."""
    if min(size) < 1:
        raise SettingError(f"got size={size!r}; expected (height, width) in pixels, each at least 1.")
    height, width = (max(1, (side + model.scale // 2) // model.scale) * model.scale for side in size)
    return height, width


def _centred_part(size: tuple[int, int], ratio: float) -> Box:
    """The largest centred box of width / height = `ratio` (to a pixel) in a picture of (width, height)."""
    width, height = size
    inner_width = max(1, min(width, round(height * ratio)))
    inner_height = max(1, min(height, round(width / ratio)))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return left, top, left + inner_width, top + inner_height


def _surroundings(image: Image.Image, part: Box) -> bytes | None:
    if part == (0, 0, *image.size):
        return None
    rest = image.copy()
    rest.paste((0, 0, 0), part)
    buffer = io.BytesIO()
    rest.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
