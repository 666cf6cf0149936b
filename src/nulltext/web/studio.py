"""What a person can do, each thing kept in their history: the whole of the app, without a server."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any, final

from PIL import Image

from nulltext.decoding import decode, read
from nulltext.editing.agreement import agreement
from nulltext.editing.maps import AttentionMaps, attention_maps
from nulltext.errors import KeptFileNotFoundError, SessionError, SettingError
from nulltext.inversion.base import Inversion
from nulltext.mask_images import open_mask
from nulltext.models.hub import check_here, is_here
from nulltext.web.bounds import MOST_NAME, check_text
from nulltext.web.clients import NOBODY, Client
from nulltext.web.downloads import Downloads
from nulltext.web.history import History, Node
from nulltext.web.jobs import Job
from nulltext.web.kept import edit_record, edit_request, file_name_of, inversion_of, inversion_record
from nulltext.web.opening import open_small_mask, turn
from nulltext.web.recipes import png, recipe_in
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.results import Edited, Inverted
from nulltext.web.running import stopping
from nulltext.web.verdict import as_json, grey_maps, place, shown, verdict
from nulltext.web.workshop import Workshop

VIEW, THUMB = 2560, 256
"""The longest sides of what is shown of a photograph, and of its picture in the history, in pixels."""


@final
@dataclass(frozen=True, kw_only=True)
class Made:
    """What a job has made.

    Attributes:
        nodes: The ids of the nodes, in order.
        seconds: What it took.
    """

    nodes: tuple[str, ...]
    seconds: float

    def record(self) -> Mapping[str, object]:
        """For JSON."""
        return {"nodes": list(self.nodes), "seconds": self.seconds}


@final
class Studio:
    """A workshop with a history.

    Attributes:
        workshop: Who does the work.
        history: What was made.
        downloads: Models that are fetched.
    """

    def __init__(self, workshop: Workshop) -> None:
        """Over a workshop and its files."""
        self.workshop, self.history, self.downloads = workshop, History(workshop.people), Downloads()

    def open_image(self, person: str, data: bytes, name: str, client: Client = NOBODY) -> Node:
        """Takes a photograph.

        Raises:
            NulltextError: It is no image, or out of bounds.
        """
        self.workshop.limits.check_image(data)
        with turn():
            image = read(data)[0]
            return self._keep_image(
                person, image, data, name, address=client.address, facts={"recipe": recipe_in(data)}
            )

    def open_inversion(self, person: str, data: bytes, name: str, client: Client = NOBODY) -> Job[Made]:
        """Takes an inversion file that was kept; its photograph becomes an image of its own.

        Raises:
            NulltextError: It is too large, or there are too many jobs.
        """
        return self.workshop.open_inversion(person, data, name, client, then=partial(self._keep_inversion, parent=None))

    def invert(self, person: str, image: str, request: InversionRequest, client: Client = NOBODY) -> Job[Made]:
        """Inverts an image of the history.

        Raises:
            NulltextError: It is gone, something is out of bounds, the model is not here, or there are too many jobs.
        """
        check_text("the model", request.model, MOST_NAME)
        node = self.history.get(person, image)
        if node.kind != "image":
            raise SettingError(f"got an {node.kind}; expected an image. Name one that was uploaded.")
        self.workshop.check_model(request.model, here=client.here)
        check_here(request.model)
        if not is_here(request.model):
            raise self.workshop.not_offered(request.model)
        with self.history.open(person, node, "original") as file:
            data = file.read()
        then, uses = partial(self._keep_inversion, parent=node.id), self.history.records(person, [node])
        return self.workshop.invert(person, data, file_name_of(node), request, client, then=then, uses=uses)

    def edit(
        self,
        person: str,
        parent: str,
        request: EditRequest,
        mask: bytes | None = None,
        client: Client = NOBODY,
    ) -> Job[Made]:
        """Edits an inversion of the history, or goes on from an edit.

        Args:
            person: Who.
            parent: The inversion or the edit.
            request: How, without what it goes on from.
            mask: An image's file, white where the image may change.
            client: From where.

        Raises:
            NulltextError: The parent is gone, something is out of bounds, or there are too many jobs.
        """
        first, *edits = self.history.chain(person, parent)
        inverted, uses = inversion_of(first), self.history.records(person, [first, *edits])
        before = [edit_request(node.request, self._mask(person, node), ()) for node in edits]
        small = None if mask is None else open_small_mask(mask, inverted, self.workshop.limits)
        asked = replace(request, before=tuple(before), mask=small)
        then = partial(self._keep_edits, parent=parent, size=inverted.size, varied=request.vary)
        return self.workshop.edit(person, inverted, asked, client, then=then, uses=uses)

    def remove(self, person: str, number: str) -> list[str]:
        """Removes something with all that was made from it, and stops the jobs that go on from it; says what is gone.

        Raises:
            KeptFileNotFoundError: There is none of that number.
        """
        gone = self.history.remove(person, number)
        self.workshop.jobs.stop_using(person, gone)
        return gone

    def _mask(self, person: str, node: Node) -> Image.Image | None:
        if "mask" not in node.files:
            return None
        with self.history.open(person, node, "mask") as file:
            return open_mask(decode("the mask", file.read()))

    def _keep_image(
        self, person: str, image: Image.Image, data: bytes, name: str, *, address: str, facts: Mapping[str, Any]
    ) -> Node:
        own = {"original": data, "view": webp(image, VIEW), "thumb": webp(image, THUMB)}
        kept = {name: value for name, value in facts.items() if value is not None}
        node = Node(
            id=History.new(),
            kind="image",
            name=PurePath(name).stem[:100] or "image",
            size=(image.height, image.width),
            facts={"file_name": PurePath(name).name, **kept},
        )
        return self.history.add(person, node, own, address)

    def _keep_inversion(self, inverted: Inverted, job: Job[Any], *, parent: str | None) -> Made:
        """Looks where the words of a new inversion look, and keeps it."""
        person, address = job.person, job.client.address
        model = self.workshop.model(inverted.request.model)
        inversion = Inversion.load(self.workshop.people.path(person, inverted.number))
        maps: AttentionMaps | None = None
        with stopping(model, job.check):
            try:
                maps = attention_maps(model, inversion, job.tell)
            except (
                SessionError
            ):  # this model has no attention that can be recorded; the verdict then says nothing of it
                image = inverted.reconstruction
            else:
                image = inversion.restore(maps.pixels[:1])
        if parent is None:
            source = inverted.source
            parent = self._keep_image(
                person, source, png(source), inverted.name, address=address, facts={"opened": True}
            ).id
        facts = {
            "file_name": inverted.name, "opened": inverted.opened, "psnr": _finite(inverted.psnr),
            "vae_psnr": _finite(inverted.vae_psnr), "seconds": inverted.seconds, "warning": inverted.warning,
            "losses": list(inverted.losses), "place": place(inversion), "model": str(inversion.model),
            "verdict": as_json(
                verdict(inversion, maps, agreement(model, shown(inversion), inversion.prompt), inverted.warning)
            ),
            "maps": None if maps is None else grey_maps(maps),
            "recommended": {
                "cross": inverted.recommended.cross_attention, "self_share": inverted.recommended.self_attention,
                "why": {name: inverted.why(name) for name in ("cross", "self_share")},
            },
        }  # fmt: skip
        node = Node(
            id=inverted.number.partition(".")[0],
            kind="inversion",
            parent=parent,
            name=inverted.request.prompt[:100],
            size=inverted.size,
            files=("safetensors",),
            request=inversion_record(inverted.request),
            facts=facts,
        )
        self.history.add(person, node, {"png": png(image), "thumb": webp(image, THUMB)}, address)
        return Made(nodes=(node.id,), seconds=inverted.seconds)

    def _keep_edits(self, edited: Edited, job: Job[Any], *, parent: str, size: tuple[int, int], varied: str) -> Made:
        """Keeps each image of an edit."""
        group = History.new() if len(edited.requests) > 1 else None
        made: list[str] = []
        for place_of, (request, number) in enumerate(zip(edited.requests, edited.numbers, strict=True)):
            image, mask = edited.images[place_of], request.mask
            own = {"thumb": webp(image, THUMB), **({} if mask is None else {"mask": png(mask)})}
            node = Node(
                id=number.partition(".")[0],
                kind="edit",
                parent=parent,
                name=request.prompt[:100],
                size=size,
                files=("png",),
                request=edit_record(request),
                facts={
                    "python": edited.python[place_of], "shell": edited.shell[place_of], "seconds": edited.seconds,
                    "settings": dict(edited.settings[place_of]), "group": group,
                    "label": _label(request, varied) if group else "", "varied": varied if group else "",
                },
            )  # fmt: skip
            try:
                made.append(self.history.add(job.person, node, own, job.client.address).id)
            except KeptFileNotFoundError:
                for left in edited.numbers:
                    self.history.discard(job.person, left.partition(".")[0])
                raise
        return Made(nodes=tuple(made), seconds=edited.seconds)


def webp(image: Image.Image, side: int) -> bytes:
    """An image to look at, of at most so many pixels on a side."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=90, method=2)
    return buffer.getvalue()


def _label(request: EditRequest, varied: str) -> str:
    """What tells one of several strengths from the others, in as few characters as there are."""
    told: Mapping[str, Callable[[], Sequence[object]]] = {
        "composition": lambda: [request.cross],
        "layout": lambda: [request.self_share],
        "strength": lambda: list(dict.fromkeys(request.weights.values()))[-1:],
    }
    return ", ".join(f"{value:g}" for value in told[varied]() if isinstance(value, int | float))


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
