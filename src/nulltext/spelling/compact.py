"""A method with its settings in one word: ``null-text:inner_steps=20,fixed_point=true``."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from nulltext.errors import SettingError, shown
from nulltext.spelling.options import Setting, settings_of

_FLAGS = {"true": True, "false": False}


def read_settings(
    cls: type[Any], text: str, what: str, *, more: Collection[str] = (), without: Collection[str] = ()
) -> dict[str, Any]:
    """What `nulltext.spelling.options.assemble` makes an instance of.

    Settings are named by their fields, those of a nested dataclass by both names ("blend_threshold"). Their values are
    spelled as on the command line, of switches "true" and "false". What may be given several times is named again for
    each.

    Args:
        cls: The class.
        text: "name=value,name=value"; a comma that no name follows belongs to the value.
        what: What the settings are of, for a sentence that refuses one.
        more: Names that are taken as they are, beside those of the class.
        without: Names that are not taken.

    Raises:
        SettingError: There is no such setting, or the value is none of it.
    """
    known = {each.key: each for each in settings_of(cls) if each.key not in without}
    given: dict[str, Any] = {}
    for part in re.split(r",(?=\w+=)", text):
        name, equals, value = part.partition("=")
        if not equals or (name not in known and name not in more):
            expected = ", ".join([*known, *more]) or "none"
            raise SettingError(
                f"got {shown(part)}, which is no setting of {what} here; expected name=value, of {expected}."
            )
        if name in given and not (name in known and known[name].many):
            raise SettingError(f"got {name} of {what} twice; expected it once. Leave one out.")
        if name not in known:
            given[name] = value
        elif known[name].many:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value_of(known[name], value)
    return given


def value_of(setting: Setting, text: str) -> Any:  # noqa: ANN401  of the setting's type
    """What a text says of a setting that is given once.

    Raises:
        SettingError: It is none of its values.
    """
    words: Mapping[str, Any] = _FLAGS if setting.kind is bool else {word: word for word in setting.choices}
    if words:
        if text not in words:
            raise SettingError(f"got {shown(text)} for {setting.key}; expected {' or '.join(words)}.")
        return words[text]
    try:
        return setting.kind(text)
    except ValueError:
        kind = "a whole number" if setting.kind is int else "a number"
        raise SettingError(f"got {shown(text)} for {setting.key}; expected {kind}.") from None
