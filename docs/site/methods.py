"""A page for each row of the tables: what a method is, its equation and the code that is it, settings, how to ask."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from nulltext.diffusion.guidance import SCALE
from nulltext.diffusion.table import GUIDANCE
from nulltext.editing.table import EDITORS, MASKS
from nulltext.inversion import algorithms
from nulltext.inversion.table import INVERTERS
from nulltext.spelling.fields import fields_of
from nulltext.tables import Entry, Table

_EQUATION = '<div class="equation" markdown>\n\n```text\n{}\n```\n\n</div>'
_COST = (
    "At its defaults it asks the network at most **{} times** an image ({}); a backward pass counts as one, and early "
    "stops are left out. [Benchmarks](../benchmarks.md) has what it takes and gains."
)
ATTENTION = "nulltext.attention."
PAPER = re.compile(r"arXiv (\d{4}\.\d{4,5})")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The methods of a table.

    Attributes:
        title: What they are.
        table: Their rows.
        does: The method of the class that is the algorithm.
        option: The option that asks for one on the command line.
        command: The command line, but for the method's word.
        python: The same in Python, with {} in the class's place.
    """

    title: str
    table: Table
    does: str
    command: str
    python: str


KINDS: Mapping[str, Kind] = {
    "inversion": Kind(
        title="Inversion",
        table=INVERTERS,
        does="solve",
        command='nulltext invert photo.png "a cat on a bench" --method {}',
        python='inversion = nulltext.{}()(model, image, "a cat on a bench")',
    ),
    "editing": Kind(
        title="Editing",
        table=EDITORS,
        does="__call__",
        command='nulltext edit photo.safetensors "a dog on a bench" --editor {}',
        python='edit = nulltext.{}()(model, inversion, "a dog on a bench")',
    ),
    "mask": Kind(
        title="Finding a mask",
        table=MASKS,
        does="__call__",
        command='nulltext edit photo.safetensors "a dog on a bench" --mask {}',
        python="blend = nulltext.Blend(mask=nulltext.{}())",
    ),
    "guidance": Kind(
        title="Guidance",
        table=GUIDANCE,
        does="__call__",
        command='nulltext edit photo.safetensors "a dog on a bench" --guidance-rule {}',
        python='rule = nulltext.Rule(name="{}")',
    ),
}
"""By what the pages of each are called first."""


def pages() -> Iterator[tuple[str, str]]:
    """The page of each method."""
    for name, kind in KINDS.items():
        for word, entry in kind.table.items():
            yield f"methods/{name}-{word}.md", _page(kind, word, entry)


def index() -> str:
    """The list of all methods."""
    lines: list[str] = []
    for name, kind in KINDS.items():
        lines += ["", f"## {kind.title}", "", "| | what it does |", "|---|---|"]
        lines += [f"| [`{word}`]({name}-{word}.md) | {entry.summary} |" for word, entry in kind.table.items()]
    return "\n".join([*lines, ""])


def _page(kind: Kind, word: str, entry: Entry) -> str:
    cls = entry.load()
    about, equation = _told(cls)
    module = _prose(inspect.getdoc(inspect.getmodule(cls)) or "")
    file = inspect.getfile(cls).rpartition("src/")[2]
    parts = [
        f"# {cls.__name__}",
        f"*{kind.title}, `{word}`: {entry.summary}.*",
        module,
        "" if about in module else about,
        "## The equation, and the code that is it" if equation else "## The code that is it",
        _EQUATION.format(equation) if equation else "",
        *(f"```python\n{code}\n```" for code in _codes(cls, kind.does)),
        *_controls(cls),
        "## How to ask for it",
        f"```\n{kind.command.format(word)}\n```",
        f"```python\n{kind.python.format(word if kind.table is GUIDANCE else cls.__name__)}\n```",
        *_settings(cls),
        *_costs(cls),
        f"Its file is `{file}`; its row, `{word}`, makes it public.",
    ]
    return "\n\n".join([part for part in parts if part]) + "\n"


def _told(cls: type[Any]) -> tuple[str, str]:
    """What a class's docstring says before its fields, and its equation, if it has one."""
    text = inspect.cleandoc(cls.__doc__ or "")
    found = re.search(r"^Equation:\n((?:(?:    .*)?\n?)+)", text, re.MULTILINE)
    before = re.split(r"^(?:Attributes|Equation|Raises):$", text, flags=re.MULTILINE)[0]
    return _prose(before), dedent(found[1]).strip() if found else ""


def _prose(text: str) -> str:
    """Text of a docstring as Markdown: names as code, papers as links."""
    text = re.sub(r"(?<!`)``([^`]+)``", r"`\1`", text.strip())
    return PAPER.sub(lambda paper: f"[{paper[0]}](https://arxiv.org/abs/{paper[1]})", text)


def _codes(cls: type[Any], name: str) -> Iterator[str]:
    """The algorithm without its docstring, then what it calls of its own file and of the algorithms of the papers."""
    seen, wanted = set[Callable[..., Any]](), [getattr(cls, name)]
    while wanted:
        function = inspect.unwrap(wanted.pop(0))
        if function in seen:
            continue
        seen.add(function)
        source = dedent(inspect.getsource(function))
        yield re.sub(r'\n +"""(?:.|\n)*?"""', "", source, count=1).strip()
        own = vars(inspect.getmodule(cls)) | vars(algorithms)
        called = re.findall(r"(?:self\.)?(\w+)\(", source)
        for each in dict.fromkeys(called):
            found = vars(cls).get(each) or own.get(each)
            if inspect.isfunction(found) and found.__module__ in {cls.__module__, algorithms.__name__}:
                wanted.append(found)


def _controls(cls: type[Any]) -> list[str]:
    """What its file does to attention, control by control."""
    module = inspect.getmodule(cls)
    assert module is not None
    named = set(re.findall(r"(\w+)(?:\.\w+)?\(", inspect.getsource(module)))
    parts: list[str] = []
    for name, each in vars(module).items():
        if name in named and inspect.isclass(each) and each.__module__.startswith(ATTENTION) and hasattr(each, "wants"):
            about, _ = _told(each)
            code = next(_codes(each, "__call__"))
            parts += [f"### {name}", about, f"```python\n{code}\n```"]
    return ["## What it does to attention", *parts] if parts else []


def _settings(cls: type[Any]) -> list[str]:
    """A table of the fields: what each is by default, and what it means."""
    rows = [
        f"| `{each.name}` | {_default(each.default)} | {_cell(each.about)} |"
        for each in fields_of(cls)
        if each.note is not SCALE
    ]
    if not rows:
        return []
    return ["## Settings", "\n".join(["| setting | default | |", "|---|---|---|", *rows])]


def _default(value: object) -> str:
    return "" if value == "" else f"`{value!r}`"


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|").replace("\n", " ")


def _costs(cls: type[Any]) -> list[str]:
    """How often it asks the network, where it says so."""
    if not hasattr(cls, "evaluations"):
        return []
    asked = cls().evaluations()
    if not asked:
        return ["## What it costs", "Nothing: what it needs is found where it is used, beside the edits."]
    phases = ", ".join(f"{phase} {count}" for phase, count in asked.items())
    return ["## What it costs", _COST.format(sum(asked.values()), phases)]
