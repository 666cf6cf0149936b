"""Settings as JSON: records, read strictly, and the schema that describes them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, cast

from nulltext.errors import SettingError, shown
from nulltext.spelling.fields import Field, fields_of, values

if TYPE_CHECKING:  # it takes a tenth of a second, which the help of the command line does not wait for
    from pydantic import BaseModel


def record(value: object) -> dict[str, Any]:
    """The settings of a dataclass as JSON can hold them, all of them but those that are things of this machine."""
    local = {each.name for each in fields_of(type(value)) if each.note.local}
    return {name: _plain(at) for name, at in values(value).items() if name not in local}


def _plain(value: object) -> Any:  # noqa: ANN401  whatever JSON can hold
    if is_dataclass(value) and not isinstance(value, type):
        return record(value)
    if isinstance(value, Mapping):
        return {name: _plain(at) for name, at in cast("Mapping[str, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(at) for at in cast("Sequence[object]", value)]
    return value


def read(cls: type[Any], message: Mapping[str, Any]) -> Any:  # noqa: ANN401  an instance of the class
    """A dataclass from a record, which may leave out what is the default.

    Args:
        cls: The dataclass.
        message: Its settings by name, as JSON has them.

    Raises:
        SettingError: One is of another type or out of range, or no setting of the class.
    """
    return _built(cls, _checked(_form(cls), message, cls))


def read_value(each: Field, message: object) -> Any:  # noqa: ANN401  a value of the field
    """One field's value from JSON.

    Raises:
        SettingError: It is of another type or out of range.
    """
    from pydantic import create_model

    entries: dict[str, Any] = {each.name: (_type(each), ...)}
    return getattr(_checked(create_model("value", **entries), {each.name: message}), each.name)


def schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON schema of a dataclass's record."""
    return _form(cls).model_json_schema()


def _checked(form: "type[BaseModel]", message: object, cls: type[Any] | None = None) -> "BaseModel":
    """What was said, with every value of its type; the class is for the sentence that refuses it."""
    from pydantic import ValidationError

    try:
        return form.model_validate_json(json.dumps(message), strict=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
    except (TypeError, ValueError, RecursionError):
        wrong = {"type": "json_invalid", "loc": (), "msg": "", "input": None}
    if not wrong["loc"]:
        raise SettingError(f"got {shown(message, 40)} for settings; expected names with values, as JSON has them.")
    names = list[str]()
    for part in wrong["loc"]:
        names.append(str(part))
        known = {} if cls is None else {each.name: each for each in fields_of(cls)}
        if part not in known or not known[str(part)].nested:
            break
        cls = known[str(part)].kind
    where, of = shown(".".join(names), 60), "" if cls is None else f" of {cls.__name__}"
    if wrong["type"] == "extra_forbidden" and cls is not None:
        expected = ", ".join(each.name for each in fields_of(cls) if not each.note.local)
        raise SettingError(f"got {where}, which is no setting{of}; expected {expected}.")
    wanted = str(wrong["msg"]).removeprefix("Input should be ")
    raise SettingError(f"got {shown(wrong['input'], 40)} for {where}{of}; expected {wanted}.")


def _built(cls: type[Any], form: "BaseModel") -> Any:  # noqa: ANN401  as in `read`
    given: dict[str, Any] = {}
    for each in fields_of(cls):
        if each.name in form.model_fields_set:
            value = getattr(form, each.name)
            given[each.name] = _built(each.kind, value) if each.nested and value is not None else value
    return cls(**given)


@cache
def _form(cls: type[Any]) -> "type[BaseModel]":
    """The model that checks a record: fields that are not given stay the class's own defaults."""
    from pydantic import ConfigDict, Field, create_model

    entries: dict[str, Any] = {}
    for each in fields_of(cls):
        if each.note.local:
            continue
        default = ... if each.default is MISSING else _plain(each.default)
        entries[each.name] = (_type(each), Field(default, description=each.about or None))
    return create_model(cls.__name__, __config__=ConfigDict(extra="forbid"), **entries)


def _type(each: Field) -> Any:  # noqa: ANN401  an annotation
    """The type of a field in a record."""
    kind: Any = _form(each.kind) if each.nested else each.kind
    if kind in (int, float):
        from pydantic import Field as Bounds

        limits = {"ge": each.range.least, "gt": each.range.above, "le": each.range.most, "lt": each.range.below}
        finite: dict[str, Any] = {name: limit for name, limit in limits.items() if math.isfinite(limit)}
        kind = Annotated[kind, Bounds(**finite, allow_inf_nan=each.range.infinite)] if kind is float else kind
        kind = Annotated[kind, Bounds(**finite)] if kind is int else kind
    return kind | None if each.optional else kind
