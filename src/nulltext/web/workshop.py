"""The work behind the API: images opened, inverted and edited."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

from nulltext.editing.base import in_force
from nulltext.editing.table import EDITOR
from nulltext.errors import MismatchError, ModelNotFoundError, UnknownWordError, UploadTooLargeError
from nulltext.files import write_file
from nulltext.images import open_image
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import reconstruct
from nulltext.inversion.table import INVERTERS
from nulltext.models.base import Model
from nulltext.models.capabilities import word_list_of
from nulltext.models.hub import check_here, is_here
from nulltext.models.loading import EMBEDDED, load
from nulltext.models.precision import precision_of
from nulltext.spelling.records import record
from nulltext.tables import word_of
from nulltext.web import cache
from nulltext.web.bounds import quoted
from nulltext.web.clients import NOBODY, Client
from nulltext.web.code import command_line, mask_name, python_code
from nulltext.web.fitting import check_size
from nulltext.web.jobs import Job, Jobs, Then, followed
from nulltext.web.kept import KeptInversion, recipe
from nulltext.web.limits import Limits
from nulltext.web.opening import thumbnail, with_small_masks
from nulltext.web.people import People
from nulltext.web.recipes import png
from nulltext.web.requests import EditRequest, InversionRequest, prompts_in
from nulltext.web.results import Edited, Inverted, Origin, inverted
from nulltext.web.running import previewing, stopping
from nulltext.web.words import changed_words

_NAMED = 3
"""So many unknown words are named; the page marks them all."""


@final
class Workshop:
    """Everything that the app does, without what is kept of it.

    Attributes:
        models: The models' names that may be chosen.
        any_model: Whether any other hub id or folder may be.
        limits: What one person may ask for.
        people: Their files.
        jobs: What is under way.
    """

    def __init__(
        self,
        folder: Path,
        *,
        models: Sequence[str] = (EMBEDDED,),
        any_model: bool = False,
        limits: Limits | None = None,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        """Makes the folder for files; models are loaded when they are first used.

        Raises:
            OutputWriteError: The folder cannot be made.
        """
        self.models, self.any_model = tuple(models), any_model
        self.limits = limits or Limits()
        self.jobs = Jobs(self.limits, private=str(folder))
        self.people = People(folder, self.limits, used=self.jobs.used)
        self._device, self._dtype = device, dtype
        self._loaded: dict[str, Model] = {}
        self._loading = threading.Lock()

    def model(self, name: str) -> Model:
        """A model that may be chosen. One is kept loaded; the embedded one always.

        Raises:
            ModelNotFoundError: It may not be, or is not there.
            ModelError: It cannot be loaded.
        """
        self.check_model(name, here=True)
        if (loaded := self._loaded.get(name)) is not None:  # without waiting for another that is being loaded
            return loaded
        with self._loading:
            if name not in self._loaded:
                check_here(name)  # nothing is fetched that nobody has asked for
                for other in [other for other in self._loaded if other != EMBEDDED]:
                    del self._loaded[other]
                self._loaded[name] = load(name, device=self._device, dtype=self._dtype)
            return self._loaded[name]

    def check_model(self, name: str, *, here: bool) -> None:
        """Refuses a model that may not be chosen.

        Args:
            name: Its name.
            here: Whether somebody at this machine chooses it, who may choose any if the server is for them alone.

        Raises:
            ModelNotFoundError: It may not.
        """
        if not self._offers(name, here=here):
            raise self.not_offered(name)

    def not_offered(self, name: str) -> ModelNotFoundError:
        """The one answer to all names of models that cannot be had, whatever the reason."""
        more = ", the path of a checkpoint, or a hub id that can be fetched" if self.any_model else ""
        return ModelNotFoundError(
            f"this server does not offer the model {name[:100]!r}; expected {' or '.join(self.models)}{more}. Choose "
            "one of these."
        )

    def invert(
        self,
        person: str,
        data: bytes,
        name: str,
        request: InversionRequest,
        client: Client = NOBODY,
        *,
        then: Then | None = None,
        uses: frozenset[Path] = frozenset(),
    ) -> Job[Any]:
        """Inverts an image; at once if the same was inverted before.

        Args:
            person: Who asks.
            data: The image's file.
            name: What that was called.
            request: How.
            client: From where.
            then: What the job goes on with; its result is the job's.
            uses: Files that stay until it is over, and without which it ends.

        Raises:
            NulltextError: Image, prompt or settings are out of bounds, or there are too many jobs.
        """
        self.limits.check_image(data)
        request.check(self.limits)
        self.check_model(request.model, here=client.here)
        self.check_words(request.model, request.prompt)
        self.check_words(request.model, request.negative_prompt)
        if request.size is not None and (loaded := self.at_hand(request.model)) is not None:
            check_size(loaded, request.size)
        work = partial(self._invert, data, name, request)
        plan = request.plan if then is None else {**request.plan, "sample": request.steps}
        return self.jobs.submit(person, followed(work, then), plan, client=client, uses=uses)

    @property
    def loaded(self) -> frozenset[str]:
        """The names of the models that are in memory."""
        return frozenset(self._loaded)

    def at_hand(self, name: str) -> Model | None:
        """A model that needs no loading, which only jobs may wait for.

        Raises:
            ModelNotFoundError: It may not be chosen.
        """
        self.check_model(name, here=True)
        return self.model(name) if name in self._loaded or name == EMBEDDED else None

    def check_words(self, model: str, prompt: str) -> None:
        """Refuses a prompt with a word that a model was not taught, as far as that can be told without loading it.

        Raises:
            UnknownWordError: There is one.
        """
        loaded = self.at_hand(model)
        listed = None if loaded is None else word_list_of(loaded)
        if listed is not None and (spans := listed.unknown(prompt)):
            words = ", ".join(quoted(prompt[start:end]) for start, end in spans[:_NAMED])
            words += ", ..." if len(spans) > _NAMED else ""
            raise UnknownWordError(
                f"this model does not know {words}; expected only words of its list, which stands below the prompt. "
                "Say it in these."
            )

    def open_inversion(
        self, person: str, data: bytes, name: str, client: Client = NOBODY, *, then: Then | None = None
    ) -> Job[Any]:
        """Takes an inversion file that somebody has kept.

        Raises:
            UploadTooLargeError: It is too large.
            TooManyJobsError: There are too many jobs.
        """
        most = self.limits.inversion_bytes
        if len(data) > most:
            raise UploadTooLargeError(
                f"the file has {len(data) / 2**20:.1f} MB; expected at most {most / 2**20:g} MB. Is it an inversion?"
            )
        work = partial(self._open, data, name, client.here)
        return self.jobs.submit(person, followed(work, then), {"sample": 1.0}, client=client)

    def edit(
        self,
        person: str,
        inverted: Inverted | KeptInversion,
        request: EditRequest,
        client: Client = NOBODY,
        *,
        then: Then | None = None,
        uses: frozenset[Path] = frozenset(),
    ) -> Job[Any]:
        """Edits an image that was inverted; the arguments are as of `invert`.

        Raises:
            NulltextError: Prompts or settings are out of bounds, the inversion was swept, or there are too many jobs.
        """
        request.check(self.limits)
        for prompt in (*request.prompts, *(text for one in request.chain for text in prompts_in(one.method))):
            self.check_words(inverted.request.model, prompt)
        path = self.people.path(person, inverted.number)
        work = partial(self._edit, path, inverted.origin, with_small_masks(request, inverted))
        return self.jobs.submit(person, followed(work, then), request.plan, client=client, uses=uses | {path})

    def close(self) -> None:
        """Stops all jobs."""
        self.jobs.close()

    def _offers(self, name: str, *, here: bool) -> bool:
        return name in self.models or (self.any_model and here)

    def _invert(self, data: bytes, name: str, request: InversionRequest, job: Job[Inverted]) -> Inverted:
        start, model = time.perf_counter(), self.model(request.model)
        self.check_words(request.model, request.prompt)
        self.check_words(request.model, request.negative_prompt)
        check_size(model, request.size or model.default_size)
        image = open_image(data, model, fit=request.fit, size=request.size)
        key = image.sha256, request.prompt, asdict(model.identity), repr(request.inverter), request.fit
        key = *key, *image.frame.fitted, precision_of(model), torch.get_num_threads()
        path, seconds = self.people.cached(*key), 0.0
        job.uses |= {path, cache.note_of(path)}
        found = cache.read(path, key)
        if found is None:
            with stopping(model, job.check):
                inversion = request.inverter(model, image, request.prompt, previewing(model, job))
            losses = list(job.losses)
            cache.write(path, key, inversion, losses)
            self.people.grew("inversions", path)
            seconds = time.perf_counter() - start
        else:
            inversion, losses = found
        with stopping(model, job.check):
            again = reconstruct(model, inversion, on_progress=job.tell)
        return inverted(
            inversion,
            again,
            request,
            model,
            number=self.people.keep_link(job.person, path, job.client.address),
            name=name,
            losses=losses,
            seconds=seconds,
        )

    def _open(self, data: bytes, name: str, here: bool, job: Job[Inverted]) -> Inverted:  # noqa: FBT001
        path = self.people.cached("opened", job.number)
        job.uses = frozenset({path})
        write_file(path, data, overwrite=True)
        try:
            inversion = Inversion.load(path)
            request = self._request_of(inversion, here=here)
            model = self.model(request.model)
            self._check_inversion(inversion, model)
            number = self.people.keep_link(job.person, path, job.client.address)
        finally:
            path.unlink()
        with stopping(model, job.check):
            again = reconstruct(model, inversion, on_progress=job.tell)
        return inverted(inversion, again, request, model, number=number, name=f"{Path(name).stem}.png", opened=True)

    def _request_of(self, inversion: Inversion, *, here: bool) -> InversionRequest:
        """How an inversion was made, if that could be asked for here.

        Raises:
            MismatchError: With another model.
            NulltextError: It is out of bounds.
        """
        request = InversionRequest(
            prompt=inversion.prompt,
            model=self._name_of(inversion, here=here),
            steps=len(inversion.schedule),
            method=word_of(INVERTERS, inversion.method) or inversion.method,
            guidance=inversion.guidance,
            negative_prompt=inversion.negative_prompt,
        )
        request.check_kept(self.limits)
        self.check_words(request.model, request.prompt)
        self.check_words(request.model, request.negative_prompt)
        return request

    def _check_inversion(self, inversion: Inversion, model: Model) -> None:
        """Refuses one of another model, or whose images are larger than is taken.

        Raises:
            NulltextError: It is.
        """
        self.limits.check_size(*reversed(inversion.frame.size))
        inversion.check(model)
        check_size(model, inversion.frame.fitted)

    def _name_of(self, inversion: Inversion, *, here: bool) -> str:
        """Which of the models that may be chosen an inversion was made with.

        Raises:
            MismatchError: None.
        """
        for name in self.models:
            if is_here(name) and self.model(name).identity.same_weights(inversion.model):
                return name
        if self.any_model and here and re.fullmatch(r"\w[\w.-]*/[\w.-]+", inversion.model.id):
            return inversion.model.id
        raise MismatchError(
            f"this inversion was made with the model {inversion.model.id!r}, which this server does not offer; "
            f"expected {' or '.join(self.models)}. Invert the image again here."
        )

    def _edit(self, path: Path, origin: Origin, request: EditRequest, job: Job[Edited]) -> Edited:
        start, model = time.perf_counter(), self.model(origin.request.model)
        inversion = Inversion.load(path)
        request = request.in_force(model.recommended)
        requests = request.variants(changed_words(inversion.prompt, request.prompt))
        tell, editors = previewing(model, job, inversion.restore), list[list[Any]]()
        with stopping(model, job.check):
            if request.editor == EDITOR:
                source, targets = model.tokenize(inversion.prompt), [model.tokenize(one) for one in request.prompts]
                editors = [[in_force(each, model) for each in one.editors(source, targets)] for one in requests]
                prompts = [prompt for one in requests for prompt in one.prompts]
                asked = list(zip(prompts, (editor for its in editors for editor in its), strict=True))
                edit = asked[0][1].run.each(model, inversion, asked, tell)
            else:
                editors = [[in_force(request.method, model)]]
                edit = editors[0][0](model, inversion, request.prompt, tell)
        job.check()
        images = edit.images[-len(requests) :]
        asked, name, code = origin.request, origin.name, {"opened": origin.opened}
        keep = partial(self.people.keep, job.person, address=job.client.address)
        recipes = [recipe(inversion, origin, one, its[-1]) for one, its in zip(requests, editors, strict=True)]
        return Edited(
            requests=tuple(requests),
            images=tuple(thumbnail(image) for image in images),
            numbers=tuple(keep(png(image, recipe), "png") for image, recipe in zip(images, recipes, strict=True)),
            masks=tuple(
                (one.mask, mask_name(at, len(request.chain)))
                for at, one in enumerate(request.chain)
                if one.mask is not None
            ),
            python=tuple(
                python_code(asked, name, one, its, **code) for one, its in zip(requests, editors, strict=True)
            ),
            settings=tuple(record(its[-1]) for its in editors),
            shell=tuple(
                command_line(asked, name, one, its, **code) for one, its in zip(requests, editors, strict=True)
            ),
            seconds=time.perf_counter() - start,
        )
