"""What there is to know of a dataclass's fields: type, range, default, what its docstring says, how it is spelled."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, final, get_args, get_origin, get_type_hints

from nulltext.checks import Range


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Option:
    """A note in a field's annotation: how it is spelled, where its name and its type do not say it well enough.

    Attributes:
        name: The option's name, as "--cross"; None is made of the field's.
        metavar: What stands for the value in the help.
        help: What the option does, if the class's docstring says it in words of Python.
        many: Whether the option may be given several times; `read` is then given all of them.
        read: The field's value from the option's text; with `fills`, the values of several fields by their names.
        write: The reverse: the text of each time that the option is given; with `fills`, from the fields' values.
        fills: Fields beside this one that the option says, and which have none of their own.
        named: Values that have a name, which the option takes; of a nested dataclass, whose own options may change it.
        local: Whether the value is a thing of this machine, a file or a network, which stands in no record.
    """

    name: str | None = None
    metavar: str | None = None
    help: str | None = None
    many: bool = False
    read: Callable[[Any], Any] | None = None
    write: Callable[[Any], list[str]] | None = None
    fills: tuple[str, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])
    local: bool = False


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A field of a dataclass.

    Attributes:
        name: Its name.
        annotation: Its whole annotation.
        kind: Its type, without notes and without None.
        optional: Whether it may be None.
        range: Which numbers it takes.
        note: How it is spelled.
        default: Its default; `MISSING` if it has none.
        about: What the docstring says of it, on one line.
        recommended: The name in `Recommended` of what stands for None, if the model recommends it.
    """

    name: str
    annotation: Any
    kind: Any
    optional: bool
    range: Range
    note: Option
    default: Any
    about: str
    recommended: str | None

    @property
    def nested(self) -> bool:
        """Whether it is a dataclass itself, which is spelled by its fields."""
        return is_dataclass(self.kind) and self.note.read is None and not self.note.local


@cache
def fields_of(cls: type[Any]) -> tuple[Field, ...]:
    """The fields that a dataclass's constructor takes."""
    hints, about = get_type_hints(cls, include_extras=True), described(cls)
    found: list[Field] = []
    for each in fields(cls):
        if not each.init:
            continue
        kind, notes, optional = _bare(hints[each.name])
        default = each.default if each.default_factory is MISSING else each.default_factory()
        found.append(
            Field(
                name=each.name,
                annotation=hints[each.name],
                kind=kind,
                optional=optional,
                range=next((note for note in notes if isinstance(note, Range)), Range()),
                note=next((note for note in notes if isinstance(note, Option)), Option()),
                default=default,
                about=about.get(each.name, ""),
                recommended=each.metadata.get("recommended"),
            )
        )
    return tuple(found)


def _bare(annotation: Any) -> tuple[Any, list[Any], bool]:  # noqa: ANN401  an annotation can be anything
    """A type without its notes and without None, the notes, and whether None was there."""
    notes, optional = list[Any](), False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            notes += more
        elif get_origin(annotation) in {Union, UnionType} and NoneType in get_args(annotation):
            rest = tuple(each for each in get_args(annotation) if each is not NoneType)
            annotation, optional = (rest[0] if len(rest) == 1 else Union[rest]), True  # noqa: UP007  of a tuple
        else:
            return annotation, notes, optional


@cache
def described(cls: type[Any]) -> Mapping[str, str]:
    """What the `Attributes:` of a class and of its bases say of each field, on one line."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        text = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")[2]
        section = re.split(r"\n(?=\S)", text)[0]
        for name, about in re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE):
            found[name] = " ".join(about.replace("`", "").split())
    return found


def values(instance: object) -> dict[str, Any]:
    """The fields of a dataclass's instance that its constructor takes, by name."""
    return {each.name: getattr(instance, each.name) for each in fields_of(cast("type[Any]", type(instance)))}
