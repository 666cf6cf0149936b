"""A dataclass of every kind of field, and every method of the tables: said, read and said again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import nulltext
from nulltext import Blend, DescentSchedule, DirectInversion, FixedPoint, NullText, PromptToPrompt
from nulltext.checks import Count, Share, check_numbers
from nulltext.editing.table import EDITORS
from nulltext.errors import SettingError
from nulltext.inversion.stopping import PAPER
from nulltext.inversion.table import INVERTERS
from nulltext.spelling.code import python
from nulltext.spelling.fields import Option, described, fields_of
from nulltext.spelling.options import argv, assemble, settings_of
from nulltext.spelling.records import read, record, schema


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A part.

    Attributes:
        size: How much, in `cells`.
    """

    size: Count = 3


@dataclass(frozen=True, kw_only=True)
class Base:
    """What others have, too.

    Attributes:
        steps: T, on
            two lines.
    """

    steps: Count = 50

    def __post_init__(self) -> None:
        check_numbers(self)


@dataclass(frozen=True, kw_only=True)
class Every(Base):
    """A stranger's method: nothing here says how it is spelled but one note.

    Attributes:
        share: A share; None is the model's own.
        how: A choice.
        words: By word.
        span: From, to.
        names: A list.
        part: A part.
        other: Another; None is none.
        either: A number, or two.
        stated: A text.
        on: A switch.
        noted: By a note.

    Raises:
        SettingError: Never.
    """

    share: Share | None = None
    how: Literal["one", "two"] = "one"
    words: Mapping[str, float] = field(default_factory=dict)
    span: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    part: Inner = Inner()
    other: Inner | None = None
    either: float | tuple[float, float] = 1.0
    stated: str = "x"
    on: bool = True
    noted: Annotated[int, Option(name="--note", read=len, write=lambda n: ["x" * n])] = 0


ALL = Every(
    steps=7, share=0.25, how="two", words={"a b": 2.5}, span=(0.25, 0.5), names=("a", "b"), part=Inner(size=4),
    other=Inner(size=5), either=(0.5, 1.0), stated="y", on=False, noted=2,
)  # fmt: skip
GIVEN = {
    "steps": 7, "share": 0.25, "how": "two", "words": ["a b=2.5"], "span": "0.25,0.5", "names": "a,b", "part_size": 4,
    "other_size": 5, "either": "[0.5, 1]", "stated": "y", "on": False, "noted": "xx",
}  # fmt: skip
METHODS = {word: entry for table in (INVERTERS, EDITORS) for word, entry in table.items()}


def test_every_kind_of_field_is_an_option():
    options = {one.option: one for one in settings_of(Every)}
    assert list(options) == [
        "--steps", "--share", "--how", "--words", "--span", "--names", "--part-size", "--other", "--other-size",
        "--either", "--stated", "--on", "--note",
    ]  # fmt: skip
    assert options["--steps"].about == "T, on two lines."
    assert options["--share"].about == "A share; if not given, the model's own."
    assert options["--other"].about == "Another; --no-other is none."
    assert options["--other-size"].about == "How much, in cells."
    assert (options["--how"].choices, options["--on"].off) == (("one", "two"), "--no-on")
    assert [options[name].default for name in ("--steps", "--on", "--stated", "--share")] == ["50", "yes", "x", ""]


def test_options_are_read():
    assert assemble(Every, GIVEN) == ALL
    assert assemble(Every, {}) == assemble(Every, dict.fromkeys(GIVEN)) == Every()
    assert assemble(Every, {"other": True}).other == Inner()


def test_options_are_written():
    assert argv(Every()) == []
    assert argv(replace(ALL, either=1.0)) == [
        "--steps", "7", "--share", "0.25", "--how", "two", "--words", "a b=2.5", "--span", "0.25,0.5", "--names", "a,b",
        "--part-size", "4", "--other", "--other-size", "5", "--stated", "y", "--no-on", "--note", "xx",
    ]  # fmt: skip
    assert argv(Every(stated="-y")) == ["--stated=-y"]
    assert argv(DirectInversion(fixed_point=None)) == ["--no-fixed-point"]
    assert argv(NullText(descent=PAPER)) == ["--preset", "paper"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": ["=2"]}, "words"),
        ({"words": ["a=x"]}, "words"),
        ({"span": "1"}, "span"),
        ({"either": "much"}, "either"),
        ({"share": 2.0}, "share"),
        ({"other": False, "other_size": 3}, "--other and --other-size"),
    ],
)
def test_options_that_cannot_be_read(given, message):
    with pytest.raises(SettingError, match=message):
        assemble(Every, given)


