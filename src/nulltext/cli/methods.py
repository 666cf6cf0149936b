"""Commands with the options of the method that is asked for, which are those of its class, beside their own.

Why typer stayed, and what it has no word for is written here: `cyclopts` and `tyro` read dataclasses by themselves, but
start no sooner (processor time of `--help` with nine commands, median of nine: typer 0.23 s, tyro 0.26 s, cyclopts
0.27 s; of one command's own help 0.39 s, 0.29 s and 0.31 s). And both print their own complaints and choose their own
exit codes: the 420 lines of `command`, `given` and `terminal`, which hang on how typer reads a command line, would have
had to be written again (text that is not UTF-8, `-dash.png`, empty values, control characters, signals), with the
metavars, panels and repeated options that are documented. What they would have saved is `_parameter` below.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import typer
from typer.main import get_command

from nulltext.cli.command import Command, failed_by
from nulltext.cli.spread import spread
from nulltext.errors import NulltextError, SettingError
from nulltext.spelling.options import Setting, assemble, settings_of
from nulltext.tables import Table, row

if TYPE_CHECKING:
    from nulltext import Model

HELP: Final = frozenset({"-h", "--help"})


def method_command(
    function: Callable[..., None],
    table: Table,
    default: str,
    *,
    option: str | None = None,
    own: Collection[str] = (),
) -> type[Command]:
    """The class of a command that takes the options of a method.

    Args:
        function: The command; the settings of the method reach it as ``**settings``.
        table: The methods.
        default: The one that is taken if none is named.
        option: The option that names another; None if there is none.
        own: Fields that the command has options for itself, or leaves out.
    """

    class MethodCommand(Command):
        """The command as its help lists it: without the options of any method."""

        def with_method(self, args: Sequence[str]) -> Any:  # noqa: ANN401  a command, for which typer exports no name
            """The command with the options of the method that is asked for; itself, if help alone is wanted."""
            named, given = _named(args, option), set(_before_names(args))
            common = {each for parameter in self.params for each in [*parameter.opts, *parameter.secondary_opts]}
            if named is None and given & HELP and given <= common | HELP:
                return self
            try:
                return of_method(self.name or "", function, table, named or default, option, own)
            except NulltextError as error:
                raise failed_by(error) from None

    return MethodCommand


def of_method(
    name: str,
    function: Callable[..., None],
    table: Table,
    word: str,
    option: str | None = None,
    own: Collection[str] = (),
) -> Any:  # noqa: ANN401  a command, for which typer exports no name
    """A command with the options of one method; see `method_command`.

    Raises:
        SettingError: There is no such method.
    """
    entry = row(table, word, option or "the method")

    class OfMethod(Command):
        """Refuses the options of other methods by their names."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  as above
            """Reads the arguments."""
            known = {each for parameter in self.params for each in [*parameter.opts, *parameter.secondary_opts]}
            try:
                _refuse_others([each for each in _before_names(args) if each not in known], table, word, option)
            except NulltextError as error:
                raise failed_by(error) from None
            return super().parse_args(ctx, args)

    settings = [each for each in settings_of(entry.load()) if each.path[0] not in own]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    text = f"{inspect.getdoc(function)}\n\n{word}: {entry.summary}."
    app.command(name, cls=OfMethod, help=text)(spread(function, [_parameter(each, word) for each in settings]))
    return get_command(app)


def made(table: Table, word: str, settings: Mapping[str, object], **common: object) -> Any:  # noqa: ANN401  a method
    """The method that the options describe; what is not given is its default.

    Args:
        table: The methods.
        word: Which of them.
        settings: The values of its own options.
        common: Those of the command's options that are fields of most methods.

    Raises:
        SettingError: One of them makes no sense, or is no setting of the method.
    """
    cls, given = row(table, word, "the method").load(), {name: at for name, at in common.items() if at is not None}
    fields = {each.path[0] for each in settings_of(cls)}
    for name in given:
        if name not in fields:
            raise SettingError(f"got --{name.replace('_', '-')}, which {word} does not have. Leave it out.")
    return assemble(cls, {**settings, **given})


def listed(table: Table, option: str) -> str:
    """The methods of a table with what each does, for a help."""
    rows = "\n".join(f"- {word}: {entry.summary}" for word, entry in table.items())
    return f"{rows}\n\n{option} NAME --help shows the options of each."


def left_to(model: "Model", editor: object) -> dict[str, str]:
    """What an editor leaves to the model, by option: the setting that is in force, and where it comes from."""
    return {
        each.option: model.recommended.why(each.recommended, model.identity.id)
        for each in settings_of(cast("type[Any]", type(editor)))
        if each.recommended is not None and any(_unsaid(value) for value in values_at(editor, each.path))
    }


def _unsaid(value: object) -> bool:
    """Whether a setting is left to the model: nothing is said, or for some words alone."""
    return value is None or (isinstance(value, dict) and "" not in value)


def values_at(method: object, path: Sequence[str]) -> Iterator[Any]:
    """The value of a setting; none if what would hold it is not there."""
    for name in path[:-1]:
        method = getattr(method, name)
    if method is not None:
        yield getattr(method, path[-1])


def _before_names(args: Sequence[str]) -> Iterator[str]:
    """The names of the options among some arguments, up to a double dash."""
    for word in args:
        if word == "--":
            return
        if word.startswith("-"):
            yield word.partition("=")[0]


def _named(args: Sequence[str], option: str | None) -> str | None:
    """The method that arguments name."""
    found = None
    for word, after in zip(args, [*args[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if name == option:
            found = value if equals else after or None
    return found


def _refuse_others(names: Sequence[str], table: Table, word: str, option: str | None) -> None:
    for name in names:
        having = [
            other for other, entry in table.items() if name in {each.option for each in settings_of(entry.load())}
        ]
        if having and word not in having:
            asked = f"{option} {word}" if option else word
            raise SettingError(
                f"got {name} with {asked}, which does not have it; it is an option of {', '.join(having)}. Leave it "
                f"out, or ask for {option} {having[0]}."
            )


def _parameter(each: Setting, panel: str) -> inspect.Parameter:
    """A setting as a parameter of a command, as typer reads it."""
    kind: Any = Literal[each.choices] if each.choices else each.kind
    bounds: dict[str, Any] = {"min": each.range.least, "max": each.range.most} if kind in (int, float) else {}
    finite: dict[str, Any] = {name: kind(at) for name, at in bounds.items() if abs(at) < float("inf")}
    note = typer.Option(
        f"{each.option}/{each.off}" if each.off else each.option,
        metavar=each.metavar,
        help=each.about + _recommendation(each.recommended),
        show_default=each.default or False,
        rich_help_panel=panel,
        **finite,
    )
    hint = Annotated[list[str] | None if each.many else kind | None, note]
    return inspect.Parameter(each.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def _recommendation(name: str | None) -> str:
    """What holds where the model decides: of the embedded one, and of those that say nothing."""
    if name is None:
        return ""
    from nulltext.models import embedded
    from nulltext.models.recommended import Recommended
    from nulltext.models.weights import recommended_in

    scenes, other = (getattr(message, name) for message in (recommended_in(embedded.FOLDER), Recommended()))
    return (
        f" If not given, what the model recommends: {scenes:g} the embedded one; others, unless they say so "
        f"themselves, {other:g} as published for Stable Diffusion."
    )
