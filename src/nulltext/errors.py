"""Every exception that the package raises on purpose.

Each one derives from `NulltextError` *and* from the builtin that fits, so both ``except NulltextError`` and the
habitual ``except FileNotFoundError`` work. A message says what was got, what was expected and what to do about it.

    NulltextError
    ├── SettingError (ValueError)                     a setting or argument outside its range
    ├── MismatchError (ValueError)                    a file used with another model, schedule or guidance
    ├── OutOfMemoryError (MemoryError)                one image alone needs more memory than the device has free
    ├── Cancelled (Exception)                         raised by a progress callback to stop the work
    ├── ImageError (ValueError)
    │   ├── ImageNotFoundError (FileNotFoundError)    no such file
    │   ├── ImageDecodeError                          not an image, truncated, or of an unknown pixel format
    │   └── ImageTooLargeError                        more pixels than is sane to decode
    ├── PromptError (ValueError)
    │   ├── EmptyPromptError
    │   ├── PromptTooLongError                       more tokens than the model reads
    │   ├── UnknownWordError                          a word outside a model's own word list
    │   └── WordNotFoundError                         a word to edit by that the prompt does not have
    ├── ModelError (Exception)
    │   ├── ModelNotFoundError (FileNotFoundError)    no such folder, file or hub id, or no network to fetch it
    │   ├── ModelLoadError (OSError)                  found, but damaged or incomplete
    │   ├── UnsupportedPipelineError (TypeError)      not a text-to-image pipeline of a known family
    │   ├── UnsupportedScheduleError (ValueError)     a noise schedule that DDIM cannot walk both ways
    │   ├── ModelClosedError (RuntimeError)           used after its networks were given back to their pipeline
    │   ├── ModelAlteredError (RuntimeError)          used after its pipeline was altered while it was lent
    │   └── CompilationError (RuntimeError)           compiled, the network would give another gradient, or none
    ├── AttentionError (RuntimeError)
    │   ├── SessionError                              a control that met no attention it wants, or misused it
    │   └── EmptyMaskError                            a local blend that would change nothing
    ├── InversionError (Exception)
    │   ├── ImagesFailedError (RuntimeError)        some of many images; what was made of the others is in it
    │   └── DivergedError (ArithmeticError)           not-a-number or infinity on the way to an image
    ├── InversionFileError (ValueError)
    │   ├── InversionFileNotFoundError (FileNotFoundError)
    │   ├── DamagedFileError                          truncated, altered, or not a .safetensors at all
    │   ├── ForeignFileError                          a sound .safetensors which holds no inversion
    │   └── FileVersionError                          written in a format this package does not read
    ├── CaseError (ValueError)                        a set of cases, or an entry of one, that cannot be used
    │   └── CaseNotFoundError (FileNotFoundError)     no such set, or an image of it is missing
    ├── ManifestError (ValueError)                    a manifest, or a row of one, that cannot be used
    ├── ServerError (Exception)
    │   ├── JobNotFoundError (LookupError)            no such job, or another's
    │   ├── KeptFileNotFoundError (LookupError)       no such file on the server, or another's
    │   ├── UploadTooLargeError (ValueError)          a file larger than the server takes
    │   └── TooManyJobsError (RuntimeError)           more at a time than one person may ask for
    └── OutputError (OSError)
        ├── OutputExistsError (FileExistsError)       would overwrite without having been asked to
        └── OutputWriteError                          disk full, no permission, no such folder
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

MOST = 2000
"""A message has at most so many characters: what somebody gave may have any number."""
MOST_OF_A_WORD = 80
MOST_BITS = 63
"""Of a whole number that is written out, without its sign: what torch takes. Python refuses the longest."""


def shown(given: object, limit: int = MOST_OF_A_WORD) -> str:
    """What somebody gave, for a message, on one line: of a long text the beginning, and how long it is.

    Args:
        given: A text or a path, which is quoted, or whatever was given in its place, whose repr is taken.
        limit: At most so many characters of it.
    """
    if isinstance(given, int) and given.bit_length() > MOST_BITS:
        return f"a number of {given.bit_length()} bits"
    if isinstance(given, str | PurePath):
        text = str(given)
        return repr(text) if len(text) <= limit else f"{text[:limit] + '…'!r} ({len(text)} characters)"
    if isinstance(given, bytes):
        return repr(given) if len(given) <= limit else f"{given[:limit]!r}… ({len(given)} bytes)"
    try:
        text = " ".join((f"{given:g}" if isinstance(given, float) else repr(given)).split())
    except ValueError:  # such a number within something else
        return f"a {type(given).__name__}"
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def listed(given: Iterable[str], most: int = 12) -> str:
    """Words that somebody gave, for a message: the first of many, each as long as is `shown`."""
    words = [word if len(word) <= MOST_OF_A_WORD else f"{word[:MOST_OF_A_WORD]}…" for word in given]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


class NulltextError(Exception):
    """Base of every error raised on purpose by the package."""

    def __str__(self) -> str:
        """The message; of one that is far too long the beginning and the end, which says what to do."""
        text = super().__str__()
        return text if len(text) <= MOST else f"{text[: MOST * 3 // 4]} … {text[-MOST // 5 :]}"


class SettingError(NulltextError, ValueError):
    """A setting or an argument lies outside its range."""


class MismatchError(NulltextError, ValueError):
    """An inversion is used with another model, schedule or guidance than the one it was made with."""


class OutOfMemoryError(NulltextError, MemoryError):
    """One image alone needs more memory than the device has free."""


class Cancelled(NulltextError):
    """Raised by a progress callback to stop the work; the core lets it pass untouched."""


class ImageError(NulltextError, ValueError):
    """An image cannot be used."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """There is no image at that path."""


class ImageDecodeError(ImageError):
    """The data is not an image, is truncated, or has a pixel format that has no meaning as a photograph."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than is sane to decode (a decompression bomb, or nearly one)."""


