"""Progress as bars of tqdm, which draws them in notebooks and in terminals."""

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
        self._bars: dict[int | None, tuple[str, Any]] = {}

    def __call__(self, event: Progress) -> None:
        of = "" if event.images is None else f" of {event.images}"
        label = event.phase if event.image is None else f"image {event.image}{of}: {event.phase}"
        before, bar = self._bars.get(event.image, ("", None))
        if bar is None or before != label:
            if bar is not None:
                bar.close()
            from tqdm.auto import tqdm  # noqa: PLC0415  who wants none does not wait for it

            bar = tqdm(total=event.total, desc=label, leave=event.image is None)
            self._bars[event.image] = label, bar
        if event.loss is not None:
            bar.set_postfix(loss=f"{event.loss:.1e}", refresh=False)
        bar.update(event.step - bar.n)
        if event.step >= event.total:
            bar.close()
            del self._bars[event.image]
