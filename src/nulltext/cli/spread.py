"""Options that commands share, written once as a dataclass and spread over each command's own."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast, get_type_hints


def spread(function: Callable[..., None], more: Sequence[inspect.Parameter] = ()) -> Callable[..., None]:
    """A command with a parameter for every field of a dataclass among its parameters, as typer reads them.

    Args:
        function: The command. What it takes as ``**settings`` are the values of `more`.
        more: Parameters beside those that its signature names.
    """
    hints, parameters = get_type_hints(function, include_extras=True), list[inspect.Parameter]()
    groups = {name: cast("type[Any]", hint) for name, hint in hints.items() if is_dataclass(hint)}
    for each in inspect.signature(function).parameters.values():
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            parameters += more
        elif each.name in groups:
            parameters += _parameters(groups[each.name])
        else:
            parameters.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name]))

    def command(**given: Any) -> None:  # noqa: ANN401  what the options say
        made = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)}) for name, group in groups.items()
        }
        function(**given, **made)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints, kind = get_type_hints(group, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, kind, default=each.default, annotation=hints[each.name]) for each in fields(group)
    ]
