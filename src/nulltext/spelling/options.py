"""Settings as options of a command line, and an instance as the words that say it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeVar, cast, final, get_args, get_origin

from nulltext.checks import Range
from nulltext.errors import SettingError, shown
from nulltext.spelling.fields import Field, fields_of
from nulltext.spelling.records import read_value

Settings = TypeVar("Settings")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """An option that says a field, or whether there is a nested dataclass at all.

    Attributes:
        path: The names of the fields that lead to it, the outermost first.
        option: Its name, as "--fixed-point-iterations".
        off: What denies it, of a switch.
        kind: Of what type its value is on the command line: bool, int, float or str.
        choices: The words it takes; () for any.
        range: Which numbers it takes.
        many: Whether it may be given several times.
        metavar: What stands for the value in the help; None for the type's own.
        about: What it does.
        default: What holds if it is not given, in words; "" for nothing to say.
        recommended: The name in `Recommended` of what holds then, if the model says it.
        field: The field that it says.
    """

    path: tuple[str, ...]
    option: str
    off: str | None = None
    kind: type[Any] = str
    choices: tuple[str, ...] = ()
    range: Range = field(default_factory=Range)
    many: bool = False
    metavar: str | None = None
    about: str = ""
    default: str = ""
    recommended: str | None = None
    field: Field

    @property
    def key(self) -> str:
        """The path as one name."""
        return "_".join(self.path)


@cache
def settings_of(cls: type[Any]) -> tuple[Setting, ...]:
    """The options of a dataclass, those of nested ones after the field that holds them."""
    return tuple(_settings(cls, ()))


def _settings(cls: type[Any], above: tuple[str, ...]) -> Iterator[Setting]:
    message = {name for each in fields_of(cls) for name in each.note.fills}
    for each in fields_of(cls):
        if each.name in message:
            continue
        path = (*above, each.name)
        own = tuple(_settings(each.kind, path)) if each.nested else ()
        name = each.note.name or "--" + "-".join(path).replace("_", "-")
        if not each.nested or each.note.named or (each.optional and name not in {one.option for one in own}):
            yield _setting(each, path, name)
        yield from own


def _setting(each: Field, path: tuple[str, ...], name: str) -> Setting:
    kind, choices, many, metavar = str, tuple[str, ...](), each.note.many, each.note.metavar
    if each.note.named:
        choices = tuple(each.note.named)
    elif each.nested or each.kind is bool:
        kind = bool
    elif each.note.read is None and each.kind in (int, float):
        kind = each.kind
    elif each.note.read is None and get_origin(each.kind) is Literal:
        choices = tuple(map(str, get_args(each.kind)))
    elif each.note.read is None and _origin(each) is Mapping:
        many, metavar = True, metavar or "NAME=VALUE"
    elif each.note.read is None and _origin(each) is Sequence:
        metavar = metavar or "VALUE,VALUE"
    return Setting(
        path=path,
        option=name,
        off=f"--no-{name[2:]}" if kind is bool else None,
        kind=kind,
        choices=choices,
        range=each.range,
        many=many,
        metavar=metavar,
        about=each.note.help
        or each.about.replace("None is", f"--no-{name[2:]} is" if kind is bool else "if not given,"),
        default=_default(each, kind),
        recommended=each.recommended,
        field=each,
    )


def _default(each: Field, kind: type[Any]) -> str:
    if each.default is MISSING or each.default is None or each.recommended is not None:
        return ""
    if named := _name(each, each.default):
        return named
    if kind is bool:
        return "yes" if each.default else "no"
    return f"{each.default:g}" if kind in {int, float} else str(each.default) if isinstance(each.default, str) else ""


def _name(each: Field, value: object) -> str | None:
    """What a value is called; None if it has no name."""
    return next((word for word, known in each.note.named.items() if known == value), None)


def _origin(each: Field) -> type[Any] | None:
    """Mapping of a table by word, Sequence of a list; None of anything else."""
    origin = get_origin(each.kind)
    if not isinstance(origin, type):
        return None
    return Mapping if issubclass(origin, Mapping) else Sequence if issubclass(origin, Sequence) else None


def assemble(cls: type[Any], given: Mapping[str, Any]) -> Any:  # noqa: ANN401  an instance of the class
    """An instance from what a command line was given.

    Args:
        cls: The dataclass.
        given: Values by the `key` of the settings; None, or nothing, leaves the default.

    Raises:
        SettingError: A value is none of its option, or options contradict one another.
    """
    return cls(**_assembled(cls, (), {key: value for key, value in given.items() if value is not None}))


def changed(value: Settings, given: Mapping[str, Any]) -> Settings:
    """A dataclass with some of its settings changed, which are named and spelled as for `assemble`.

    Raises:
        SettingError: As there.
    """
    kept = {key: each for key, each in given.items() if each is not None}
    return replace(cast("Any", value), **_assembled(type(value), (), kept, value)) if kept else value


def _assembled(cls: type[Any], above: tuple[str, ...], given: Mapping[str, Any], on: object = None) -> dict[str, Any]:
    """The fields that are given, by name; those of a nested dataclass on what `on` has there, or on the default."""
    made: dict[str, Any] = {}
    for each in fields_of(cls):
        path = (*above, each.name)
        key = "_".join(path)
        if not each.nested:
            if key in given:
                value = _value(each, given[key])
                made |= value if each.note.fills else {each.name: value}
            continue
        held = each.default if on is None else getattr(on, each.name)
        nested = held if is_dataclass(held) and not isinstance(held, type) else None
        parts, message = _assembled(each.kind, path, given, nested), given.get(key)
        if message is False and parts:
            names = [one.option for one in settings_of(cls) if one.key in given and one.path[: len(path)] == path]
            raise SettingError(f"got {' and '.join(names) or each.name}, which cannot both hold; expected one of them.")
        if message is None and not parts:
            continue
        base: Any = each.note.named[message] if isinstance(message, str) else held
        absent = base is None or base is MISSING
        made[each.name] = (
            None if message is False else each.kind(**parts) if absent else replace(cast("Any", base), **parts)
        )
    return made


def _value(each: Field, message: Any) -> Any:  # noqa: ANN401  a value of the field
    """A field's value from what its option was given."""
    if each.note.named:
        return each.note.named[message]
    if each.note.read is not None:
        return each.note.read(message)
    if each.kind in (bool, int, float, str) or get_origin(each.kind) is Literal:
        return message
    match _origin(each):
        case None:
            value = _loose(message)
        case origin if origin is Mapping:
            value = dict(_entry(each, text) for text in message)
        case _:
            value = [_loose(part) for part in message.split(",")]
    return read_value(each, value)