def test_a_record_is_read_as_it_was_written():
    assert read(Every, record(ALL)) == ALL
    assert read(Every, {}) == Every()
    assert read(Every, {"other": {}}).other == Inner()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"steps": "5"}, "got '5' for 'steps' of Every; expected a valid integer"),
        ({"steps": True}, "steps"),
        ({"steps": 0}, "got 0 for 'steps' of Every; expected greater than or equal to 1"),
        ({"steps": 10**400}, "steps"),
        ({"share": float("nan")}, "share"),
        ({"stepz": 1}, "got 'stepz', which is no setting of Every; expected steps, share"),
        ({"part": {"length": 1}}, "got 'part.length', which is no setting of Inner; expected size"),
        ({"part": 5}, "'part' of Inner"),
        ({"how": "three"}, "expected 'one' or 'two'"),
        ({"words": {"a": "b"}}, "words"),
        ({"span": [1]}, "span"),
        ({"either": [0.5, "x"]}, "'either' of Every"),
        ({"stated": "\ud800"}, "as JSON has them"),
        ({"stated": b"x"}, "as JSON has them"),
        ([["x"]], "names with values"),
    ],
)
def test_a_record_that_is_none(stated, message):
    with pytest.raises(SettingError, match=message):
        read(Every, stated)


def test_the_schema_says_types_bounds_defaults_and_what_they_mean():
    stated = schema(Every)
    assert stated["properties"]["steps"] == {
        "default": 50, "description": "T, on two lines.", "minimum": 1, "title": "Steps", "type": "integer",
    }  # fmt: skip
    assert stated["properties"]["how"]["enum"] == ["one", "two"]
    assert stated["additionalProperties"] is False


@pytest.mark.parametrize("word", METHODS)
def test_every_method_can_be_spelled(word):
    cls = METHODS[word].load()
    options = [one.option for one in settings_of(cls)]
    assert len(options) == len(set(options))
    assert all(one.about for one in settings_of(cls)), "the class's Attributes say what each does"
    default = cls()
    assert read(cls, record(default)) == default
    assert argv(default) == []
    assert eval(python(default)) == default  # noqa: S307  code that the package has written
    for each in fields_of(cls):
        assert not each.nested or each.kind.__name__ in nulltext.__all__, "what code is made of has a public name"


def test_prompt_to_prompt_in_every_way():
    blend = Blend(source=["cat"], target=["dog"], keep_out=("red",), mask=Path("m.png"), threshold=0.99, start=0.3)
    editor = PromptToPrompt(
        cross_attention={"": 0.7, "dog": (0.2, 0.6)}, self_attention=0.5, reweight={"dog": 2.0, "red": -1.5},
        blend=blend, most_tokens=16, maps=True,
    )  # fmt: skip
    assert argv(editor) == [
        "--cross", "0.7", "--cross", "dog=0.2-0.6", "--self", "0.5", "--weight", "dog=2", "--weight", "red=-1.5",
        "--blend", "cat:dog", "--threshold", "0.99", "--blend-start", "0.3", "--keep-out", "red", "--mask", "m.png",
        "--self-tokens", "16", "--maps",
    ]  # fmt: skip
    given = {
        "cross_attention": ["0.7", "dog=0.2-0.6"], "self_attention": "0.5", "reweight": ["dog=2", "red=-1.5"],
        "blend_source": "cat:dog", "blend_threshold": 0.99, "blend_start": 0.3, "blend_keep_out": ["red"],
        "blend_mask": "m.png", "most_tokens": 16, "maps": True,
    }  # fmt: skip
    as_text = replace(editor, blend=replace(blend, mask="m.png"))
    assert assemble(PromptToPrompt, given) == editor
    assert eval(python(editor)) == as_text  # noqa: S307  as above
    lone = replace(editor, blend=replace(blend, mask=None, keep_out=["red"]))
    assert read(PromptToPrompt, record(editor)) == lone, "a mask is a file of this machine, in no record"


def test_a_descent_begins_from_the_one_with_the_name():
    made = assemble(NullText, {"descent": "paper", "descent_decay": 0.5, "fixed_point_iterations": 2, "steps": 2})
    assert made.descent == replace(PAPER, decay=0.5)
    assert made.fixed_point == FixedPoint(iterations=2)
    own = NullText(descent=DescentSchedule(learning_rate=0.02, decay=0.01, tolerance=1e-5, tolerance_growth=2e-5))
    assert argv(own) == ["--descent-learning-rate", "0.02"]


def test_what_no_option_says_is_refused():
    none: Any = None
    with pytest.raises(SettingError, match="how=None"):
        argv(Every(how=none))


def test_a_docstring_without_attributes_says_nothing():
    assert described(int) == {}
