"""What one device does: rows in, records out, as many rows at once as its memory takes.

Photographs are read and opened by threads ahead of the network, and edits are encoded and written by threads behind it.
"""

import hashlib
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, final

import torch
from PIL import Image

from nulltext.batch.encode import Original
from nulltext.batch.freed import LARGE, give_back
from nulltext.batch.plan import Job, Plan, chains, name_of, with_mask
from nulltext.batch.records import DONE, FAILED, Record, record_of
from nulltext.batch.row import Row
from nulltext.batch.storage import Storage
from nulltext.decoding import decode
from nulltext.diffusion.sharing import SharedDenoiser, Work, share
from nulltext.editing.many import editing
from nulltext.errors import Cancelled, NulltextError
from nulltext.images import SourceImage, open_image
from nulltext.inversion.base import Inversion
from nulltext.inversion.many import inverting
from nulltext.mask_images import open_mask
from nulltext.models.base import Model
from nulltext.models.loading import load
from nulltext.models.memory import images_at_once

READERS: Final = 4
"""Threads that open photographs, and as many that write edits."""
MOST_UNFORESEEN: Final = 10
"""After so many rows on end that failed for a reason nobody foresaw, it is the machine that is broken, not the row."""
Read = Callable[[str], bytes]
Given = TypeVar("Given")
Got = TypeVar("Got")


@final
@dataclass(frozen=True, kw_only=True)
class Opened:
    """A row whose photograph is open.

    Attributes:
        job: What is to be done, with the row's mask in its editor.
        image: The photograph, fitted.
        original: What its file says beside the pixels.
    """

    job: Job
    image: SourceImage
    original: Original


@final
@dataclass(frozen=True, kw_only=True)
class _Made:
    """Edits of a row, or for each the error in its place."""

    opened: Opened
    inversion: Inversion
    images: tuple[Image.Image | Exception, ...]
    evaluations: int
    seconds: float


class WorkerBrokenError(RuntimeError):
    """Row after row failed for reasons that nobody foresaw, or the device is lost.

    Attributes:
        device: Whether it is the device, so that another process may do better.
    """

    def __init__(self, message: str, *, device: bool) -> None:
        super().__init__(message)
        self.device = device

    def __reduce__(self) -> tuple[Any, ...]:
        """How it travels to another process."""
        return _broken, (str(self), self.device)


def _broken(message: str, device: bool) -> WorkerBrokenError:  # noqa: FBT001  pickle gives no names
    return WorkerBrokenError(message, device=device)


