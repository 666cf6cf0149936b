"""Opening photographs for a model, and putting results back into them.

A model takes images of certain sizes. `open_image` fits a photograph to such a size in one of two ways, and the
`Frame` it leaves behind undoes that for any result:

- ``fit="crop"`` (default) takes the largest centred part with the wanted aspect ratio and scales it. A result is scaled
  back to that part's size and put in its place, and around it the photograph stays as it was.
- ``fit="pad"`` scales the whole photograph to fit inside and mirrors it at its borders to fill the rest. Of a result
  the filling is cut off again, and what is left is scaled back.

Either way a result has the photograph's width and height.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, cast, get_args, runtime_checkable

import numpy as np
import torch
from PIL import Image

from nulltext.checks import Range, check_finite, checked
from nulltext.decoding import MAX_PIXELS, Source, header, read
from nulltext.errors import ImageError, SettingError, shown
from nulltext.mask_images import check_mask_size, grey_mask
from nulltext.models.capabilities import multiple_of
from nulltext.models.sizes import LEAST_SIDE, warn_of
from nulltext.showing import brief, png
from nulltext.types import ImageBytes, Mask, OnePixels

Fit = Literal["crop", "pad"]
"""How a photograph is brought to a model's size."""

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""


MOST_FITTED = 4096 * 4096
"""The largest image that is fitted or drawn, in pixels: 64 times what Stable Diffusion was made for."""


@runtime_checkable
class Sizes(Protocol):
    """What fitting has to know of a model."""

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell."""
        ...

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where in a photograph a fitted image lies; enough to put a result back.

    Attributes:
        size: (height, width) of the photograph, upright.
        fitted: (height, width) of the fitted image.
        part: The box in the photograph that was taken.
        content: The box in the fitted image that shows it; the rest is filling.
        surroundings: The photograph as a PNG with the part blackened, where the part is not all of it.
    """

    size: tuple[int, int]
    fitted: tuple[int, int]
    part: Box
    content: Box
    surroundings: bytes | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        for box, (height, width) in ((self.part, self.size), (self.content, self.fitted)):
            left, top, right, bottom = box
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                raise SettingError(f"got the box {box} in an image of {width} x {height}; expected one inside it.")
        whole = self.part == (0, 0, self.size[1], self.size[0])
        if whole != (self.surroundings is None):
            raise SettingError("got a part that is the whole photograph and surroundings, or a smaller one and none.")

    @classmethod
    def whole(cls, height: int, width: int) -> "Frame":
        """The frame of an image that was fitted to nothing."""
        box = (0, 0, width, height)
        return cls(size=(height, width), fitted=(height, width), part=box, content=box)

    def restore(self, pixels: OnePixels) -> Image.Image:
        """Puts a result back: cuts off filling, scales, and sets it into its surroundings.

        Args:
            pixels: [1, 3, H, W] in [-1, 1], of the fitted size.

        Returns:
            An RGB image of the photograph's size.
        """
        left, top, right, bottom = self.part
        result = to_image(pixels).resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=self.content)
        if self.surroundings is None:
            return result
        whole = header(self.surroundings, ("PNG",)).convert("RGB")
        whole.paste(result, (left, top))
        return whole

    def fit_mask(self, mask: Image.Image) -> Mask:
        """Brings a mask drawn over the photograph to the fitted image.

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
        check_finite("mask", mask)
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
    def read(cls, record: object, surroundings: bytes | None) -> "Frame":
        """Undoes `record`, of which nothing is taken on trust.

        Raises:
            SettingError: The record is not one, is of more than `MAX_PIXELS` pixels, or the surroundings do not go
                with it.
        """
        sides = {"size": 2, "fitted": 2, "part": 4, "content": 4}
        shown = str(record)[:80]
        if not isinstance(record, dict) or record.keys() != sides.keys():
            raise SettingError(f"its frame is {shown}; expected {', '.join(sides)}, no more and no less.")
        entries = cast("dict[str, object]", record)
        read: dict[str, Any] = {name: _sides(name, entries[name], count) for name, count in sides.items()}
        for name in ("size", "fitted"):
            height, width = read[name]
            if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
                raise SettingError(
                    f"its frame has a {name} of {width} x {height}; expected at least one pixel, and at most "
                    f"{MAX_PIXELS} altogether."
                )
        frame = cls(**read, surroundings=surroundings)
        if surroundings is not None:
            _check_surroundings(surroundings, frame.size)
        return frame


def _sides(name: str, value: object, count: int) -> tuple[int, ...]:
    shown = str(value)[:80]
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    if len(numbers) != count or any(type(number) is not int for number in numbers):
        raise SettingError(f"its frame has {name} {shown}; expected {count} whole numbers.")
    return tuple(cast("list[int]", numbers))


def _check_surroundings(data: bytes, size: tuple[int, int]) -> None:
    """Reads them to the end, which would otherwise fail after the work.

    Raises:
        SettingError: They are no whole image, or not of that (height, width).
    """
    try:
        with header(data, ("PNG",)) as image:
            got = f"{image.mode} {image.width} x {image.height}"
            if got == (expected := f"RGB {size[1]} x {size[0]}"):
                image.load()
    except Exception as error:  # as in `decoding.read`; a decompression bomb's is no OSError
        raise SettingError(f"its surroundings are {len(data)} bytes that are no whole image: {error}.") from error
    if got != expected:
        raise SettingError(f"its surroundings are {got}; expected {expected}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceImage:
    """A photograph fitted to a model.

    Attributes:
        pixels: [1, 3, H, W] in [-1, 1], of a size the model can take, in whole steps of 2/255.
        frame: Where these pixels lie in the photograph.
        sha256: Digest of the input: of a file's bytes, or of a PIL image's mode, size and pixels.

    Raises:
        ImageError: A pixel is infinite or not-a-number.
    """

    pixels: OnePixels
    frame: Frame
    sha256: str

    def __post_init__(self) -> None:
        if not self.pixels.isfinite().all():
            raise ImageError(
                "the photograph has pixels that are infinite or not-a-number; expected all from -1 to 1. Open its file "
                "with open_image()."
            )

    __repr__ = brief

    def _repr_png_(self) -> bytes:
        """The fitted image, in a notebook."""
        return png(to_image(self.pixels))

    def restore(self, pixels: OnePixels) -> Image.Image:
        """A result of the fitted size, [1, 3, H, W] in [-1, 1], as an image of the photograph's size."""
        return self.frame.restore(pixels)


