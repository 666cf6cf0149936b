"""What people ask for: inversions and edits as plain values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Literal, cast, final, get_args

from PIL import Image

from nulltext.editing.base import Editor
from nulltext.editing.blend import Blend
from nulltext.editing.change import WEIGHTS
from nulltext.editing.masks import HasMask, MaskSource, needed_mask
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.editing.table import EDITOR, EDITORS, MASKS
from nulltext.errors import EmptyPromptError, SettingError, shown
from nulltext.images import Fit
from nulltext.inversion.invert import Inverter
from nulltext.inversion.table import INVERTERS, METHOD
from nulltext.models.recommended import Recommended
from nulltext.spelling.fields import fields_of, values
from nulltext.spelling.records import read
from nulltext.tables import Table
from nulltext.text.words import Tokens
from nulltext.web.bounds import (
    MOST_NAME,
    check_choice,
    check_guidance,
    check_number,
    check_text,
    check_whole,
    check_words,
    quoted,
)
from nulltext.web.limits import Limits

Vary = Literal["", "composition", "layout", "strength"]
SHARES = (0.0, 0.4, 0.8, 1.0)
"""What is tried where a share of the steps is varied."""
STRENGTHS = (0.5, 1.0, 2.0, 4.0)
"""What is tried where the strength of the new words is varied."""


@final
@dataclass(frozen=True, kw_only=True)
class InversionRequest:
    """An inversion that somebody asks for.

    Attributes:
        prompt: What the image shows.
        model: The model's name.
        method: A row of `INVERTERS`; of an inversion that was kept, what its file says, which may be a stranger's.
        steps: T.
        guidance: The guidance scale w; None is the method's default.
        negative_prompt: What guidance leads away from; "" for the null text.
        settings: Further settings of the method by name, as JSON has them.
        fit: How the image is brought to the model's size.
        size: (height, width) in pixels to bring it to; None is the model's own.
    """

    prompt: str
    model: str = "scenes"
    method: str = METHOD
    steps: int = 50
    guidance: float | None = None
    negative_prompt: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fit: Fit = "crop"
    size: tuple[int, int] | None = None

    def check(self, limits: Limits) -> None:
        """Refuses what is out of bounds.

        Raises:
            NulltextError: Something is.
        """
        self.check_kept(limits)
        check_choice("the method", self.method, tuple(INVERTERS))
        check_settings(self.settings, ("steps", "guidance", "negative_prompt"))
        limits.check_settings(self.inverter)
        limits.check_evaluations(self.plan)

    def check_kept(self, limits: Limits) -> None:
        """Refuses what is out of bounds in an inversion that was made already.

        Raises:
            NulltextError: Something is.
        """
        check_text("the prompt", self.prompt)
        if not self.prompt.strip():
            raise EmptyPromptError("the prompt is empty; expected at least one word. Say what is in the image.")
        limits.check_prompt(self.prompt)
        check_text("the negative prompt", self.negative_prompt)
        limits.check_prompt(self.negative_prompt)
        check_text("the model", self.model, MOST_NAME)
        check_whole("steps", self.steps)
        limits.check_steps(self.steps, 1)
        check_choice("fit", self.fit, get_args(Fit))
        if self.guidance is not None:
            check_guidance(self.guidance)
        if self.size is not None:
            limits.check_fitted(self.size)

    @property
    def inverter(self) -> Inverter:
        """The method.

        Raises:
            SettingError: A setting is none of it.
        """
        own = {"steps": self.steps, "guidance": self.guidance, "negative_prompt": self.negative_prompt or None}
        given = {name: value for name, value in own.items() if value is not None}
        return read(INVERTERS[self.method].load(), {**self.settings, **given})

    @property
    def plan(self) -> Mapping[str, float]:
        """The phases of the work and their evaluations of the network, a backward pass counting as one."""
        return self.inverter.evaluations()


@final
@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """An edit that somebody asks for.

    Attributes:
        prompt: The new prompt.
        before: Edits that this one goes on from, in their order, each with settings of its own.
        cross: In which share of the steps words look where those of the source look, 0 to 1; None is what the model
            recommends.
        self_share: In which share of the steps shapes and places are the source's, 0 to 1; None likewise.
        weights: Factors by word of the new prompt, -4 to 10.
        blend_words: Words of either prompt where the image may change; none for everywhere.
        mask: An image drawn over the photograph, white where it may change.
        mask_source: A row of `MASKS`, which finds a mask in the place of a drawn one; "" for none.
        vary: What is varied in several strengths side by side; "" for one image.
        editor: A row of `EDITORS`. What stands above, but for the prompt, is Prompt-to-Prompt's; a mask is of editors
            that have one as well.
        settings: Further settings of the editor by name, as JSON has them.
    """

    prompt: str
    before: tuple["EditRequest", ...] = ()
    cross: float | None = None
    self_share: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    blend_words: tuple[str, ...] = ()
    mask: Image.Image | None = None
    mask_source: str = ""
    vary: Vary = ""
    editor: str = EDITOR
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def check(self, limits: Limits) -> None:
        """Refuses what is out of bounds.

        Raises:
            NulltextError: Something is.
        """
        if len(self.chain) > limits.prompts:
            raise SettingError(
                f"got {len(self.chain)} edits on top of each other; expected at most {limits.prompts}. Begin again "
                "from the source."
            )
        if self.vary and self.before:
            raise SettingError("got an edit that goes on from another, in several strengths; expected one of the two.")
        check_choice("what to vary", self.vary, get_args(Vary))
        for one in self.chain:
            one.check_one(limits)
        if self.editor == EDITOR and any(one.editor != EDITOR for one in self.chain):
            raise SettingError(f"got edits by several editors on top of each other; expected {EDITOR} alone.")

    def check_one(self, limits: Limits) -> None:
        """Refuses what is out of bounds in this edit, whatever it goes on from.

        Raises:
            NulltextError: Something is.
        """
        check_text("the new prompt", self.prompt)
        if not self.prompt.strip():
            raise EmptyPromptError("the new prompt is empty; expected at least one word. Say what shall be seen.")
        limits.check_prompt(self.prompt)
        self._check_editor(limits)
        for name, share in (("composition", self.cross), ("layout", self.self_share)):
            if share is not None:
                check_number(f"how much of the {name} to keep", share, 0, 1)
        check_words("blend_words", self.blend_words)
        check_words("weights", self.weights)
        for word, factor in self.weights.items():
            check_number(f"the strength of {quoted(word)}", factor, *WEIGHTS)

    def _check_editor(self, limits: Limits) -> None:
        check_choice("the editor", self.editor, tuple(EDITORS))
        check_choice("what finds the mask", self.mask_source, ("", *MASKS))
        if self.mask is not None and self.mask_source:
            raise SettingError(f"got a mask, and {self.mask_source} to find one; expected one of the two.")
        owned = {"cross": "cross_attention", "self_share": "self_attention", "weights": "reweight"}
        masks = () if has_setting(EDITORS, self.editor, "mask") else ("mask", "mask_source")
        quoted = [name for name in (*owned, "blend_words", *masks, "vary", "before") if getattr(self, name)]
        if self.editor != EDITOR and quoted:
            raise SettingError(f"got {quoted[0]} for {self.editor}, which does not have it. Leave it out.")
        check_settings(self.settings, (*(owned[name] for name in owned if name in quoted), "chain", "maps"))
        if "blend" in self.settings and self.blend_words:
            raise SettingError("got places and a blend among the settings; expected one of the two.")
        if not masks:
            needed_mask(self.any_mask, self.editor)
        limits.check_settings(self.method)

    @property
    def any_mask(self) -> Image.Image | MaskSource | None:
        """The mask, or what finds it."""
        return MASKS[self.mask_source].load()() if self.mask_source else self.mask

    @property
    def method(self) -> Editor:
        """The editor with the `settings` alone, and with the mask if it has one itself.

        Raises:
            SettingError: A setting is none of it.
        """
        made = read(EDITORS[self.editor].load(), self.settings)
        return replace(cast("Any", made), mask=self.any_mask) if isinstance(made, HasMask) else made

    @property
    def plan(self) -> Mapping[str, float]:
        """The phase of the work: an editor with iterations of its own optimises, all others sample."""
        optimises = any(each.name == "iterations" for each in fields_of(EDITORS[self.editor].load()))
        return {"optimise" if optimises else "sample": 1.0}

    @property
    def chain(self) -> tuple["EditRequest", ...]:
        """All edits, in the order in which they build on each other, this one last."""
        return (*self.before, replace(self, before=()))

    @property
    def prompts(self) -> tuple[str, ...]:
        """Their prompts."""
        return tuple(one.prompt for one in self.chain)

    def in_force(self, recommended: Recommended) -> "EditRequest":
        """This edit, and those it goes on from, with what was left to the model filled in."""
        if self.editor != EDITOR:
            return self
        cross = None if "cross_attention" in self.settings else recommended.cross_attention
        layout = None if "self_attention" in self.settings else recommended.self_attention
        return replace(
            self,
            before=tuple(one.in_force(recommended) for one in self.before),
            cross=cross if self.cross is None else self.cross,
            self_share=layout if self.self_share is None else self.self_share,
        )

    def editors(self, source: Tokens, targets: Sequence[Tokens]) -> list[PromptToPrompt]:
        """The editor with the settings of each edit of the chain.

        Args:
            source: The source prompt's words.
            targets: Those of `prompts`.

        Raises:
            WordNotFoundError: A place is a word of neither the source nor the edit's own prompt.
            SettingError: They differ in settings that hold for a whole run.
        """
        chained = len(targets) > 1
        made = [
            replace(one.prompt_to_prompt(source, target), chain=chained)
            for one, target in zip(self.chain, targets, strict=True)
        ]
        if any(each.run != made[0].run for each in made):
            raise SettingError(
                "got edits on top of each other with different settings of a whole run (guidance, rule, most_tokens, "
                "correct_source, maps); expected the same for all. Begin again from the source."
            )
        return made

    def prompt_to_prompt(self, source: Tokens, target: Tokens) -> PromptToPrompt:
        """Prompt-to-Prompt with the settings of this edit alone.

        Raises:
            WordNotFoundError: A place is a word of neither prompt.
        """
        old = [word for word in self.blend_words if source.has(word)]
        new = [word for word in self.blend_words if target.has(word) or (word not in old and target.find(word))]
        plain: Any = self.method
        blend, mask = plain.blend, self.any_mask
        if old or new:
            blend = Blend(old, new, mask=mask)
        elif mask is not None:
            blend = Blend(mask=mask) if blend is None else replace(blend, mask=mask)
        quoted = {
            "cross_attention": self.cross,
            "self_attention": self.self_share,
            "reweight": {word: factor for word, factor in self.weights.items() if factor != 1} or None,
        }
        return replace(plain, blend=blend, **{name: value for name, value in quoted.items() if value is not None})

    def variants(self, new_words: Sequence[str]) -> list["EditRequest"]:
        """This edit in several strengths, or itself alone.

        Args:
            new_words: The words of the new prompt that the source's lacks.

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
                raise SettingError("there is no new word whose strength could be varied. Change the prompt first.")
            others = {word: factor for word, factor in self.weights.items() if word.lower() not in new_words}
            return [replace(one, weights={**others, **dict.fromkeys(new_words, factor)}) for factor in STRENGTHS]
        return [self]

    @property
    def summary(self) -> str:
        """The settings in a line, for a gallery."""
        shares = {"composition": self.cross, "layout": self.self_share}
        parts = [] if self.editor == EDITOR else [self.editor]
        parts += [f"{name}: {shown(value, 40)}" for name, value in self.settings.items()]
        parts += [f"{name} {share:g}" for name, share in shares.items() if share is not None]
        parts += [f"{word} x{factor:g}" for word, factor in self.weights.items() if factor != 1]
        parts += [f"only where {', '.join(self.blend_words)}"] if self.blend_words else []
        parts += ["only inside the mask"] if self.mask is not None else []
        parts += [f"only where {self.mask_source} finds"] if self.mask_source else []
        return f"{self.prompt} ({'; '.join(parts)})" if parts else self.prompt


def has_setting(table: Table, word: object, name: str) -> bool:
    """Whether a method of a table has a setting of a name; false of what is no method."""
    if not isinstance(word, str) or word not in table:
        return False
    return any(each.name == name for each in fields_of(table[word].load()))


def prompts_in(method: object) -> Iterator[str]:
    """What the settings of a method, and of its parts, say to the model; what they say to CLIP is not among it."""
    for name, value in values(method).items():
        if is_dataclass(value):
            yield from prompts_in(value)
        elif isinstance(value, str) and name == "negative_prompt":
            yield value


def check_settings(settings: object, quoted: Sequence[str]) -> None:
    """Refuses settings that are no names with values, are too many, or are said elsewhere.

    Args:
        settings: What was given.
        quoted: The names of those that are said elsewhere, or that the app sets itself.

    Raises:
        SettingError: They are.
    """
    if not isinstance(settings, Mapping):
        raise SettingError(f"got {shown(settings, 40)} for the settings; expected names with values.")
    check_words("settings", cast("object", settings))
    twice = [name for name in quoted if name in settings]
    if twice:
        raise SettingError(f"got {twice[0]} among the settings; expected it in its own place, or not at all.")
