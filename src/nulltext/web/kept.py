"""What was asked for, as JSON and back: so a node of the history can be made again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from typing import Any, cast, final, get_type_hints

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from nulltext import __version__
from nulltext.errors import SettingError
from nulltext.inversion.base import Inversion
from nulltext.spelling.fields import values
from nulltext.spelling.records import record
from nulltext.web.bounds import quoted
from nulltext.web.history import Node
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.results import Origin

_NO_JSON = ("mask", "before", "vary")
"""Of an edit: its mask is a file, what it goes on from are nodes, and what was varied lies in each of them."""


@final
@dataclass(frozen=True, kw_only=True)
class KeptInversion:
    """An inversion of the history, as edits of it need it.

    Attributes:
        number: Its file's.
        request: How it was asked for.
        name: What the image's file was called.
        opened: Whether it was kept elsewhere and opened.
        size: (height, width) of the photograph.
        fitted: (height, width) of the image that the model works on.
    """

    number: str
    request: InversionRequest
    name: str
    opened: bool
    size: tuple[int, int]
    fitted: tuple[int, int]

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return Origin(self.request, self.name, self.opened)


def inversion_of(node: Node) -> KeptInversion:
    """The inversion that a node is.

    Raises:
        SettingError: It is none, or was kept by a version that this one does not understand.
    """
    if node.kind != "inversion":
        raise SettingError(f"got an {node.kind}; expected an inversion, or an edit of one. Invert the image first.")
    fitted = _fitted(node.facts.get("place"))
    return KeptInversion(
        number=f"{node.id}.safetensors",
        request=inversion_request(node.request),
        name=file_name_of(node),
        opened=bool(node.facts.get("opened")),
        size=node.size,
        fitted=fitted,
    )


def _fitted(place: object) -> tuple[int, int]:
    """The size of the image that the model works on, by what a record says of its place."""
    given: object = cast("Mapping[str, object]", place).get("fitted") if isinstance(place, Mapping) else None
    sides = cast("Sequence[object]", given) if isinstance(given, list | tuple) else ()
    height, width = sides if len(sides) == 2 else (None, None)  # noqa: PLR2004  sides
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise SettingError(_foreign("inversion", f"got {quoted(cast('object', given))} for the size of its image"))
    return height, width


def file_name_of(node: Node) -> str:
    """What the file of an image was called; some name where its record does not say."""
    name = node.facts.get("file_name")
    return name if isinstance(name, str) and name else "image.png"


def inversion_request(record: Mapping[str, Any]) -> InversionRequest:
    """A request from its JSON.

    Raises:
        SettingError: It is of a version that this one does not understand.
    """
    return InversionRequest(**_read(InversionRequest, record, "inversion"))


def edit_request(record: Mapping[str, Any], mask: Image.Image | None, before: Sequence[EditRequest]) -> EditRequest:
    """A request from its JSON, its mask and what it goes on from.

    Raises:
        SettingError: It is of a version that this one does not understand.
    """
    return EditRequest(**_read(EditRequest, record, "edit"), mask=mask, before=tuple(before))


def _read(cls: type[Any], record: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What a record says of each field of a request."""
    try:
        form = _form(cls).model_validate_json(json.dumps(record))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        field = quoted(".".join(map(str, wrong["loc"])))
        told = {"extra_forbidden": f"got {field}, which is unknown here", "missing": f"got no {field}"}
        otherwise = f"got {quoted(wrong['input'])} for {field}"
        raise SettingError(_foreign(kind, told.get(wrong["type"], otherwise))) from error
    return {name: getattr(form, name) for name in form.model_fields_set}


@cache
def _form(cls: type[Any]) -> type[BaseModel]:
    """What checks the records of a request: its fields that are JSON, and no others."""
    kinds = get_type_hints(cls)
    entries: dict[str, Any] = {
        each.name: (kinds[each.name], ... if (each.default, each.default_factory) == (MISSING, MISSING) else None)
        for each in fields(cls)
        if each.name not in _NO_JSON
    }
    return create_model(cls.__name__, __config__=ConfigDict(extra="forbid", strict=True), **entries)


def _foreign(kind: str, got: str) -> str:
    made = {"inversion": "Invert the image again", "edit": "Make it again"}[kind]
    return f"the record of this {kind} is of another version of the app: {got}; expected what this one keeps. {made}."


def inversion_record(request: InversionRequest) -> dict[str, Any]:
    """A request as JSON."""
    return dict(values(request))


def edit_record(request: EditRequest) -> dict[str, Any]:
    """A request as JSON, without what is no JSON."""
    return {name: value for name, value in values(request).items() if name not in _NO_JSON}


def recipe(inversion: Inversion, origin: Origin, request: EditRequest, editor: object) -> dict[str, object]:
    """All that an edited image was made with."""
    return {
        "version": __version__,
        "model": asdict(inversion.model),
        "image": {"name": origin.name, "sha256": inversion.sha256},
        "inversion": dict(values(origin.request)),
        "prompts": [inversion.prompt, *request.prompts],
        "editor": request.editor,
        "settings": record(editor),
    }
