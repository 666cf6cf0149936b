"""What all the studies share: which cases they run on, and which CLIP they ask."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from nulltext.bench.cases import Entry, scene_cases
from nulltext.bench.edits import KINDS
from nulltext.bench.folder import read_folder
from nulltext.bench.report import Column
from nulltext.models.base import Model
from nulltext.models.clip import Clip
from nulltext.models.precision import precision_of
from nulltext.progress import OnProgress, silent

SECONDS = Column(name="seconds", label="seconds", digits=1, better="lower")


@final
@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a study is run.

    Attributes:
        folder: Where its rows, pictures and report are kept, and a run that was stopped goes on.
        data: A folder of pictures with captions; held-out scenes if None.
        limit: At most so many pictures.
        steps: T.
        inner_steps: N.
        guidance: The weight w; the model's own if None.
        workers: How many pictures at a time; more than one needs a model on the CPU.
        at_once: How many inversions of a picture share the network's batch.
        clip: The CLIP that is asked; the embedded one by default.
        on_progress: Told of every picture.
        spelled: The command that was run, if it was one.
    """

    folder: Path
    data: Path | None = None
    limit: int | None = None
    steps: int = 50
    inner_steps: int = 10
    guidance: float | None = None
    workers: int = 1
    at_once: int = 1
    clip: Clip = field(default_factory=Clip.load)
    on_progress: OnProgress = silent
    spelled: str = ""

    def command(self, study: str, model: Model) -> str:
        """The command that was run, or for one who called the study from Python the one that runs a study like this."""
        if self.spelled:
            return self.spelled
        given = ["nulltext", "bench", study]
        for name in ("limit", "data", "steps", "inner_steps", "guidance", "workers"):
            if (value := getattr(self, name)) is not None:
                given += [f"--{name.replace('_', '-')}", str(value)]
        given += ["--output", str(self.folder), "--model", model.identity.id, "--dtype", precision_of(model)]
        return shlex.join([*given, "--device", str(model.device)])

    def options(self, model: Model, **more: object) -> str:
        """What it was run with, in a line; "all pictures" and the model's own weight resolved."""
        told: dict[str, object] = {
            "data": self.data or "scenes",
            "limit": self.limit or "none",
            "T": self.steps,
            "N": self.inner_steps,
            "w": f"{self.weight(model):g}",
            "workers": self.workers,
            "at once": self.at_once,
            **more,
        }
        return ", ".join(f"{name} {value}" for name, value in told.items())

    def weight(self, model: Model) -> float:
        """The weight w."""
        return model.guidance if self.guidance is None else self.guidance

    def entries(self, model: Model, pictures: int) -> Sequence[Entry]:
        """What is tried: the entries of `data`, or so many held-out scenes with an edit each, the kinds in turn.

        Args:
            model: The model.
            pictures: How many scenes where no limit is given.

        Raises:
            CaseError: `data` cannot be used at all.
        """
        if self.data is not None:
            return read_folder(self.data)[: self.limit]
        count = pictures if self.limit is None else min(self.limit, pictures)
        kinds, cases = len(KINDS), scene_cases(count, size=model.default_size)
        return [cases[scene * kinds + scene % kinds] for scene in range(count)]
