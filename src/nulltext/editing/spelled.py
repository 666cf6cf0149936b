"""How the editors' settings are spelled as options: ``--cross tiger=0.4``, ``--blend cat:tiger``."""

import os
import re
from collections.abc import Mapping, Sequence
from os import fspath
from pathlib import Path
from typing import Any, Final, cast

from nulltext.attention.control import Share
from nulltext.editing.table import MASKS
from nulltext.errors import SettingError, shown
from nulltext.models.clip import Clip
from nulltext.models.vq import VQAutoencoder
from nulltext.spelling.fields import Option
from nulltext.spelling.options import text
from nulltext.tables import word_of


def read_share(message: str) -> Share:
    """0.8, or 0.2-0.8, as a share of the steps.

    Raises:
        SettingError: It is neither.
    """
    number = r"\d*\.?\d+"
    match = re.fullmatch(rf"({number})(?:-({number}))?", message.strip())
    if match is None:
        raise SettingError(
            f"got {shown(message)}; expected a share of the steps such as 0.8, or from-to such as 0.2-0.8."
        )
    return float(match[1]) if match[2] is None else (float(match[1]), float(match[2]))


def read_cross(message: Sequence[str]) -> dict[str, Share]:
    """Shares by word, "" for all others, of ["0.8", "tiger=0.4"].

    Raises:
        SettingError: One of them is no share.
    """
    entries = (one.rpartition("=") for one in message)
    return {word.strip(): read_share(share) for word, _, share in entries}


def read_weights(message: Sequence[str]) -> dict[str, float]:
    """Factors by word, of ["tiger=2"].

    Raises:
        SettingError: One of them is no word with a number.
    """
    weights: dict[str, float] = {}
    for one in message:
        word, _, factor = one.rpartition("=")
        try:
            weights[word.strip()] = float(factor)
        except ValueError:
            word = ""
        if not word.strip():
            raise SettingError(f"--weight: got {shown(one)}; expected a word and a factor, as in tiger=2.")
    return weights


def read_places(message: str) -> dict[str, list[str]]:
    """The words of the source prompt and of the target prompt in "cat:tiger"; commas separate several."""
    source, _, target = message.partition(":")
    return {"source": _words(source), "target": _words(target)}


def _words(message: str) -> list[str]:
    return [word.strip() for word in message.split(",") if word.strip()]


def read_mask(message: str) -> Any:  # noqa: ANN401  a mask source, which has no base class
    """What finds a mask, by its word; any other text is the path of an image."""
    return MASKS[message].load()() if message in MASKS else Path(message)


def _write_share(share: Share) -> str:
    return "-".join(map(text, share)) if isinstance(share, tuple) else text(float(share))


def _write_cross(shares: Share | Mapping[str, Share]) -> list[str]:
    if not isinstance(shares, Mapping):
        return [_write_share(shares)]
    return [f"{word}={_write_share(share)}" if word else _write_share(share) for word, share in shares.items()]


def _write_places(places: Mapping[str, str | Sequence[str]]) -> list[str]:
    both = (places[name] for name in ("source", "target"))
    return [":".join(words if isinstance(words, str) else ",".join(words) for words in both)]


def _write_words(words: str | Sequence[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


def _write_mask(mask: Any) -> list[str]:  # noqa: ANN401  a mask source, which has no base class
    if (word := word_of(MASKS, type(mask).__name__)) is not None:
        if mask != type(mask)():
            raise SettingError(f"got {mask!r}; a command line can say {word} with its own settings alone. Use Python.")
        return [word]
    try:
        path = fspath(cast("os.PathLike[str]", mask))
    except TypeError:
        raise SettingError("got a mask in memory; expected the path of one, which a command line can say.") from None
    return [os.path.join(os.curdir, path) if path in MASKS else path]  # noqa: PTH118  Path would drop the "./"


CROSS: Final = Option(
    name="--cross",
    metavar="SHARE",
    many=True,
    read=read_cross,
    write=_write_cross,
    help="In which share of the steps words look where those of the source look: 0.8, from-to as in 0.2-0.8, or for "
    "one word tiger=0.4; may be given several times.",
)
SELF: Final = Option(
    name="--self",
    metavar="SHARE",
    read=read_share,
    write=lambda share: [_write_share(share)],
    help="In which share of the steps shapes and places are the source's: 0.4, or 0.2-0.8.",
)
TOKENS: Final = Option(
    name="--self-tokens",
    metavar="TOKENS",
    help="At which layers --self acts: those with up to so many places; 1024 is 32 x 32.",
)
KIND: Final = Option(
    help="Swap words one for one, or align what both prompts say; auto replaces where both have as many words."
)
WEIGHT: Final = Option(
    name="--weight",
    metavar="WORD=FACTOR",
    many=True,
    read=read_weights,
    write=lambda weights: [f"{word}={text(float(factor))}" for word, factor in weights.items()],
    help="Make a word of the new prompt stronger or weaker, -4 to 10; may be given several times.",
)
PLACES: Final = Option(
    name="--blend",
    metavar="OLD:NEW",
    read=read_places,
    write=_write_places,
    fills=("target",),
    help="Change the image only where these words are, as in cat:tiger; commas separate several words.",
)
KEEP_OUT: Final = Option(
    name="--keep-out",
    metavar="WORD",
    many=True,
    read=tuple,
    write=_write_words,
    help="Do not change the image where this word is; may be given several times.",
)
THRESHOLD: Final = Option(
    name="--threshold", help="From which share of its highest attention on a place belongs to a word."
)
START: Final = Option(
    name="--blend-start", help="After which share of the steps the source is put back elsewhere, 0 to 1."
)
MASK: Final = Option(
    name="--mask",
    metavar="IMAGE|NAME",
    read=read_mask,
    write=_write_mask,
    local=True,
    help="".join(
        [
            "A mask drawn over the image: white may change, black must not.",
            *(f" Or {word}: {entry.summary}; a file of that name is ./{word}." for word, entry in MASKS.items()),
        ]
    ),
)
PIXELS: Final = Option(name="--blend-pixels", help="Whether the decoded image is blended as well, with a soft border.")
CLIP: Final = Option(
    metavar="FOLDER",
    read=Clip.load,
    local=True,
    help="The CLIP that judges, as transformers saves it; the embedded model has one of its own.",
)
AUTOENCODER: Final = Option(
    metavar="FOLDER",
    read=VQAutoencoder.load,
    local=True,
    help="The VQModel whose latents are moved, as diffusers saves it; the checkpoint's own if not given.",
)
