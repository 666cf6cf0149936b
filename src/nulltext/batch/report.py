"""A batch told to a reader: one HTML file with counts, distributions, a sample of pairs, and every error."""

import base64
import heapq
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import resources
from typing import Any, Final, final

import numpy as np
from PIL import Image

from nulltext.batch.arrow import jinja2
from nulltext.batch.records import DONE, Record
from nulltext.batch.results import Results
from nulltext.batch.storage import Storage
from nulltext.decoding import read
from nulltext.errors import NulltextError

NAME: Final = "report.html"
PAIRS: Final = 12
_SIDE, _BINS = 256, 24
_FIGURES: Final = {
    "psnr": "PSNR of the reconstruction, dB",
    "autoencoder_psnr": "PSNR through the autoencoder, dB",
    "seconds": "seconds from begin to end of an edit, in a shared batch",
    "evaluations": "evaluations of the network an edit",
}


@final
@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How a figure is distributed.

    Attributes:
        name: What it is.
        count, mean, least, most: Of its values.
        bars: The heights of the bins, of which the highest is 1.
    """

    name: str
    count: int
    mean: float
    least: float
    most: float
    bars: Sequence[float]

    @classmethod
    def of(cls, name: str, values: Sequence[float]) -> "Histogram":
        """Of at least one finite value."""
        found = np.asarray(values)
        counts, _ = np.histogram(found, _BINS)
        return cls(
            name=name,
            count=len(found),
            mean=float(found.mean()),
            least=float(found.min()),
            most=float(found.max()),
            bars=(counts / counts.max()).tolist(),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Pair:
    """A photograph beside its edit, as addresses that hold the images."""

    id: str
    prompt: str
    edit_prompt: str
    before: str
    after: str


@final
@dataclass(kw_only=True)
class _Seen:
    """What is gathered in one pass over the table."""

    done: int = 0
    failed: int = 0
    figures: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _FIGURES})
    errors: Counter[str] = field(default_factory=Counter[str])
    faults: list[Record] = field(default_factory=list[Record])
    sample: list[tuple[str, int, Record]] = field(default_factory=list[tuple[str, int, Record]])
    devices: Counter[str] = field(default_factory=Counter[str])

    def take(self, at: int, record: Record) -> None:
        if record["status"] != DONE:
            self.failed += 1
            self.errors[str(record["error"])] += 1
            self.faults.append({name: record[name] for name in ("id", "row", "edit", "image", "error", "reason")})
            return
        self.done += 1
        self.devices[str(record["device"])] += 1
        for name, values in self.figures.items():
            if record[name] is not None and np.isfinite(record[name]):
                values.append(float(record[name]))
        rank = sha256(str(record["key"]).encode()).hexdigest()  # the same sample whatever the order was
        heapq.heappush(self.sample, (rank, at, record))
        if len(self.sample) > PAIRS:
            heapq.heappop(self.sample)


def write_report(out: Storage, *, command: str = "", seconds: float = 0.0) -> str:
    """Writes the report of a folder of results.

    Args:
        out: The folder.
        command: What was run.
        seconds: How long the last run took.

    Returns:
        Where it is.
    """
    seen = _Seen()
    for at, record in enumerate(Results(out).records()):
        seen.take(at, record)
    template = resources.files("nulltext.batch").joinpath("report.html").read_text(encoding="utf-8")
    text = (
        jinja2.Environment(autoescape=True)
        .from_string(template)
        .render(
            seen=seen,
            command=command,
            seconds=seconds,
            histograms=[Histogram.of(_FIGURES[name], values) for name, values in seen.figures.items() if values],
            pairs=list(_pairs(out, [record for _, _, record in seen.sample])),
            faults=sorted(seen.faults, key=lambda record: (record["row"], record["edit"])),
        )
    )
    return out.write(NAME, text.encode(errors="replace"))


def _pairs(out: Storage, records: Sequence[Record]) -> Iterator[Pair]:
    for record in sorted(records, key=lambda each: (each["row"], each["edit"])):
        try:
            before, after = _shown(Storage(""), record["image"]), _shown(out, record["output"])
        except NulltextError:  # moved since
            continue
        yield Pair(
            id=record["id"], prompt=record["prompt"], edit_prompt=record["edit_prompt"], before=before, after=after
        )


def _shown(storage: Storage, name: Any) -> str:  # noqa: ANN401  a cell
    image, _ = read(storage.read(str(name)))
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
