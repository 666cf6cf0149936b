"""What each family of models can do, found out by doing it: a tiny build of its own classes is asked for everything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, cast, final

import torch
from PIL import Image

from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.editing.table import EDITORS, MASKS
from nulltext.errors import DivergedError, EmptyMaskError, NulltextError
from nulltext.images import open_image
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.table import INVERTERS
from nulltext.models.architectures import ARCHITECTURES, Name
from nulltext.models.capabilities import multiple_of
from nulltext.models.families import FAMILIES, FLUX_IN_A_FILE, IN_A_FILE, THIRD_IN_A_FILE, XL_IN_A_FILE
from nulltext.models.loading import load
from nulltext.models.random_weights import random_pipeline

PROMPT, TARGET = "a cat", "a dog"
DRAWN: Final = "drawn"
_QUICK: Final = {"steps": 2, "inner_steps": 1, "samples": 1}
_NO_REFUSAL: Final = (DivergedError, EmptyMaskError)
"""What untrained weights come to, in methods that run."""

Refusals = Mapping[str, str]
"""By the word of a method: why it is refused, in a sentence; empty for one that runs."""


@final
@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a family can do.

    Attributes:
        pipeline: The class of its pipeline.
        summary: What it is, in a line.
        guidance: The guidance scale that is published for it.
        single_file: Whether a checkpoint in a single file is read.
        architecture: The name of its architecture; None if there is none, so that nothing below is known.
        flow: Whether it predicts a flow, and not noise or a velocity.
        multiple: Pixels of which heights and widths are multiples.
        inverters: Of each whether it runs.
        editors: The same; but for those that ask CLIP and leave the family to its autoencoder.
        masks: The same, of a drawn mask and of what finds one.
    """

    pipeline: str
    summary: str
    guidance: float
    single_file: bool
    architecture: Name | None = None
    flow: bool | None = None
    multiple: int | None = None
    inverters: Refusals | None = None
    editors: Refusals | None = None
    masks: Refusals | None = None

    def can(self, word: str) -> bool | None:
        """Whether a method runs, by its word, or one of several kinds; None where that is not known."""
        tables = [table for table in (self.inverters, self.editors, self.masks) if table is not None]
        return not next((table[word] for table in tables if word in table), "") if tables else None


def abilities_of(pipeline: str) -> Abilities:
    """What the family of a pipeline's class can do."""
    family = FAMILIES[pipeline]
    known = Abilities(
        pipeline=pipeline,
        summary=family.summary,
        guidance=family.guidance,
        single_file=family.path in {each.path for each in (IN_A_FILE, XL_IN_A_FILE, THIRD_IN_A_FILE, FLUX_IN_A_FILE)},
    )
    name: Name | None = next((name for name, each in ARCHITECTURES.items() if each.pipeline == pipeline), None)
    return known if name is None else _tried(known, name)


def _tried(known: Abilities, name: Name) -> Abilities:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = random_pipeline(name, tiny=True)
    with load(pipeline, device="cpu") as model:
        height, width = model.default_size
        image = open_image(Image.effect_noise((width, height), 60).convert("RGB"), model)
        drawn = Image.new("L", (width, height), 255)
        inversion = DDIM(steps=_QUICK["steps"])(model, image, PROMPT)

        def inverts(made: type[Any]) -> Callable[[], object]:
            return lambda: _quick(made)(model, image, PROMPT)

        def edits(editor: Any) -> Callable[[], object]:  # noqa: ANN401  of any class
            return lambda: _masked(editor, drawn)(model, inversion, TARGET)

        steered = {word: entry.load() for word, entry in EDITORS.items()}
        masks: dict[str, Any] = {DRAWN: drawn}
        masks |= {word: _quick(entry.load()) for word, entry in MASKS.items()}
        return Abilities(
            **{each.name: getattr(known, each.name) for each in fields(known)[:4]},
            architecture=name,
            flow=model.prediction == "flow",
            multiple=multiple_of(model),
            inverters={word: _refusal(inverts(entry.load())) for word, entry in INVERTERS.items()},
            editors={word: _refusal(edits(made())) for word, made in steered.items() if not _asks_clip(made)},
            masks={
                word: _refusal(edits(PromptToPrompt(blend=Blend(mask=mask), guidance=1.0)))
                for word, mask in masks.items()
            },
        )


def _quick(made: type[Any]) -> Any:  # noqa: ANN401  of any class
    return made(**{each.name: _QUICK[each.name] for each in fields(cast("Any", made)) if each.name in _QUICK})


def _masked(editor: Any, mask: Image.Image) -> Any:  # noqa: ANN401  of any class
    """An editor with a mask, if it is one that needs it."""
    needs = any(each.name == "mask" for each in fields(editor))
    return replace(editor, mask=mask) if needs else editor


def _asks_clip(made: type[Any]) -> bool:
    return any(each.name == "clip" for each in fields(cast("Any", made)))


def _refusal(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except _NO_REFUSAL:
        return ""
    except NulltextError as error:
        return str(error)
    return ""
