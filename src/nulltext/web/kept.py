"""What was asked for, as JSON and back: so a node of the history can be made again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast, final

from PIL import Image

from nulltext import __version__
from nulltext.errors import SettingError
from nulltext.inversion.base import Inversion
from nulltext.spelling.fields import values
from nulltext.spelling.records import record
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
        SettingError: It is none.
    """
    if node.kind != "inversion":
        raise SettingError(f"got an {node.kind}; expected an inversion, or an edit of one. Invert the image first.")
    facts = node.facts
    return KeptInversion(
        number=f"{node.id}.safetensors",
        request=inversion_request(node.request),
        name=str(facts["file_name"]),
        opened=bool(facts["opened"]),
        size=node.size,
        fitted=cast("tuple[int, int]", tuple(facts["place"]["fitted"])),
    )


def inversion_request(record: Mapping[str, Any]) -> InversionRequest:
    """A request from its JSON."""
    size = record.get("size")
    given: dict[str, Any] = {**record, "size": None if size is None else tuple(size)}
    return InversionRequest(**given)


def edit_request(record: Mapping[str, Any], mask: Image.Image | None, before: Sequence[EditRequest]) -> EditRequest:
    """A request from its JSON, its mask and what it goes on from."""
    given: dict[str, Any] = {**record, "blend_words": tuple(record.get("blend_words", ()))}
    one = EditRequest(**given)
    return replace(one, mask=mask, before=tuple(before))


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