def _entry(each: Field, text: str) -> tuple[str, Any]:
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip():
        raise SettingError(f"got {shown(text)} for {each.name}; expected a name and a value, as in tiger=2.")
    return name.strip(), _loose(value)


def _loose(text: str) -> Any:  # noqa: ANN401  whatever JSON can hold
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()


def argv(value: object) -> list[str]:
    """The options that say an instance, those of defaults left out.

    Raises:
        SettingError: A value cannot be said on a command line.
    """
    return _argv(value, ())


def _argv(value: object, above: tuple[str, ...], base: object = None) -> list[str]:
    cls, words = cast("type[Any]", type(value)), list[str]()
    filled = {name for each in fields_of(cls) for name in each.note.fills}
    own = {one.path for one in settings_of(cls)}
    for each in fields_of(cls):
        at, usual = getattr(value, each.name), each.default if base is None else getattr(base, each.name)
        path = (*above, each.name)
        name = each.note.name or "--" + "-".join(path).replace("_", "-")
        if each.note.fills:
            parts = {one: getattr(value, one) for one in (each.name, *each.note.fills)}
            words += _said(each, name, parts) if any(parts.values()) else []
        elif each.name in filled or at == usual:
            continue
        elif each.nested and at is not None:
            named = _name(each, at)
            words += (
                [name, named] if named else [*[name][: usual is None and (each.name,) in own], *_argv(at, path, usual)]
            )
        elif each.nested or at is None:
            words += [_off(each, name)]
        else:
            words += _said(each, name, at)
    return words


def _off(each: Field, name: str) -> str:
    if not each.nested or each.note.named:
        raise SettingError(f"got {each.name}=None, which no option says; expected a value. Write it in Python instead.")
    return f"--no-{name[2:]}"


def _said(each: Field, name: str, value: Any) -> list[str]:  # noqa: ANN401  a value of the field
    """The option and its value, as often as is needed."""
    if isinstance(value, bool):
        return [name if value else f"--no-{name[2:]}"]
    if each.note.named:
        texts = [_name(each, value) or text(value)]
    elif each.note.write is not None:
        texts = each.note.write(value)
    elif isinstance(value, Mapping):
        texts = [f"{word}={text(at)}" for word, at in cast("Mapping[str, Any]", value).items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        texts = [",".join(map(text, cast("Sequence[Any]", value)))]
    else:
        texts = [text(value)]
    # What begins with a dash would be taken for another option.
    return [
        word
        for each_text in texts
        for word in ((f"{name}={each_text}",) if each_text[:1] == "-" else (name, each_text))
    ]


def text(value: object) -> str:
    """A value as a word of a command line."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str) else repr(value) if isinstance(value, int | float) else str(value)