class PromptError(NulltextError, ValueError):
    """A prompt cannot be used."""


class EmptyPromptError(PromptError):
    """A prompt without a word."""


class PromptTooLongError(PromptError):
    """A prompt with more tokens than the model reads."""


class UnknownWordError(PromptError):
    """A prompt with a word that the model was never taught."""


class WordNotFoundError(PromptError):
    """A word to edit by that is not in the prompt."""


class ModelError(NulltextError):
    """A model cannot be loaded or used."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """There is no such folder, file or hub id, or it is not on this machine and cannot be fetched."""


class ModelLoadError(ModelError, OSError):
    """The model is there, but damaged or incomplete."""


class UnsupportedPipelineError(ModelError, TypeError):
    """The model is not a text-to-image pipeline of a known family."""


class UnsupportedScheduleError(ModelError, ValueError):
    """The model's noise schedule is none that DDIM can walk both ways."""


class ModelClosedError(ModelError, RuntimeError):
    """The model was closed, and its networks are no longer its own."""


class ModelAlteredError(ModelError, RuntimeError):
    """The model's pipeline was altered while its networks were lent: they are not those that the model names."""


class CompilationError(ModelError, RuntimeError):
    """The network does not compile, or gives another gradient when it is compiled."""


class AttentionError(NulltextError, RuntimeError):
    """Attention control failed."""


class SessionError(AttentionError):
    """A control that no attention of the model answers to, or that was given or gave what does not fit it."""


class EmptyMaskError(AttentionError):
    """A local blend whose mask is empty: the edit would change nothing."""


class InversionError(NulltextError):
    """An inversion failed."""


class DivergedError(InversionError, ArithmeticError):
    """Numbers became infinite or not-a-number on the way: in an inversion, or in an image."""


class ImagesFailedError(InversionError, RuntimeError):
    """Some of many images could not be inverted, or edited.

    Attributes:
        errors: Why, by the image's index.
        results: What was made of the others, by their index.
    """

    def __init__(
        self, message: str, errors: Mapping[int, NulltextError] | None = None, results: Mapping[int, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.errors = errors or {}
        self.results = results or {}


class InversionFileError(NulltextError, ValueError):
    """An inversion file cannot be read."""


class InversionFileNotFoundError(InversionFileError, FileNotFoundError):
    """There is no inversion file at that path."""


class DamagedFileError(InversionFileError):
    """The file is truncated, altered, or not a .safetensors at all."""


class ForeignFileError(InversionFileError):
    """A sound .safetensors file which holds no inversion."""


class FileVersionError(InversionFileError):
    """An inversion file in a version of the format that this package does not read."""


class CaseError(NulltextError, ValueError):
    """A set of cases to measure on, or an entry of one, cannot be used."""


class CaseNotFoundError(CaseError, FileNotFoundError):
    """There is no such set of cases, or an image that it names is missing."""


class ManifestError(NulltextError, ValueError):
    """A manifest of a batch, or a row of one, cannot be used."""


class ServerError(NulltextError):
    """What the app was asked for cannot be done."""


class JobNotFoundError(ServerError, LookupError):
    """There is no job of that number, or it is another person's."""


class KeptFileNotFoundError(ServerError, LookupError):
    """There is no file of that number on the server, or it is another person's."""


class UploadTooLargeError(ServerError, ValueError):
    """A file is larger than the server takes."""


class TooManyJobsError(ServerError, RuntimeError):
    """A person has as many jobs waiting and under way as one may have."""


class OutputError(NulltextError, OSError):
    """A result cannot be written."""


class OutputExistsError(OutputError, FileExistsError):
    """The output is already there and overwriting was not asked for."""


class OutputWriteError(OutputError):
    """Writing failed: disk full, no permission, no such folder. Nothing half-written is left."""
