"""A row of a manifest: a photograph, and what shall become of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """A row, as it was read; whether it makes sense is for `nulltext.batch.job` to say.

    Attributes:
        number: Which row of the manifest it is, from 1.
        id: What the row and its images are called; slashes stand for folders. No two rows have the same.
        given: Whether the manifest calls it so.
        image: Path or address of the photograph.
        prompt: What it shows.
        edits: The new prompts.
        mask: Path or address of an image, white where the photograph may change; "" for none.
        size: "HxW" in pixels to fit to; "" for the plan's.
        settings: What the row says of method and editor, by name; text is read as on the command line.
        fault: What is wrong with the row itself; "" for nothing.
        keys: For each edit a digest of all that its image depends on, once it is known.
        left: Which of the edits are to be made, from 0; None for all of them.
    """

    number: int
    id: str
    given: bool = False
    image: str = ""
    prompt: str = ""
    edits: tuple[str, ...] = ()
    mask: str = ""
    size: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fault: str = ""
    keys: tuple[str, ...] = ()
    left: tuple[int, ...] | None = None

    @property
    def todo(self) -> tuple[int, ...]:
        """Which of the edits are to be made, from 0; of a row that has none, that one is missed."""
        return tuple(range(max(1, len(self.edits)))) if self.left is None else self.left

    def to_json(self) -> str:
        """The row as text, for another process; also of half characters, which no file can hold as they are."""
        return json.dumps(self.__dict__)

    @classmethod
    def from_json(cls, text: str) -> "Row":
        """Undoes `to_json`."""
        values = json.loads(text)
        left = None if values["left"] is None else tuple(values["left"])
        return cls(**values | {"edits": tuple(values["edits"]), "keys": tuple(values["keys"]), "left": left})
