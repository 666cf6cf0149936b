"""Progress as bars of tqdm, which draws them in notebooks and in terminals."""

import warnings
from typing import Any, final

from nulltext.errors import SettingError, shown
from nulltext.progress import OnProgress, Progress, Telling


def teller(telling: Telling) -> OnProgress:
    """The callback itself, or one that draws bars.

    Raises:
        SettingError: It is neither.
    """
    if telling == "tqdm":
        return _Bars()
    if not callable(telling):
        raise SettingError(f"got on_progress={shown(telling)}; expected a function of an event, or 'tqdm' for bars.")
    return telling


@final
class _Bars:
    """A bar of tqdm for what is under way; of many images a bar for each, which goes when it is done."""

    def __init__(self) -> None:
        self._bars: dict[int | None, Any] = {}

    def __call__(self, event: Progress) -> None:
        of = "" if event.images is None else f" of {event.images}"
        label = event.phase if event.image is None else f"image {event.image}{of}: {event.phase}"
        bar = self._bars.get(event.image)
        if bar is None or bar.desc != f"{label}: ":
            if bar is not None:
                bar.close()
            bar = self._bars[event.image] = _tqdm()(total=event.total, desc=label, leave=event.image is None)
        if event.loss is not None:
            bar.set_postfix(loss=f"{event.loss:.1e}", refresh=False)
        bar.update(event.step - bar.n)
        if event.step >= event.total:
            bar.close()
            del self._bars[event.image]


def _tqdm() -> Any:  # noqa: ANN401  a class that depends on where it is asked for
    """The bars of a notebook that has ipywidgets, else those of a terminal, without tqdm's word on what is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # noqa: PLC0415  who wants none does not wait for it
    return tqdm