def open_image(
    source: Source,
    model: Sizes,
    *,
    fit: Fit = "crop",
    size: tuple[int, int] | None = None,
) -> SourceImage:
    """Opens a photograph and fits it to a model.

    It is turned upright as its EXIF orientation says, brought to 8-bit sRGB (by its colour profile if it has one;
    transparency laid on white, 16-bit and greyscale, palette and CMYK images converted; of an animation the first
    frame), then fitted. Images of any size are taken, small ones are enlarged.

    Args:
        source: A path, an http or https address, a file's bytes, a PIL image, an array of numpy, [H, W] or [H, W, C],
            or a tensor, [C, H, W] or [1, C, H, W]; arrays as uint8, or floating point from 0 to 1.
        model: Whose sizes to fit to.
        fit: "crop" or "pad", see this module's head.
        size: (height, width) in pixels to fit to, each rounded to the nearest size the model can take (a multiple
            of ``model.scale``); the size the checkpoint was made for if None. A `SizeWarning` tells of one far from it.

    Returns:
        The photograph.

    Raises:
        ImageNotFoundError: There is no such file, or nothing at that address.
        ImageDecodeError: The data is not an image, is truncated, or has pixels that are not colours.
        ImageTooLargeError: It is too large a file to fetch, or has more than `MAX_PIXELS` pixels.
        SettingError: `fit` or `size` is out of range.
    """
    if fit not in get_args(Fit):
        raise SettingError(f"got fit={shown(fit)}; expected 'crop' or 'pad'.")
    height, width = nearest_size(model, model.default_size if size is None else size)
    if size is not None:
        warn_of(model, (height, width))
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
    return SourceImage(pixels=to_pixels(torch.from_numpy(np.array(fitted))), frame=frame, sha256=digest)


def to_pixels(image: ImageBytes) -> OnePixels:
    """[H, W, 3] bytes as [1, 3, H, W] in [-1, 1], float32."""
    return image.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_image_bytes(pixels: OnePixels) -> ImageBytes:
    """[1, 3, H, W] in [-1, 1] as [H, W, 3] bytes, rounded; undoes `to_pixels`.

    Raises:
        DivergedError: There is an infinity or not-a-number in it.
    """
    check_finite("image", pixels)
    return ((pixels[0].detach().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def to_image(pixels: OnePixels) -> Image.Image:
    """[1, 3, H, W] in [-1, 1] as an RGB image of W x H pixels.

    Raises:
        DivergedError: There is an infinity or not-a-number in it.
    """
    return Image.fromarray(to_image_bytes(pixels).numpy())


def nearest_size(model: Sizes, size: tuple[int, int]) -> tuple[int, int]:
    """Rounds (height, width) to what the model can take.

    Raises:
        SettingError: It is no size, or one that is larger than `MOST_FITTED`.
    """
    if not isinstance(size, Sequence) or len(size) != 2:  # noqa: PLR2004  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison]
        raise SettingError(f"got size={shown(size)}; expected (height, width) in pixels, each at least {LEAST_SIDE}.")
    height, width = (checked("size", side, Annotated[int, Range(least=LEAST_SIDE)]) for side in size)
    if height * width > MOST_FITTED:
        raise SettingError(
            f"got size={height}x{width}, {height * width} pixels; expected at most {MOST_FITTED} altogether, as in "
            "4096x4096. No model that this is for draws larger ones."
        )
    step = multiple_of(model)
    height, width = (max(1, (side + step // 2) // step) * step for side in (height, width))
    return height, width


def _centred_part(size: tuple[int, int], ratio: float) -> Box:
    """The largest centred box of width / height = `ratio` (to a pixel) in an image of (width, height)."""
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
