"""The same measurement of one image after another, or of several at a time."""

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

from nulltext.errors import SettingError
from nulltext.models.base import Model
from nulltext.processes import processes
from nulltext.progress import OnProgress, Progress, numbered, silent

Item = TypeVar("Item")
Result = TypeVar("Result")

Measure = Callable[[Model, Item, OnProgress], Result]
"""What is measured of one image. For several processes it must be a function of a module, or a `partial` of one."""


def each(
    model: Model,
    images: Sequence[Item],
    measure: Measure[Item, Result],
    *,
    workers: int = 1,
    on_progress: OnProgress = silent,
) -> list[Result]:
    """Measures images.

    Args:
        model: The model.
        images: What is handed to `measure`; the results come in the same order.
        measure: What to do with each.
        workers: In how many processes, which share out the CPU's cores among them. One image at a time leaves half
            of two cores idle: a small model has too little to do for both.
        on_progress: Called for every step of every image, numbered; with several workers, of every image.

    Raises:
        SettingError: Several workers, but the model is not on the CPU.
    """
    if workers > 1 and model.device.type != "cpu":
        raise SettingError(f"got workers={workers} with a model on {model.device}; only a CPU is shared out. Take 1.")
    if workers == 1 or not images:
        return [
            measure(model, image, numbered(on_progress, index, len(images)))
            for index, image in enumerate(images, start=1)
        ]
    results: list[Result] = []
    threads = max(1, torch.get_num_threads() // workers)
    with processes(min(workers, len(images)), _begin, pickle.dumps(model), threads) as pool:
        on_progress(Progress("measure", 0, len(images)))
        for result in pool.imap(partial(_measure, measure), images):
            results.append(result)
            on_progress(Progress("measure", len(results), len(images)))
    return results


_own: dict[str, Model] = {}
"""The model of a worker."""


def _begin(model: bytes, threads: int) -> None:
    torch.set_num_threads(threads)
    _own["model"] = pickle.loads(model)  # noqa: S301  `each` has made it, in this very program


def _measure(measure: Measure[Item, Result], image: Item) -> Result:
    return measure(_own["model"], image, silent)
