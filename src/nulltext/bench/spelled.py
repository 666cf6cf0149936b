"""A method of a benchmark in one word: INVERTER+EDITOR, each a row of its table, with settings after a colon.

``direct+prompt-to-prompt``, ``null-text:inner_steps=20+prompt-to-prompt:self_attention=0.4,blend=words``. Settings are
spelled as `nulltext.spelling.compact` says; "blend=words" keeps an edit where the words are that a case names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final, cast, final

from nulltext.bench.candidate import Candidate
from nulltext.bench.case import Case
from nulltext.editing.base import Editor
from nulltext.editing.table import EDITORS
from nulltext.errors import SettingError, shown
from nulltext.inversion.invert import Inverter
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.table import INVERTERS
from nulltext.spelling.compact import read_settings
from nulltext.spelling.options import assemble, settings_of
from nulltext.tables import Table, row

WORDS: Final = "words"
_WITHOUT: Final = ("guidance", "chain", "maps")
"""What is no method's own here: the guidance scale is what a curve goes along, and edits stand alone."""
_DDIM_PIVOT: Final = "fixed_point"
"""The setting of methods whose pivot is that of DDIM inversion: how well its steps are solved."""
_ANY: Final = "any:any"
"""Stands for the words that a case names until there is one."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Spelled:
    """A method as it was spelled.

    Attributes:
        name: The word.
        inverter, editor: What it names.
        seeded: Of the two, those whose seed is the case's.
        by_words: Whether the editor blends by the words that a case names.
    """

    name: str
    inverter: Inverter
    editor: Editor
    seeded: tuple[bool, bool]
    by_words: bool

    def scales(self, asked: Sequence[float]) -> Sequence[float | None]:
        """At which guidance scales it can edit; None alone if it has no guidance.

        Raises:
            SettingError: At none of them.
        """
        if not _has(self.editor, "guidance"):
            return (None,)
        found = [w for w in asked if w != 1 or not self.inverter.replays.nulls or _has(self.inverter, _DDIM_PIVOT)]
        if not found:
            raise SettingError(
                f"got guidance 1 alone, at which {self.name} has nothing to do. Give another --guidance."
            )
        return found

    def at(self, w: float | None) -> Candidate:
        """The method at one of its `scales`.

        An inversion that serves every scale is made without one, so that all scales share it. At w = 1 no null
        embedding has a part, so that a method with some along the pivot of DDIM inversion is that inversion.

        Raises:
            SettingError: The scale is no finite number.
        """
        inverter, editor, form = self.inverter, self.editor, self.inverter.replays
        if w is not None:
            editor = replace(cast("Any", editor), guidance=w)
            if form.nulls and w == 1:
                inverter = DDIM(steps=inverter.steps, fixed_point=getattr(inverter, _DDIM_PIVOT))
            elif form.nulls or form.cond:
                inverter = replace(inverter, guidance=w)
        return Candidate(
            name=self.name if w is None else f"{self.name} at w={w:g}",
            inverter=partial(_inverter, inverter=inverter, seeded=self.seeded[0]),
            editor=partial(_editor, editor=editor, seeded=self.seeded[1], by_words=self.by_words),
        )


def read_method(text: str, **usual: object) -> Spelled:
    """A method from its word.

    Args:
        text: The word.
        usual: Settings of the inverter, where it has them and they are not spelled.

    Raises:
        SettingError: It has another form, there is no such row or setting, or a setting is out of range.
    """
    inverter, *rest = re.split(r"\+(?=[a-z])", text, maxsplit=1)  # 1e+3 is a number
    if not rest:
        example = "direct+prompt-to-prompt"
        raise SettingError(f"got the method {shown(text)}; expected an inverter and an editor, as in {example}.")
    inverting, given = _read(INVERTERS, inverter, "inverter")
    editing, changes = _read(EDITORS, rest[0], "editor")
    names = {each.key for each in settings_of(inverting)}
    by_words = _take_words(changes)
    return Spelled(
        name=text,
        inverter=assemble(inverting, {name: at for name, at in usual.items() if name in names} | given),
        editor=assemble(editing, changes),
        seeded=(_has(inverting, "seed") and "seed" not in given, _has(editing, "seed") and "seed" not in changes),
        by_words=by_words,
    )


def _read(table: Table, text: str, what: str) -> tuple[type[Any], dict[str, Any]]:
    """The class of a row, and what is said of its settings."""
    word, colon, said = text.partition(":")
    cls = row(table, word, f"the {what}").load()
    more = ("blend",) if any(each.key == "blend_source" for each in settings_of(cls)) else ()
    return cls, read_settings(cls, said, word, more=more, without=_WITHOUT) if colon else {}


def _take_words(changes: dict[str, Any]) -> bool:
    """Whether an editor is to blend by a case's words, for which what it is given then has others."""
    if (value := changes.pop("blend", None)) is None:
        return False
    if value != WORDS or "blend_source" in changes:
        raise SettingError(
            f"got blend={shown(value)}; expected blend={WORDS}, those that a case names, or blend_source."
        )
    changes["blend_source"] = _ANY
    return True


def _has(method: object, name: str) -> bool:
    return any(each.name == name for each in fields(cast("Any", method)))


def _inverter(case: Case, *, inverter: Inverter, seeded: bool) -> Inverter:
    return replace(inverter, **_seed(case, seeded=seeded))


def _editor(case: Case, *, editor: Any, seeded: bool, by_words: bool) -> Editor:  # noqa: ANN401  a dataclass
    changes = _seed(case, seeded=seeded)
    if by_words and case.blend is not None:
        source, target = case.blend
        changes["blend"] = replace(editor.blend, source=source, target=target)
    elif by_words:
        bare = editor.blend.mask is None and not editor.blend.keep_out
        changes["blend"] = None if bare else replace(editor.blend, source=(), target=())
    return replace(editor, **changes)


def _seed(case: Case, *, seeded: bool) -> dict[str, Any]:
    return {"seed": case.seed} if seeded else {}
