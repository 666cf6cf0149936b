"""What people ask for: inversions and edits as plain values, and the code that does the same without the app."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Literal, final, get_args

from PIL import Image

from nulltext.editing.blend import Blend
from nulltext.editing.change import WEIGHTS, Change
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import EmptyCaptionError, SettingError
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.recommended import Recommended
from nulltext.pictures import Fit
from nulltext.text.words import Tokens
from nulltext.web.bounds import MOST_NAME, check_choice, check_number, check_text, check_whole, check_words, said
from nulltext.web.limits import Limits

Method = Literal["direct", "null-text", "ddim"]
Vary = Literal["", "composition", "layout", "strength"]
SHARES = (0.0, 0.4, 0.8, 1.0)
"""What is tried where a share of the steps is varied."""
MOST_GUIDANCE = 30.0
"""Far beyond what any model was trained for."""
STRENGTHS = (0.5, 1.0, 2.0, 4.0)
"""What is tried where the strength of the new words is varied."""


@final
@dataclass(frozen=True, kw_only=True)
class InversionRequest:
    """An inversion that somebody asks for.

    Attributes:
        caption: What the picture shows.
        model: The model's name.
        method: "direct", "null-text" or "ddim".
        steps: T.
        inner_steps: N, of null-text.
        guidance: The weight w; None is the model's own, and for "ddim" 1.
        fit: How the picture is brought to the model's size.
    """

    caption: str
    model: str = "scenes"
    method: Method = "direct"
    steps: int = 50
    inner_steps: int = 10
    guidance: float | None = None
    fit: Fit = "crop"

    def check(self, limits: Limits) -> None:
        """Refuses what is out of bounds.

        Raises:
            NulltextError: Something is.
        """
        check_text("the caption", self.caption)
        if not self.caption.strip():
            raise EmptyCaptionError("the caption is empty; expected at least one word. Say what is in the picture.")
        limits.check_caption(self.caption)
        check_text("the model", self.model, MOST_NAME)
        for name, count in (("steps", self.steps), ("optimiser steps", self.inner_steps)):
            check_whole(name, count)
        limits.check_steps(self.steps, self.inner_steps)
        check_choice("the method", self.method, get_args(Method))
        check_choice("fit", self.fit, get_args(Fit))
        _check_guidance(self.guidance)

    @property
    def inverter(self) -> Inverter:
        """The method."""
        if self.method == "ddim":
            return DDIM(steps=self.steps, guidance=1.0 if self.guidance is None else self.guidance)
        if self.method == "direct":
            return DirectInversion(steps=self.steps, guidance=self.guidance)
        return NullText(steps=self.steps, inner_steps=self.inner_steps, guidance=self.guidance)

    @property
    def plan(self) -> Mapping[str, float]:
        """The phases of the work and their evaluations of the network, a backward pass counting as one."""
        if self.method == "direct":
            return {"invert": self.steps}
        optimise = {"optimise": self.steps * (2 + 2 * self.inner_steps)} if self.method == "null-text" else {}
        return {"invert": self.steps, **optimise, "sample": 2 * self.steps}


@final
@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """An edit that somebody asks for.

    Attributes:
        caption: The new caption.
        before: Edits that this one goes on from, in their order, each with settings of its own.
        cross: In which share of the steps words look where those of the source look, 0 to 1; None is what the model
            recommends.
        self_share: In which share of the steps shapes and places are the source's, 0 to 1; None likewise.
        weights: Factors by word of the new caption, -4 to 10.
        places: Words of either caption where the picture may change; none for everywhere.
        mask: A picture drawn over the photograph, white where it may change.
        vary: What is drawn in several strengths side by side; "" for one picture.
    """

    caption: str
    before: tuple["EditRequest", ...] = ()
    cross: float | None = None
    self_share: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    places: tuple[str, ...] = ()
    mask: Image.Image | None = None
    vary: Vary = ""

    def check(self, limits: Limits) -> None:
        """Refuses what is out of bounds.

        Raises:
            NulltextError: Something is.
        """
        if len(self.chain) > limits.captions:
            raise SettingError(
                f"got {len(self.chain)} edits on top of each other; expected at most {limits.captions}. Begin again "
                "from the source."
            )
        if self.vary and self.before:
            raise SettingError("got an edit that goes on from another, in several strengths; expected one of the two.")
        check_choice("what to vary", self.vary, get_args(Vary))
        for one in self.chain:
            one.check_alone(limits)

    def check_alone(self, limits: Limits) -> None:
        """Refuses what is out of bounds in this edit, whatever it goes on from.

        Raises:
            NulltextError: Something is.
        """
        check_text("the new caption", self.caption)
        if not self.caption.strip():
            raise EmptyCaptionError("the new caption is empty; expected at least one word. Say what shall be seen.")
        limits.check_caption(self.caption)
        for name, share in (("composition", self.cross), ("layout", self.self_share)):
            if share is not None:
                check_number(f"how much of the {name} to keep", share, 0, 1)
        check_words("places", self.places)
        check_words("weights", self.weights)
        for word, factor in self.weights.items():
            check_number(f"the strength of {said(word)}", factor, *WEIGHTS)

    @property
    def chain(self) -> tuple["EditRequest", ...]:
        """All edits, in the order in which they build on each other, this one last."""
        return (*self.before, replace(self, before=()))

    @property
    def captions(self) -> tuple[str, ...]:
        """Their captions."""
        return tuple(one.caption for one in self.chain)

    def in_force(self, recommended: Recommended) -> "EditRequest":
        """This edit, and those it goes on from, with what was left to the model filled in."""
        return replace(
            self,
            before=tuple(one.in_force(recommended) for one in self.before),
            cross=recommended.cross_attention if self.cross is None else self.cross,
            self_share=recommended.self_attention if self.self_share is None else self.self_share,
        )

    def changes(self, source: Tokens, targets: Sequence[Tokens]) -> list[Change]:
        """What each edit of the chain changes.

        Args:
            source: The source caption's words.
            targets: Those of `captions`.

        Raises:
            WordNotFoundError: A place is a word of neither the source nor the edit's own caption.
        """
        return [one.change(source, target) for one, target in zip(self.chain, targets, strict=True)]

    def change(self, source: Tokens, target: Tokens) -> Change:
        """What this edit alone changes.

        Raises:
            WordNotFoundError: A place is a word of neither caption.
        """
        old = [word for word in self.places if source.has(word)]
        new = [word for word in self.places if target.has(word) or (word not in old and target.find(word))]
        blend = None if not old and not new and self.mask is None else Blend(old, new, mask=self.mask)
        return Change(
            cross_attention=self.cross,
            self_attention=self.self_share,
            reweight={word: factor for word, factor in self.weights.items() if factor != 1},
            blend=blend,
        )

    def variants(self, new_words: Sequence[str]) -> list["EditRequest"]:
        """This edit in several strengths, or itself alone.

        Args:
            new_words: The words of the new caption that the source's lacks.

        Raises:
            SettingError: The strength of new words is to be varied, and there are none.
        """
        one = replace(self, vary="")
        if self.vary == "composition":
            return [replace(one, cross=share) for share in SHARES]
        if self.vary == "layout":
            return [replace(one, self_share=share) for share in SHARES]
        if self.vary == "strength":
            if not new_words:
                raise SettingError("there is no new word whose strength could be varied. Change the caption first.")
            others = {word: factor for word, factor in self.weights.items() if word.lower() not in new_words}
            return [replace(one, weights={**others, **dict.fromkeys(new_words, factor)}) for factor in STRENGTHS]
        return [self]

    @property
    def summary(self) -> str:
        """The settings in a line, for a gallery."""
        shares = {"composition": self.cross, "layout": self.self_share}
        parts = [f"{name} {share:g}" for name, share in shares.items() if share is not None]
        parts += [f"{word} x{factor:g}" for word, factor in self.weights.items() if factor != 1]
        parts += [f"only where {', '.join(self.places)}"] if self.places else []
        parts += ["only inside the mask"] if self.mask is not None else []
        return f"{self.caption} ({'; '.join(parts)})" if parts else self.caption


def python_code(
    inversion: InversionRequest, picture: str, edit: EditRequest, changes: Sequence[Change], *, opened: bool
) -> str:
    """A script that does the same.

    Args:
        inversion: How the picture was inverted.
        picture: The picture's file name.
        edit: The edit.
        changes: What each edit of its chain changes.
        opened: Whether the inversion is one that was kept: who knows how it was made.
    """
    size = "" if inversion.fit == "crop" else f", fit={inversion.fit!r}"
    lines = ["import nulltext", "", f"model = nulltext.load({inversion.model!r})"]
    if opened:
        lines.append(f"inversion = nulltext.Inversion.load({_kept(picture)!r})")
    else:
        lines.append(f"photo = nulltext.open_image({picture!r}, model{size})")
        lines.append(f"inversion = {_call(inversion.inverter)}(model, photo, {inversion.caption!r})")
    if len(changes) == 1:
        lines.append(f"edit = {_call(PromptToPrompt(**vars(changes[0])))}(model, inversion, {edit.caption!r})")
    else:
        calls = [_call(change, mask_name(step, len(changes))) for step, change in enumerate(changes)]
        pairs = [f"({caption!r}, {call})" for caption, call in zip(edit.captions, calls, strict=True)]
        lines.append(f"edit = nulltext.PromptToPrompt(chain=True).each(model, inversion, [{', '.join(pairs)}])")
    lines.append('edit.images[-1].save("edited.png")')
    return "\n".join(lines)


def command_line(
    inversion: InversionRequest, picture: str, edit: EditRequest, changes: Sequence[Change], *, opened: bool
) -> str:
    """Commands that do the same; see `python_code`."""
    if any(change != changes[0] for change in changes):
        return "# The edits of this chain have different settings, which one command cannot say; see the Python."
    change, last = changes[0], edit.chain[-1]
    picture = f"./{picture}" if picture.startswith("-") else picture  # which would be taken for an option
    kept = _kept(picture)
    invert = ["nulltext", "invert", "--output", kept]
    invert += [] if inversion.model == "scenes" else ["--model", inversion.model]
    invert += ["--method", inversion.method, "--steps", str(inversion.steps)]
    invert += ["--inner-steps", str(inversion.inner_steps)] if inversion.method == "null-text" else []
    invert += [] if inversion.guidance is None else ["--guidance", f"{inversion.guidance:g}"]
    invert += [] if inversion.fit == "crop" else ["--fit", inversion.fit]
    draw = ["nulltext", "edit"]
    draw += [] if last.cross is None else ["--cross", f"{last.cross:g}"]
    draw += [] if last.self_share is None else ["--self", f"{last.self_share:g}"]
    for word, factor in change.reweight.items():
        draw += ["--weight", f"{word}={factor:g}"]
    if change.blend is not None:
        words = ",".join(change.blend.source_words), ",".join(change.blend.target_words)
        draw += ["--blend", ":".join(words)] if any(words) else []
        draw += [] if change.blend.mask is None else ["--mask", mask_name(0, len(changes))]
        draw += [] if change.blend.threshold is None else ["--threshold", f"{change.blend.threshold:g}"]
    draw += ["--chain", "--output", "edited"] if len(changes) > 1 else ["--output", "edited.png"]
    lines = [] if opened else [shlex.join([*invert, "--", picture, inversion.caption])]
    return "\n".join([*lines, shlex.join([*draw, "--", kept, *edit.captions])])


def mask_name(step: int, steps: int) -> str:
    """What the file is called in which the code expects the mask of a step of a chain of so many."""
    return "mask.png" if steps == 1 else f"mask-{step + 1}.png"


def _kept(picture: str) -> str:
    """What the inversion of a picture's file is called."""
    return f"{picture.rsplit('.', 1)[0] or 'picture'}.safetensors"


def _call(value: object, mask: str = "mask.png") -> str:
    """A value of the package as code: its class and the settings that are not the defaults; a mask as a file's name."""
    if isinstance(value, Image.Image):
        return repr(mask)
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    given: list[str] = []
    for own in fields(value):
        at, default = getattr(value, own.name), own.default
        if default is MISSING and own.default_factory is not MISSING:
            default = own.default_factory()
        if at != default and own.name != "constants":
            given.append(f"{own.name}={_call(at, mask)}")
    return f"nulltext.{type(value).__name__}({', '.join(given)})"


def _check_guidance(guidance: float | None) -> None:
    if guidance is not None:
        check_number("the guidance", guidance, 0, MOST_GUIDANCE, above=True, hint=" 4 to 8 are usual.")
