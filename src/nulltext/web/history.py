"""What a person has made, kept over restarts: a tree of images, inversions and edits, each with all that made it."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Literal, final

from pydantic import TypeAdapter

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.bounds import plain_name
from nulltext.web.people import People

Kind = Literal["image", "inversion", "edit"]
FILES: Mapping[str, str] = {
    "png": "image/png",
    "thumb": "image/webp",
    "view": "image/webp",
    "mask": "image/png",
    "original": "application/octet-stream",
    "safetensors": "application/octet-stream",
}
"""What lies beside a node, by its suffix, with its type; its record is given to nobody as a file."""
_RECORD = "json"


@final
@dataclass(frozen=True, kw_only=True)
class Node:
    """An image, an inversion or an edit.

    Attributes:
        id: What it is called; cannot be guessed.
        kind: What it is.
        parent: What it was made from: an inversion from an image, an edit from an inversion or an edit.
        created: When, in seconds since 1970.
        name: What the person calls it.
        favourite: Whether it was marked.
        size: (height, width) in pixels.
        files: The suffixes of its files.
        request: All that it was asked for with, as JSON.
        facts: What came of it, as JSON.
    """

    id: str
    kind: Kind
    parent: str | None = None
    created: float = 0.0
    name: str = ""
    favourite: bool = False
    size: tuple[int, int] = (0, 0)
    files: tuple[str, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def public(self) -> dict[str, Any]:
        """As the API shows it: each file by the number to ask for it by."""
        return {**asdict(self), "files": {suffix: f"{self.id}.{suffix}" for suffix in self.files}}


_NODE = TypeAdapter(Node)


@final
class History:
    """The nodes of all people, as files beside their images."""

    def __init__(self, people: People) -> None:
        """Over people's files."""
        self._people, self._changing = people, Lock()

    @staticmethod
    def new() -> str:
        """The id of a node to be."""
        return secrets.token_urlsafe(16)

    def add(self, person: str, node: Node, files: Mapping[str, bytes], address: str = "") -> Node:
        """Keeps a node and its files; those that are there already stay.

        Args:
            person: Whose.
            node: It.
            files: By suffix.
            address: Where they asked for it.

        Raises:
            KeptFileNotFoundError: What it was made from was removed meanwhile; nothing of it is kept then.
        """
        for suffix, data in files.items():
            self._people.keep_beside(person, node.id, data, suffix, address)
        suffixes = tuple(dict.fromkeys([*node.files, *files]))
        kept = replace(node, name=plain_name(node.name), created=time.time(), files=suffixes)
        with self._changing:
            try:
                if node.parent is not None:
                    self.get(person, node.parent)
            except KeptFileNotFoundError as error:
                self._people.remove(person, node.id)
                raise KeptFileNotFoundError(
                    "what this was made from was deleted meanwhile; expected it to stay until the job is over. Begin "
                    "again from something that is there."
                ) from error
            self._write(person, kept, address)
        return kept

    def all(self, person: str) -> list[Node]:
        """A person's nodes, the oldest first; what cannot be read any more is passed over."""
        nodes: list[Node] = []
        for path in self._people.beside(person, _RECORD):
            with suppress(OSError, ValueError, TypeError):
                nodes.append(_read(path))
        return sorted(nodes, key=lambda node: (node.created, node.id))

    def get(self, person: str, number: str) -> Node:
        """One of them.

        Raises:
            KeptFileNotFoundError: There is none of that number, or it is another's.
        """
        path = self._people.path(person, f"{number}.{_RECORD}")
        try:
            return _read(path)
        except (OSError, ValueError, TypeError) as error:
            raise KeptFileNotFoundError(f"{number[:64]!r} cannot be read any more. Make it again.") from error

    def chain(self, person: str, number: str) -> list[Node]:
        """A node with all it goes back to, the oldest first.

        Raises:
            KeptFileNotFoundError: One of them is gone.
        """
        found = [self.get(person, number)]
        while (parent := found[0].parent) is not None and found[0].kind != "inversion":
            if parent in {node.id for node in found}:
                raise KeptFileNotFoundError(f"{number[:64]!r} goes back to itself. Make it again.")
            found.insert(0, self.get(person, parent))
        return found

    def change(self, person: str, number: str, *, name: str | None = None, favourite: bool | None = None) -> Node:
        """Gives a node another name, or marks it.

        Raises:
            KeptFileNotFoundError: There is none of that number.
        """
        with self._changing:
            node = self.get(person, number)
            node = node if name is None else replace(node, name=plain_name(name))
            node = node if favourite is None else replace(node, favourite=favourite)
            self._write(person, node)
        return node

    def remove(self, person: str, number: str) -> list[str]:
        """Removes a node with all that was made from it; says which.

        Raises:
            KeptFileNotFoundError: There is none of that number.
        """
        with self._changing:
            gone = [self.get(person, number).id]
            nodes = self.all(person)
            for one in gone:  # grows as it is walked through
                gone += [node.id for node in nodes if node.parent == one and node.id not in gone]
            for one in gone:
                self._people.remove(person, one)
        return gone

    def discard(self, person: str, number: str) -> None:
        """Removes the files of what did not become a node."""
        self._people.remove(person, number)

    def path(self, person: str, node: Node, suffix: str) -> Path:
        """One of a node's files.

        Raises:
            KeptFileNotFoundError: It is gone.
        """
        return self._people.path(person, f"{node.id}.{suffix}")

    def open(self, person: str, node: Node, suffix: str) -> BinaryIO:
        """One of a node's files, which can be read to its end whoever removes it meanwhile.

        Raises:
            KeptFileNotFoundError: It is gone.
        """
        return self._people.open(person, f"{node.id}.{suffix}")

    def records(self, person: str, nodes: Iterable[Node]) -> frozenset[Path]:
        """The files by which nodes stay as long as a job needs them.

        Raises:
            KeptFileNotFoundError: One is gone.
        """
        return frozenset(self.path(person, node, _RECORD) for node in nodes)

    def _write(self, person: str, node: Node, address: str = "") -> None:
        data = json.dumps(asdict(node), ensure_ascii=False).encode()
        self._people.keep_beside(person, node.id, data, _RECORD, address)


def _read(path: Path) -> Node:
    try:
        record: Any = json.loads(path.read_bytes())
        known = {each.name for each in fields(Node)}
        node = _NODE.validate_python({name: value for name, value in dict(record).items() if name in known})
        json.dumps(asdict(node), ensure_ascii=False).encode()  # half a character, which no answer can hold
    except RecursionError as error:
        raise ValueError(str(error)) from error
    return node
