"""The same measurement of one picture after another, or of several at a time."""

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

from nulltext.errors import SettingError
from nulltext.models.base import Model
from nulltext.processes import processes
from nulltext.progress import OnProgress, Progress, numbered, silent

Picture = TypeVar("Picture")
Result = TypeVar("Result")

Measure = Callable[[Model, Picture, OnProgress], Result]
"""What is measured of one picture. For several processes it must be a function of a module, or a `partial` of one."""


def each(
    model: Model,
    pictures: Sequence[Picture],
    measure: Measure[Picture, Result],
    *,
    workers: int = 1,
    on_progress: OnProgress = silent,
) -> list[Result]:
    """Measures pictures.

    Args:
        model: The model.
        pictures: What is handed to `measure`; the results come in the same order.
        measure: What to do with each.
        workers: In how many processes, which share out the CPU's cores among them. One picture at a time leaves half
            of two cores idle: a small model has too little to do for both.
        on_progress: Told of every step of every picture, numbered; with several workers, of every picture.

    Raises:
        SettingError: Several workers, but the model is not on the CPU.
    """
    if workers > 1 and model.device.type != "cpu":
        raise SettingError(f"got workers={workers} with a model on {model.device}; only a CPU is shared out. Take 1.")
    if workers == 1 or not pictures:
        return [
            measure(model, picture, numbered(on_progress, index, len(pictures)))
            for index, picture in enumerate(pictures, start=1)
        ]
    results: list[Result] = []
    threads = max(1, torch.get_num_threads() // workers)
    with processes(min(workers, len(pictures)), _begin, pickle.dumps(model), threads) as pool:
        on_progress(Progress("measure", 0, len(pictures)))
        for result in pool.imap(partial(_measure, measure), pictures):
            results.append(result)
            on_progress(Progress("measure", len(results), len(pictures)))
    return results


_own: dict[str, Model] = {}
"""The model of a worker."""


def _begin(model: bytes, threads: int) -> None:
    torch.set_num_threads(threads)
    _own["model"] = pickle.loads(model)  # noqa: S301  `each` has made it, in this very program


def _measure(measure: Measure[Picture, Result], picture: Picture) -> Result:
    return measure(_own["model"], picture, silent)
