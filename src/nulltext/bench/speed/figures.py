"""What the time of inversion is told by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, final

from nulltext.bench.extras import extra
from nulltext.bench.report import svg
from nulltext.bench.result import Result, Sheet

TRANSCRIPTION, PARITY, DIRECT = "transcription", "null-text", "direct inversion"


@final
@dataclass(frozen=True, kw_only=True)
class Way:
    """What one way to invert costs, for an image.

    Attributes:
        seconds: In each round.
        evaluations: Of the network, forwards and backwards, in the mean.
        peak_bytes: The most memory of any round, see `nulltext.bench.cost.Cost`; None where it is not known.
        psnr: Of the reconstruction, decibels, in the mean over the rounds' images.
    """

    seconds: Sequence[float]
    evaluations: float
    peak_bytes: int | None
    psnr: float


@final
@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster than the transcription.

    Attributes:
        ratio: Of the medians.
        low, high: The least and the most of the ratios of single rounds.
    """

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.1f} ({self.low:.1f} to {self.high:.1f})"


@final
@dataclass(frozen=True, kw_only=True)
class Growth:
    """What an image costs at one setting, without early stop.

    Attributes:
        steps: T.
        inner_steps: N.
        side: Pixels on a side.
        batch: Images at once.
        seconds: For an image, the median of the rounds.
        peak_bytes: The most of any round, see `nulltext.bench.cost.Cost`.
    """

    steps: int
    inner_steps: int
    side: int
    batch: int
    seconds: float
    peak_bytes: int | None


@final
@dataclass(frozen=True, kw_only=True)
class SpeedFigures(Result):
    """What `nulltext bench speed` measures.

    Attributes:
        ways: By name: the transcription, null-text inversion, direct inversion, and the last two in batches.
        ratios: Of each way but the transcription.
        batch: How many images a batch has.
        tera_flop: What null-text inversion of one image needs, from the evaluations that it made.
        product_rate: Of a product of matrices in the model's precision, TFLOP a second, in the same run.
        floor_share: What of that rate null-text inversion in a batch reaches.
        growth: The cost by T, N, side and batch.
        guidance: The guidance scale w.
        device: Where.
        dtype: The network's precision, see `nulltext.models.precision.precision_of`.
        compiled: Whether the network is compiled; the transcription's never is.
        threads: Of the CPU.
    """

    ways: Mapping[str, Way]
    ratios: Mapping[str, Ratio]
    batch: int
    tera_flop: float
    product_rate: float
    floor_share: float
    growth: Sequence[Growth]
    guidance: float
    device: str
    dtype: str
    compiled: bool
    threads: int

    def record(self) -> dict[str, Any]:
        """The figures for JSON, the chief ones first and by name."""
        batched = f"batch{self.batch}"
        published = self.ways[TRANSCRIPTION].psnr
        return {
            "parity_ratio": self.ratios[PARITY].ratio,
            "parity_psnr_delta_db": self.ways[PARITY].psnr - published,
            f"{batched}_ratio": self.ratios[in_batches(PARITY, self.batch)].ratio,
            "fast_ratio": self.ratios[DIRECT].ratio,
            f"fast_{batched}_ratio": self.ratios[in_batches(DIRECT, self.batch)].ratio,
            "fast_psnr_delta_db": self.ways[DIRECT].psnr - published,
            "floor_share": self.floor_share,
            **asdict(self),
        }

    def shown(self) -> Iterator[Sheet | str]:
        """As tables, and what has to be known of them."""
        yield Sheet(
            title=f"An image at w={self.guidance:g}",
            headings=("", "seconds", "times faster", "evaluations", "PSNR, dB", "peak, GB"),
            rows=[
                [
                    name,
                    f"{median(way.seconds):.2f}",
                    str(self.ratios.get(name, "")),
                    f"{way.evaluations:.0f}",
                    f"{way.psnr:.2f}",
                    _gigabytes(way.peak_bytes),
                ]
                for name, way in self.ways.items()
            ],
        )
        yield (
            f"{self.tera_flop:.3g} TFLOP an image at {self.product_rate:.3g} TFLOP/s of a product of matrices: "
            f"{100 * self.floor_share:.0f} % of that rate is reached in batches of {self.batch}"
        )
        if self.growth:
            yield Sheet(
                title="How it grows, without early stop",
                headings=("T", "N", "side", "images at once", "seconds an image", "peak, GB"),
                rows=[
                    [
                        *map(str, (one.steps, one.inner_steps, one.side, one.batch)),
                        f"{one.seconds:.3g}",
                        _gigabytes(one.peak_bytes),
                    ]
                    for one in self.growth
                ],
                names=0,
            )
        how = "compiled" if self.compiled else "not compiled"
        yield f"{self.device}, {self.dtype.removeprefix('torch.')}, {self.threads} threads, {how}"


def _gigabytes(peak: int | None) -> str:
    return "" if peak is None else f"{peak / 1e9:.2f}"


def in_batches(way: str, batch: int) -> str:
    """What a way is called where so many images share a batch."""
    return f"{way}, batches of {batch}"


def plot(found: Sequence[Growth]) -> str:
    """Seconds an image by T, N, side and batch; an SVG element."""
    figure = extra("matplotlib.figure").Figure(figsize=(11, 3), layout="constrained")
    base = found[0]
    for axes, (name, label) in zip(
        figure.subplots(1, 4, sharey=True),
        (("steps", "T"), ("inner_steps", "N"), ("side", "side, pixels"), ("batch", "images at once")),
        strict=True,
    ):
        others = {"steps", "inner_steps", "side", "batch"} - {name}
        line = [one for one in found if all(getattr(one, other) == getattr(base, other) for other in others)]
        line.sort(key=lambda one: getattr(one, name))
        axes.plot([getattr(one, name) for one in line], [one.seconds for one in line], marker="o")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    first = figure.axes[0]  # all share its scale
    first.set_ylim(0, 1.05 * max(one.seconds for one in found))
    first.set_ylabel("seconds an image")
    return svg(figure)
