"""What inversion and editing would refuse, found out by beginning them and stopping where they would compute."""

from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from dataclasses import fields
from typing import Any, Final, Never, cast, final

import torch

from nulltext import __version__
from nulltext.batch.worker import Opened
from nulltext.diffusion.conditioning import Conditioning
from nulltext.errors import NulltextError
from nulltext.images import to_image_bytes
from nulltext.inversion.base import Inversion, Scores
from nulltext.inversion.invert import check_null
from nulltext.inversion.replay import Replay
from nulltext.models.base import Model, check_prompts, embed_negative

COMPUTES: Final = ("predict", "descend", "embed", "encode", "decode")
"""What a model is asked for that takes time."""
_ZERO: Final = torch.zeros(1)


class _ReachedError(Exception):
    """The work begins here, so that nothing was found wrong before it."""


@final
class Rehearsal:
    """A model of which inversions and edits are begun, and none is done."""

    def __init__(self, model: Model) -> None:
        self.model, self._nulls = model, dict[tuple[int, int] | None, Conditioning]()
        self._silent = copy(model)
        for name in COMPUTES:
            object.__setattr__(self._silent, name, _reached)  # models are frozen
        object.__setattr__(self._silent, "null", self._null)

    def refusals(self, opened: Opened) -> Iterator[tuple[int, NulltextError]]:
        """What is wrong with a row whose photograph is open: which of its edits, from 1, 0 for all; the error."""
        row, editor = opened.job.row, opened.job.editor
        try:
            check_prompts(self.model, [row.prompt])
            inversion = self._stand_in(opened)
        except NulltextError as error:
            yield 0, error
            return
        for at, prompt in enumerate(row.edits, start=1):
            try:
                check_prompts(self.model, [prompt])
                if not _asks_clip(editor):
                    editor(self._silent, inversion, prompt)
            except _ReachedError:
                continue
            except NulltextError as error:
                yield at, error

    def _null(self, size: tuple[int, int] | None = None) -> Conditioning:
        if size not in self._nulls:
            self._nulls[size] = self.model.null(size)
        return self._nulls[size]

    def _stand_in(self, opened: Opened) -> Inversion:
        """An inversion as the method would make it but for its numbers, which are 0.

        Raises:
            NulltextError: The method would refuse the photograph, or its settings, with this model.
        """
        inverter, image = opened.job.inverter, opened.image
        size = (image.pixels.shape[-2], image.pixels.shape[-1])
        schedule, null = self.model.schedule(inverter.steps, size), self._null(size)
        check_null(self.model, inverter, null)
        self.model.check_prompt(inverter.negative_prompt)
        with suppress(_ReachedError):
            embed_negative(self._silent, inverter.negative_prompt, size)
        steps, shape, form = len(schedule), null.text.shape[1:], inverter.replays
        guidance = self.model.guidance if inverter.guidance is None else inverter.guidance
        return Inversion(
            prompt=opened.job.row.prompt,
            negative_prompt=inverter.negative_prompt,
            pivot=_ZERO.expand(steps + 1, self.model.latent_channels, *(side // self.model.scale for side in size)),
            replay=Replay(
                nulls=_ZERO.expand(steps, *shape) if form.nulls else None,
                cond=_ZERO.expand(shape) if form.cond else None,
                corrected=form.corrected,
                source_guidance=guidance if form.source_guidance else None,
            ),
            guidance=guidance,
            method=type(inverter).__name__,
            settings={},
            schedule=schedule,
            model=self.model.identity,
            image=to_image_bytes(image.pixels),
            frame=image.frame,
            sha256=image.sha256,
            scores=Scores(vae_psnr=0.0, psnr=0.0),
            version=__version__,
        )


def _reached(*_: object, **__: object) -> Never:
    raise _ReachedError


def _asks_clip(editor: object) -> bool:
    """Whether an editor loads a CLIP of its own before it asks the model."""
    return any(each.name == "clip" for each in fields(cast("Any", editor)))
