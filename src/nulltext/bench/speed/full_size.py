"""The full-size architectures with random weights on a GPU: seconds and memory, in one call of some minutes."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from nulltext.bench.result import Result
from nulltext.bench.speed.full_size_parts import PARTS, Bench
from nulltext.bench.study import Setting
from nulltext.errors import SettingError, listed
from nulltext.files import check_output, write_file
from nulltext.models.loading import choose_device
from nulltext.models.networks import first_line
from nulltext.progress import OnProgress, Progress, silent


@final
@dataclass(frozen=True, eq=False)
class FullSizeFigures(Result):
    """What `measure_full_size` returns, for whoever prints it."""

    figures: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.figures)

    def shown(self) -> Iterator[str]:
        """A line for each figure."""
        return (f"{name}: {value}" for name, value in _flat(self.figures))

    def complaint(self) -> str:
        """The parts that failed."""
        failed = {name: part["error"] for name, part in self.figures.items() if _failed(part)}
        return "\n".join(f"{name} failed: {error}" for name, error in failed.items())


def _failed(part: object) -> bool:
    return isinstance(part, dict) and "error" in part


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A record within records as one list, its names joined."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{prefix}{name}, ")
        else:
            yield f"{prefix}{name}", value


def check(given: Mapping[str, Any]) -> None:
    """Makes sure that the parts asked for exist, and that the record can be written.

    Raises:
        SettingError: One does not, or the record's name is not that of a JSON file.
        OutputExistsError: There is something of the record's name.
        OutputWriteError: There is no permission to write there.
    """
    chosen_parts(given["parts"], compiled=given["compiled"])
    record: Path | None = given["record"]
    if record is None:
        return
    if record.suffix.casefold() != ".json":
        raise SettingError(f"got {record}; expected a JSON file's name, ending in .json. Rename it.")
    check_output(record)


def chosen_parts(parts: str | None, *, compiled: bool) -> list[str]:
    """The parts to measure, in the order asked for; all if none is, those of the compiled network if that is asked for.

    Raises:
        SettingError: There is no such part.
    """
    if parts is None:
        return [name for name in PARTS if compiled or not name.startswith("compiled")]
    chosen = [name.strip() for name in parts.split(",")]
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise SettingError(f"got --parts {parts}; expected some of {', '.join(PARTS)}, not {listed(unknown)}.")
    return chosen


def study(_: None, setting: Setting) -> FullSizeFigures:
    """`nulltext bench full-size`, which makes its models itself."""
    own = setting.own
    bench = Bench(
        family=own["family"],
        device=choose_device(own["device"]),
        steps=setting.steps,
        inner_steps=setting.inner_steps,
        few=min(own["few"], setting.steps),
        batch=setting.count(own["batch"]),
        tiny=own["tiny"],
    )
    parts = chosen_parts(own["parts"], compiled=own["compiled"])
    return FullSizeFigures(measure_full_size(bench, parts, record=own["record"], on_progress=setting.on_progress))


def measure_full_size(
    bench: Bench, parts: list[str], *, record: Path | None = None, on_progress: OnProgress = silent
) -> dict[str, Any]:
    """Measures one part after another. One that fails stops no other.

    Args:
        bench: What is measured, and how much of it.
        parts: Names of `PARTS`.
        record: A JSON file, written anew with every figure, so that a run that is cut off leaves what it has measured.
        on_progress: Called for every part.

    Returns:
        How it was measured, and by part its figures, or its "error". Seconds, bytes, and shares of the rate of a
        product of matrices in the same run; memory is missing (None) where the system does not tell it.
    """
    found: dict[str, Any] = bench.about()

    def keep(part: str) -> Callable[[str, Any], None]:
        def kept(name: str, value: Any) -> None:  # noqa: ANN401  whatever JSON holds
            found.setdefault(part, {})[name] = value
            if record is not None:
                write_file(record, json.dumps(found, indent=2).encode(), overwrite=True)

        return kept

    try:
        for done, part in enumerate(parts):
            on_progress(Progress("measure", done, len(parts)))
            tell = keep(part)
            try:
                PARTS[part](bench, tell)
            except Exception as error:  # noqa: BLE001  a compiler, a profiler and a driver raise whatever they like
                tell("error", first_line(error))
    finally:
        bench.release()
    on_progress(Progress("measure", len(parts), len(parts)))
    return found
