"""Every bound of a server: what one person may ask for, what one address, and what all together.

What each of them is for, and what happens at it, stands in docs/server.md as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import cast, final

from nulltext.decoding import decode
from nulltext.errors import (
    ImageTooLargeError,
    PromptTooLongError,
    SettingError,
    UploadTooLargeError,
)
from nulltext.models.sizes import LEAST_SIDE
from nulltext.spelling.fields import values
from nulltext.web.bounds import check_guidance, check_words, quoted

FREE = ("seed", "most_tokens")
"""Whole numbers of methods that may be as high as one likes."""
SCALES = ("guidance", "scale")
"""What the names of guidance scales end with, wherever they are."""
FORM = 5
"""So many times the largest image's file the largest request has."""


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that keep a server usable for everybody.

    Attributes:
        upload_bytes: The largest image's file; an inversion's may have four times as much. A larger one is refused.
        pixels: The largest image taken, by its pixels; a larger one is refused before it is decoded.
        side: The longest side taken, in pixels; a longer one is refused before it is decoded.
        characters: The longest prompt taken; a longer one is refused.
        prompts: How many prompts an edit may draw at once; more are refused.
        steps: The most steps of the sampler, T; more are refused.
        inner_steps: The most optimiser steps at each of them, N; more are refused.
        iterations: The most steps of an editor that optimises; more are refused.
        counts: The most of anything else that a method counts, views or channels; more are refused.
        jobs: How many jobs a person may have waiting and under way; one more is refused until one is over.
        waiting: How many jobs of all people may wait; one more is refused until one is over.
        connections: How many connections one address may have open; one more is closed at once.
        body_seconds: How long a request's body may stand still; then it is refused. Where there is no room for others,
            one that is two seconds behind the rate gives way to them.
        body_rate: The minimum rate of a request's body, bytes a second; one that comes more slowly is refused, once it
            is as many seconds behind as it may stand still.
        share: Which share one address may have of all places to wait, of the memory, and of the disk for results. One
            more job is refused; of what is kept the oldest of that address goes.
        results: Of how many of a person's last jobs the results can be asked for; older ones are forgotten.
        result_seconds: How long a job that is over can be asked for; then it is forgotten.
        memory_bytes: Memory for what people send, a quarter each: requests on their way and inputs of jobs, of which
            one more is refused until there is room; results of jobs, of which the oldest go.
        files: How many images, inversions and edits a person may keep; the oldest go first.
        kept_seconds: How long a file is kept after it was last used; then it is removed.
        disk_bytes: Disk for files, half for histories, half for inversions that may be asked for again; the oldest go
            first, but none that a job needs.

    Raises:
        SettingError: A bound is not more than 0, the share is more than 1, or one file alone would not fit.
    """

    upload_bytes: int = 20 * 2**20
    pixels: int = 40_000_000
    side: int = 12_000
    characters: int = 500
    prompts: int = 8
    steps: int = 100
    inner_steps: int = 50
    iterations: int = 1000
    counts: int = 256
    jobs: int = 3
    waiting: int = 100
    connections: int = 100
    body_seconds: float = 30
    body_rate: int = 8 * 2**10
    share: float = 0.25
    results: int = 20
    result_seconds: float = 3600
    memory_bytes: int = 2 * 2**30
    files: int = 200
    kept_seconds: float = 30 * 24 * 3600
    disk_bytes: int = 16 * 2**30

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise SettingError(f"got {name}={getattr(self, name)}; expected more than 0.")
        if self.share > 1:
            raise SettingError(f"got share={self.share:g}; expected at most 1, which is all.")
        if self.request_bytes > self.share * self.part_bytes:
            raise SettingError(
                f"got uploads of {self.upload_bytes / 2**20:g} MB in {self.memory_bytes / 2**20:g} MB of memory; "
                f"expected memory for {4 * FORM / self.share:g} times an upload or more. Allow smaller uploads, or "
                "more memory."
            )

    @property
    def inversion_bytes(self) -> int:
        """The largest inversion file taken: a trajectory, embeddings and the surroundings of a large photograph."""
        return 4 * self.upload_bytes

    @property
    def request_bytes(self) -> int:
        """The largest request: a form with an inversion file in it."""
        return FORM * self.upload_bytes

    @property
    def part_bytes(self) -> int:
        """Of the memory what each of the four kinds may take."""
        return self.memory_bytes // 4

    @property
    def queue(self) -> int:
        """How many jobs of one address may wait and be under way."""
        return max(1, int(self.share * self.waiting))

    @property
    def evaluations(self) -> int:
        """How often an inversion may ask the network: what any method takes with the most steps of both kinds."""
        return self.steps * (6 + 4 * self.inner_steps)

    def check_upload(self, size: int) -> None:
        """Refuses a file that is too large.

        Raises:
            UploadTooLargeError: It is.
        """
        if size > self.upload_bytes:
            raise UploadTooLargeError(
                f"the file has {size / 2**20:.1f} MB; expected at most {self.upload_bytes / 2**20:g} MB. Scale the "
                "image down, or save it as a JPEG."
            )

    def check_image(self, data: bytes, name: str = "the image") -> None:
        """Refuses an image that is too large, before its pixels are decoded.

        Args:
            data: Its file.
            name: What it is called where it is refused.

        Raises:
            UploadTooLargeError: The file is too large.
            ImageDecodeError: It is no image, or of a format that is not opened.
            ImageTooLargeError: It has too many pixels, or too many on one side.
        """
        self.check_upload(len(data))
        self.check_size(*decode(name, data).size, name=name)

    def check_size(self, width: int, height: int, *, name: str = "the image") -> None:
        """Refuses an image of too many pixels.

        Args:
            width: Its pixels on one side.
            height: And on the other.
            name: What it is called where it is refused.

        Raises:
            ImageTooLargeError: It has too many, or too many on one side.
        """
        if max(width, height) > self.side or width * height > self.pixels:
            raise ImageTooLargeError(
                f"{name} is {width} x {height}; expected at most {self.side} on a side and "
                f"{self.pixels / 1e6:g} million pixels altogether. Scale it down first."
            )

    def check_fitted(self, size: object) -> None:
        """Refuses a size to bring an image to that is none, or that no model draws.

        Args:
            size: (height, width) in pixels.

        Raises:
            SettingError: It is.
        """
        said = quoted(size)
        pair = cast("Sequence[object]", size) if isinstance(size, list | tuple) else ()
        height, width = pair if len(pair) == 2 else (None, None)  # noqa: PLR2004  sides
        if type(height) is not int or type(width) is not int:
            raise SettingError(f"got {said} for size; expected height and width in pixels, as in 128x192.")
        if min(height, width) < LEAST_SIDE or max(height, width) > self.side or height * width > self.pixels:
            raise SettingError(
                f"got size={height}x{width}; expected {LEAST_SIDE} to {self.side} on a side and at most "
                f"{self.pixels / 1e6:g} million pixels altogether, as in 128x192."
            )

    def check_prompt(self, prompt: str) -> None:
        """Refuses a prompt that is too long.

        Raises:
            PromptTooLongError: It is.
        """
        if len(prompt) > self.characters:
            raise PromptTooLongError(
                f"the prompt has {len(prompt)} characters; expected at most {self.characters}. Say it shorter."
            )

    def check_steps(self, steps: int, inner_steps: int) -> None:
        """Refuses what would keep the device busy for too long.

        Raises:
            SettingError: There are too many steps, or none.
        """
        for name, got, most in (("steps", steps, self.steps), ("optimiser steps", inner_steps, self.inner_steps)):
            if not 1 <= got <= most:
                raise SettingError(f"got {got} {name}; expected 1 to {most}.")

    def check_settings(self, method: object) -> None:
        """Refuses settings of a method, and of its parts, that would keep the device busy or its memory full.

        Raises:
            NulltextError: A number is too high, a text too long, or there are too many words.
        """
        for name, value in values(method).items():
            if is_dataclass(value):
                self.check_settings(value)
            elif value is not None and name.endswith(SCALES):
                check_guidance(value, name)
            elif isinstance(value, str):
                self.check_prompt(value)
            elif isinstance(value, int) and not isinstance(value, bool):
                self._check_count(name, value)
            elif isinstance(value, list | tuple | Mapping):
                check_words(name, cast("object", value))

    def _check_count(self, name: str, count: int) -> None:
        what, most = {
            "steps": ("steps", self.steps),
            "inner_steps": ("optimiser steps", self.inner_steps),
            "sequential_steps": ("closing steps", self.inner_steps),
            "iterations": ("iterations", self.iterations),
        }.get(name, (name, self.counts))
        if name not in FREE and count > most:
            raise SettingError(f"got {count} {what}; expected at most {most}.")

    def check_evaluations(self, evaluations: Mapping[str, float]) -> None:
        """Refuses an inversion that asks the network too often.

        Args:
            evaluations: How often in each phase.

        Raises:
            SettingError: It does.
        """
        if sum(evaluations.values()) > self.evaluations:
            raise SettingError(
                f"got an inversion of {sum(evaluations.values()):g} evaluations of the network; expected at most "
                f"{self.evaluations}. Take fewer steps or iterations."
            )
