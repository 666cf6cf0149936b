"""Names for the files that the commands write, and images as bytes."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nulltext.errors import OutputWriteError, SettingError
from nulltext.files import check_output, write_file

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 60
"""A file name made of a prompt is cut there, in characters."""

_JPEG = ("JPEG", {"quality": 95, "subsampling": 0})
_FORMATS: dict[str, tuple[str, dict[str, int]]] = {
    ".png": ("PNG", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}
"""What Pillow calls the format of a suffix, and how it is to write it; others cannot hold a photograph well."""
_INVERSION, _DRAWING = ".safetensors", ".svg"


def slug(prompt: str) -> str:
    """A prompt as a file name: its words, joined by hyphens."""
    words = re.sub(r"[^\w]+", "-", prompt.casefold()).strip("-_")
    return words[:LONGEST].rstrip("-_") or "image"


def undashed(path: Path) -> str:
    """A path as a command line takes it: one that begins with a dash would read as an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def image_path(path: Path) -> Path:
    """The path itself, if its suffix names a kind of image that is written here.

    Raises:
        SettingError: It does not.
    """
    if path.suffix.casefold() not in _FORMATS:
        raise SettingError(f"got {path}; expected an image's name, ending in one of {' '.join(_FORMATS)}. Rename it.")
    return path


def inversion_path(path: Path) -> Path:
    """The path itself, if its suffix is that of inversion files.

    Raises:
        SettingError: It is not.
    """
    if path.suffix.casefold() != _INVERSION:
        raise SettingError(f"got {path}; expected an inversion file's name, ending in {_INVERSION}. Rename it.")
    return path


def drawing_path(path: Path) -> Path:
    """The path itself, if its suffix is that of drawings.

    Raises:
        SettingError: It is not.
    """
    if path.suffix.casefold() != _DRAWING:
        raise SettingError(f"got {path}; expected a drawing's name, ending in {_DRAWING}. Rename it.")
    return path


def folder_path(path: Path, first: str = "report") -> Path:
    """The path itself, if it can be a folder for results: one that is there, or a name that is no file's.

    Args:
        path: The folder.
        first: A file that will be written there.

    Raises:
        SettingError: Its suffix is that of a file.
        OutputWriteError: It is a file, or cannot be made or written to.
    """
    check_output(path / first, overwrite=True, make_folder=True)
    if path.suffix.casefold() in {*_FORMATS, _INVERSION, _DRAWING, ".json", ".md", ".html"} and not path.exists():
        raise SettingError(f"got {path}, which looks like a file's name; expected a folder's. Leave the ending out.")
    return path


def edit_paths(prompts: Sequence[str], output: Path | None, stem: str) -> list[Path]:
    """Where the edits go, one file a prompt.

    Args:
        prompts: The new prompts.
        output: An image file for a single prompt; else a folder. None is this folder.
        stem: What the names begin with where no `output` is given.

    Raises:
        SettingError: One file for several prompts, or no image format.
        OutputWriteError: `output` is no name the system takes.
    """
    try:
        one_file = output is not None and output.suffix and not output.is_dir()
    except OSError as error:
        raise OutputWriteError(f"cannot write {output}: {error.strerror}. Choose another name.") from error
    if output is not None and one_file:
        if len(prompts) > 1:
            raise SettingError(
                f"got the one file {output} for {len(prompts)} prompts; expected a folder. "
                "Give -o a name without a suffix."
            )
        return [image_path(output)]
    names: list[str] = []
    for prompt in prompts:
        name = slug(prompt) if output is not None else f"{stem}-{slug(prompt)}"
        while name in names:  # prompts that differ in punctuation only, or after the cut
            name += "-again"
        names.append(name)
    return [(output or Path()) / f"{name}.png" for name in names]


def check_all(paths: Iterable[Path], *, force: bool) -> None:
    """Says before any work whether all these can be written; a folder that is not there yet can be made.

    Raises:
        SettingError: Two are the same file.
        OutputExistsError: One is there, and `force` is off.
        OutputWriteError: One cannot be written.
    """
    targets: set[Path] = set()
    for path in paths:
        target = check_output(path, overwrite=force, make_folder=True).resolve()
        if target in targets:
            raise SettingError(f"got {path} for two results; expected a file for each. Give one another name.")
        targets.add(target)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it.

    Raises:
        OutputWriteError: The system refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputWriteError(f"cannot make the folder {folder}: {error.strerror}. Choose another.") from error


def write_image(path: Path, image: "Image", *, force: bool) -> None:
    """Writes an image, whole or not at all, making its folder if need be.

    Raises:
        OutputExistsError: It is there, and `force` is off.
        OutputWriteError: The system refused, or the format has no room for so many pixels.
    """
    kind, settings = _FORMATS[path.suffix.casefold()]
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **settings)
    except (OSError, ValueError) as error:  # Pillow's encoders raise either
        raise OutputWriteError(
            f"cannot write {path}, {image.width} x {image.height}, as {kind}: {error}. Take .png instead."
        ) from error
    make_folder(path.parent)
    write_file(path, buffer.getvalue(), overwrite=force)
