"""What all the studies share: which cases they run on, and which CLIP they ask."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import final

from nulltext.bench.cases import Case, scene_cases
from nulltext.bench.edits import KINDS
from nulltext.bench.folder import folder_cases
from nulltext.bench.report import Column
from nulltext.models.base import Model
from nulltext.models.clip import Clip
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

    def command(self, study: str) -> str:
        """The command that runs a study like this, on the same model."""
        said = ("limit", "data", "steps", "inner_steps", "guidance")
        given = [
            f"--{setting.name.replace('_', '-')} {value}"
            for setting in fields(self)
            if setting.name in said and (value := getattr(self, setting.name)) != setting.default
        ]
        return " ".join(["nulltext bench", study, *given])

    def weight(self, model: Model) -> float:
        """The weight w."""
        return model.guidance if self.guidance is None else self.guidance

    def cases(self, model: Model, pictures: int) -> list[Case]:
        """The cases: those of `data`, or so many held-out scenes with an edit each, the kinds in turn.

        Args:
            model: The model.
            pictures: How many scenes where no limit is given.

        Raises:
            CaseError: `data` cannot be used.
        """
        if self.data is not None:
            return folder_cases(self.data)[: self.limit]
        count = pictures if self.limit is None else min(self.limit, pictures)
        kinds, cases = len(KINDS), scene_cases(count, size=model.default_size)
        return [cases[scene * kinds + scene % kinds] for scene in range(count)]