@final
class Worker:
    """A model on a device, and what is done there with rows."""

    def __init__(self, plan: Plan, out: Storage, device: str | None = None, model: Model | None = None) -> None:
        """Loads the model.

        Args:
            plan: What is done with every row.
            out: The folder of results.
            device: Where to compute; None for a GPU if there is one.
            model: The model, if it is loaded already.
        """
        self.plan, self.out = plan, out
        self.model = load(plan.model, device=device, **plan.loading) if model is None else model
        self.at_once = images_at_once(self.model) if plan.at_once is None else plan.at_once
        self._unforeseen, self._until_free = 0, 0

    @property
    def identity(self) -> str:
        """Which weights it has."""
        return name_of(self.model.identity)

    def do(self, rows: Iterable[Row], read: Read | None = None) -> Iterator[list[Record]]:
        """The records of each row, as rows are done; of a row that fails they say why.

        Args:
            rows: The rows.
            read: What reads a photograph or a mask, if not the storage that its name says.

        Raises:
            WorkerBrokenError: The device is lost.
        """
        waiting, done = dict[int, Row](), list[list[Record]]()
        with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(READERS) as writers:
            opened = ahead(readers, rows, lambda row: self.open(row, read), 2 * self.at_once)
            with closing(share(self.model, self._works(opened, waiting, done), self.at_once)) as results:
                behind = _behind(writers, results, lambda at: self._records(waiting.pop(at[0]), at[1]), 2 * READERS)
                for records in behind:
                    while done:
                        yield done.pop(0)
                    yield records
                    self._free()
            yield from done

    def _free(self) -> None:
        """Gives memory back to the system, once after large images, when enough rows have come after them."""
        if self._until_free:
            self._until_free -= 1
            if not self._until_free:
                give_back()

    def _works(
        self, rows: Iterable[tuple[Row, Opened | Exception]], waiting: dict[int, Row], done: list[list[Record]]
    ) -> Generator[Work[_Made | Exception]]:
        """The rows that can be begun, as works; of others the records."""
        at = 0
        for row, opened in rows:
            if isinstance(opened, Exception):
                done.append(self._failed(row, opened))
                continue
            waiting[at] = row
            at += 1
            yield self._work(opened)

    def open(self, row: Row, read: Read | None = None) -> Opened | Exception:
        """The photograph of a row and its mask, or what is wrong with them or with the row."""
        read = Storage("").read if read is None else read
        try:
            job = self.plan.job(row)
            data = read(row.image)
            image = open_image(data, self.model, fit=self.plan.fit, size=job.size)
            if row.mask:
                mask = open_mask(decode("the mask", read(row.mask)))
                image.frame.fit_mask(mask)  # refused before any work
                job = replace(job, editor=with_mask(job.editor, mask))
            return Opened(job=job, image=image, original=Original.of(data, gps=self.plan.gps))
        except Exception as error:  # noqa: BLE001  whatever is wrong with a row is its record's
            return error

    def _work(self, opened: Opened) -> Work[_Made | Exception]:
        """A row as a work that shares the network's batches with others."""

        def work(denoiser: SharedDenoiser) -> _Made | Exception:
            start, row = time.perf_counter(), opened.job.row
            try:
                inversion = inverting(self.model, opened.job.inverter, opened.image, row.prompt)(denoiser)
                images = tuple(self._edits(opened, inversion, denoiser))
            except (Cancelled, torch.cuda.OutOfMemoryError):
                raise
            except Exception as error:  # noqa: BLE001  as above
                return error
            return _Made(
                opened=opened,
                inversion=inversion,
                images=images,
                evaluations=denoiser.forwards + denoiser.backwards,
                seconds=time.perf_counter() - start,
            )

        return work

    def _edits(
        self, opened: Opened, inversion: Inversion, denoiser: SharedDenoiser
    ) -> Iterator[Image.Image | Exception]:
        """The edits of a row, all in one; one after the other if that fails, so that one stops no other."""
        editor, row = opened.job.editor, opened.job.row
        if chains(editor):
            edits = editing(self.model, (editor, inversion, row.edits))(denoiser).images
            yield from (edits[at] for at in row.todo)
            return
        prompts = [row.edits[at] for at in row.todo]
        try:
            yield from editing(self.model, (editor, inversion, prompts))(denoiser).images
        except NulltextError as error:
            if len(prompts) == 1:
                yield error
                return
            for prompt in prompts:
                try:
                    yield editing(self.model, (editor, inversion, prompt))(denoiser).image
                except NulltextError as own:
                    yield own

    def _records(self, row: Row, made: _Made | Exception) -> list[Record]:
        """Writes what was made of a row, and tells of it."""
        if isinstance(made, Exception):
            return self._failed(row, made)
        self._unforeseen = 0
        try:
            inversion = self._keep(made)
        except NulltextError as error:
            return self._failed(row, error)
        job = made.opened.job
        records = self._blank(row, job)
        names = [job.outputs[at] for at in row.todo]
        return [
            record | self._write(image, made.opened.original, name) | _figures(made, inversion)
            for record, image, name in zip(records, made.images, names, strict=True)
        ]

    def _write(self, image: Image.Image | Exception, original: Original, name: str) -> Record:
        """Writes an edited image, and tells of it."""
        if isinstance(image, Exception):
            return _reason(image)
        if image.width * image.height > LARGE:
            self._until_free = 4 * (self.at_once + READERS)  # rows that may be begun before it is let go
        try:
            data = original.encode(image, self.plan.format)
            self.out.write(name, data)
        except Exception as error:  # noqa: BLE001  as above
            return _reason(error)
        return {
            "status": DONE,
            "output": name,
            "bytes": len(data),
            "output_sha256": hashlib.sha256(data).hexdigest(),
        }

    def _keep(self, made: _Made) -> str:
        """Keeps the inversion, if that is wanted; its name in the folder of results, or ""."""
        name = made.opened.job.inversion
        if not name:
            return ""
        if self.out.local is not None:
            path = self.out.local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            made.inversion.save(path, overwrite=True)
            return name
        with tempfile.TemporaryDirectory() as folder:
            path = made.inversion.save(Path(folder) / "inversion.safetensors")
            self.out.write(name, path.read_bytes())
        return name

    def _failed(self, row: Row, error: Exception) -> list[Record]:
        """The records of a row of which nothing was made.

        Raises:
            WorkerBrokenError: It is the device, not the row.
        """
        foreseen = isinstance(error, NulltextError | MemoryError)
        self._unforeseen = 0 if foreseen else self._unforeseen + 1
        lost = isinstance(error, torch.AcceleratorError)
        if self._unforeseen >= MOST_UNFORESEEN or lost:
            raise WorkerBrokenError(f"row {row.number} and those before it: {error!r}", device=lost) from error
        return [record | _reason(error) for record in self._blank(row, None)]

    def _blank(self, row: Row, job: Job | None) -> list[Record]:
        return record_of(row, job, self.plan, self.identity, str(self.model.device))


def _figures(made: _Made, inversion: str) -> Record:
    scores, count = made.inversion.scores, len(made.images)
    return {
        "inversion": inversion,
        "image_sha256": made.opened.image.sha256,
        "height": made.opened.image.frame.size[0],
        "width": made.opened.image.frame.size[1],
        "psnr": scores.psnr,
        "autoencoder_psnr": scores.vae_psnr,
        "evaluations": made.evaluations / count,
        "seconds": made.seconds / count,
        "guidance": made.inversion.guidance,
    }


def _reason(error: Exception) -> Record:
    foreseen = isinstance(error, NulltextError)
    trace = "" if foreseen else "".join(traceback.format_exception(error))[-4000:]
    return {"status": FAILED, "error": type(error).__name__, "reason": str(error) or repr(error), "trace": trace}


def ahead(
    pool: ThreadPoolExecutor, items: Iterable[Given], do: Callable[[Given], Got], most: int
) -> Generator[tuple[Given, Got]]:
    """What threads make of items, in their order, at most so many ahead of what is taken."""
    begun = deque[tuple[Given, "Future[Got]"]]()
    for item in items:
        begun.append((item, pool.submit(do, item)))
        if len(begun) >= most:
            given, got = begun.popleft()
            yield given, got.result()
    while begun:
        given, got = begun.popleft()
        yield given, got.result()


def _behind(pool: ThreadPoolExecutor, items: Iterable[Given], do: Callable[[Given], Got], most: int) -> Generator[Got]:
    """What threads make of items, as it is done, at most so many behind what comes in."""
    begun = deque["Future[Got]"]()
    for item in items:
        begun.append(pool.submit(do, item))
        while begun and (begun[0].done() or len(begun) >= most):
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
