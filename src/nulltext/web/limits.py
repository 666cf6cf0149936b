"""What one person may ask of a server."""

from dataclasses import dataclass
from typing import final

from nulltext.decoding import decode
from nulltext.errors import (
    CaptionTooLongError,
    ImageTooLargeError,
    SettingError,
    UploadTooLargeError,
)


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that keep a server usable for everybody.

    Attributes:
        upload_bytes: The largest file taken.
        pixels: The largest picture taken, by its pixels.
        side: The longest side taken, in pixels.
        characters: The longest caption taken.
        captions: How many captions an edit may draw at once.
        steps: The most steps of the sampler, T.
        inner_steps: The most optimiser steps at each of them, N.
        jobs: How many jobs a person may have waiting and under way.
        files: How many files a person may keep; the oldest go first.
        kept_seconds: How long a file is kept after it was last used.

    Raises:
        SettingError: A bound is not more than 0.
    """

    upload_bytes: int = 20 * 2**20
    pixels: int = 40_000_000
    side: int = 12_000
    characters: int = 500
    captions: int = 8
    steps: int = 100
    inner_steps: int = 50
    jobs: int = 3
    files: int = 200
    kept_seconds: float = 24 * 3600

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise SettingError(f"got {name}={getattr(self, name)}; expected more than 0.")

    def check_upload(self, size: int) -> None:
        """Refuses a file that is too large.

        Raises:
            UploadTooLargeError: It is.
        """
        if size > self.upload_bytes:
            raise UploadTooLargeError(
                f"the file has {size / 2**20:.1f} MB; expected at most {self.upload_bytes / 2**20:g} MB. Scale the "
                "picture down, or save it as a JPEG."
            )

    def check_picture(self, data: bytes) -> None:
        """Refuses a picture that is too large, before its pixels are decoded.

        Raises:
            UploadTooLargeError: The file is too large.
            ImageDecodeError: It is no picture, or of a format that is not opened.
            ImageTooLargeError: It has too many pixels, or too many on one side.
        """
        self.check_upload(len(data))
        self.check_size(*decode("the picture", data).size)

    def check_size(self, width: int, height: int) -> None:
        """Refuses a picture of too many pixels.

        Raises:
            ImageTooLargeError: It has too many, or too many on one side.
        """
        if max(width, height) > self.side or width * height > self.pixels:
            raise ImageTooLargeError(
                f"the picture is {width} x {height}; expected at most {self.side} on a side and "
                f"{self.pixels / 1e6:g} million pixels altogether. Scale it down first."
            )

    def check_caption(self, caption: str) -> None:
        """Refuses a caption that is too long.

        Raises:
            CaptionTooLongError: It is.
        """
        if len(caption) > self.characters:
            raise CaptionTooLongError(
                f"the caption has {len(caption)} characters; expected at most {self.characters}. Say it shorter."
            )

    def check_steps(self, steps: int, inner_steps: int) -> None:
        """Refuses what would keep the device busy for too long.

        Raises:
            SettingError: There are too many steps, or none.
        """
        for name, got, most in (("steps", steps, self.steps), ("optimiser steps", inner_steps, self.inner_steps)):
            if not 1 <= got <= most:
                raise SettingError(f"got {got} {name}; expected 1 to {most}.")
