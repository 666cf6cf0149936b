"""The options of Prompt-to-Prompt, and what they say."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nulltext.errors import SettingError, shown

if TYPE_CHECKING:
    from nulltext import Blend, Model, PromptToPrompt
    from nulltext.attention.control import Share

PANEL = "Prompt-to-Prompt"
Cross = Annotated[
    list[str] | None,
    typer.Option(
        "--cross",
        metavar="SHARE",
        help="In which share of the steps words look where those of the source look: 0.8, from-to as in 0.2-0.8, or "
        "for one word tiger=0.4; may be given several times. If not given, what the model recommends: 0.8 the embedded "
        "one; others, unless they say so themselves, 0.8 as published for Stable Diffusion.",
        rich_help_panel=PANEL,
    ),
]
Self = Annotated[
    str | None,
    typer.Option(
        "--self",
        metavar="SHARE",
        help="In which share of the steps shapes and places are the source's: 0.4, or 0.2-0.8. If not given, what the "
        "model recommends: 0.8 the embedded one; others, unless they say so themselves, 0.4 as published for Stable "
        "Diffusion.",
        rich_help_panel=PANEL,
    ),
]
SelfTokens = Annotated[
    int | None,
    typer.Option(
        "--self-tokens",
        metavar="TOKENS",
        min=1,
        help="At which layers --self acts: those with up to so many places. 1024, which is 32 x 32, if not given.",
        rich_help_panel=PANEL,
    ),
]
Kind = Annotated[
    Literal["auto", "replace", "refine"],
    typer.Option(
        help="Swap words one for one, or align what both captions say; auto replaces where both have as many words.",
        rich_help_panel=PANEL,
    ),
]
Weight = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="WORD=FACTOR",
        help="Make a word of the new caption stronger or weaker, -4 to 10; may be given several times.",
        rich_help_panel=PANEL,
    ),
]
BlendWords = Annotated[
    str | None,
    typer.Option(
        "--blend",
        metavar="OLD:NEW",
        help="Change the picture only where these words are, as in cat:tiger; commas separate several words.",
        rich_help_panel=PANEL,
    ),
]
KeepOut = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-out",
        metavar="WORD",
        help="Do not change the picture where this word is; may be given several times.",
        rich_help_panel=PANEL,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="From which share of its highest attention on a place belongs to a word. If not given, what the model "
        "recommends: 0.3 the embedded one; others, unless they say so themselves, 0.3 as published for Stable "
        "Diffusion.",
        rich_help_panel=PANEL,
    ),
]
BlendStart = Annotated[
    float | None,
    typer.Option(
        help="After which share of the steps the source is put back elsewhere. 0.2 if not given.",
        rich_help_panel=PANEL,
    ),
]
DrawnMask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="PICTURE",
        help="A mask drawn over the photograph: white may change, black must not.",
        rich_help_panel=PANEL,
    ),
]


def read_share(text: str) -> "Share":
    """0.8, or 0.2-0.8, as a share of the steps.

    Raises:
        SettingError: It is neither.
    """
    number = r"\d*\.?\d+"
    match = re.fullmatch(rf"({number})(?:-({number}))?", text.strip())
    if match is None:
        raise SettingError(f"got {shown(text)}; expected a share of the steps such as 0.8, or from-to such as 0.2-0.8.")
    return float(match[1]) if match[2] is None else (float(match[1]), float(match[2]))


def read_cross(given: Sequence[str]) -> "dict[str, Share]":
    """Shares by word, "" for all others, of ["0.8", "tiger=0.4"].

    Raises:
        SettingError: One of them is no share.
    """
    shares: dict[str, Share] = {}
    for text in given:
        word, _, share = text.rpartition("=")
        shares[word.strip()] = read_share(share)
    return shares


def read_weights(given: Sequence[str]) -> dict[str, float]:
    """Factors by word, of ["tiger=2"].

    Raises:
        SettingError: One of them is no word with a number.
    """
    weights: dict[str, float] = {}
    for text in given:
        word, _, factor = text.rpartition("=")
        try:
            weights[word.strip()] = float(factor)
        except ValueError:
            raise SettingError(f"--weight: got {shown(text)}; expected a word and a factor, as in tiger=2.") from None
        if not word.strip():
            raise SettingError(f"--weight: got {shown(text)}; expected a word and a factor, as in tiger=2.")
    return weights


def read_blend(
    words: str | None,
    *,
    mask: Path | None = None,
    keep_out: Sequence[str] = (),
    threshold: float | None = None,
    start: float | None = None,
) -> "Blend | None":
    """A blend of "cat:tiger" and what else is given; None if nothing says where it shall be.

    Raises:
        SettingError: A number is out of range, or is given for a blend that is not.
    """
    from nulltext import Blend

    if words is None and mask is None and not keep_out:
        if threshold is not None or start is not None:
            raise SettingError("got a threshold or a start, but no blend; expected --blend, --keep-out or --mask.")
        return None
    old, _, new = (words or "").partition(":")
    return Blend(
        source=[word.strip() for word in old.split(",") if word.strip()],
        target=[word.strip() for word in new.split(",") if word.strip()],
        keep_out=tuple(keep_out),
        mask=mask,
        threshold=threshold,
        start=Blend.start if start is None else start,
    )


def editor(
    *,
    cross: Sequence[str] | None,
    self_share: str | None,
    self_tokens: int | None,
    kind: Literal["auto", "replace", "refine"],
    weights: Sequence[str] | None,
    blend: "Blend | None",
    chain: bool = False,
    hold_source: bool = False,
    maps: bool = False,
    guidance: float | None = None,
) -> "PromptToPrompt":
    """The editor that the options describe; what is not given is left to the model, or is the library's default.

    Raises:
        SettingError: One of them makes no sense.
    """
    from nulltext import PromptToPrompt

    plain = PromptToPrompt()
    return PromptToPrompt(
        cross_attention=read_cross(cross) if cross else None,
        self_attention=None if self_share is None else read_share(self_share),
        most_tokens=plain.most_tokens if self_tokens is None else self_tokens,
        kind=kind,
        reweight=read_weights(weights or ()),
        blend=blend,
        chain=chain,
        hold_source=hold_source,
        maps=maps,
        guidance=guidance,
    )


def left_to(model: "Model", editor: "PromptToPrompt") -> dict[str, str]:
    """What an editor leaves to the model, by option: the setting that is in force, and where it comes from.

    Args:
        model: The model.
        editor: The editor as it was asked for.
    """
    left = {
        "--cross": None if "" in editor.shares else "cross_attention",
        "--self": "self_attention" if editor.self_attention is None else None,
        "--threshold": "threshold" if editor.blend is not None and editor.blend.threshold is None else None,
    }
    return {option: model.recommended.why(name, model.identity.id) for option, name in left.items() if name is not None}


def settings_of(editor: "PromptToPrompt") -> dict[str, object]:
    """The settings of an editor in force that the options set, for JSON."""
    return {
        "cross": editor.cross_attention,
        "self": editor.self_attention,
        "threshold": None if editor.blend is None else editor.blend.threshold,
    }
