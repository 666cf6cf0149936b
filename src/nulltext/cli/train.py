"""`nulltext train`: the recipe that made the embedded model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nulltext.cli import options, terminal
from nulltext.errors import SettingError

if TYPE_CHECKING:
    from nulltext.bench.embedded_model import ModelFigures
    from nulltext.progress import OnProgress


@dataclass(frozen=True, kw_only=True)
class StageHours:
    """Time of single stages, where it is not their share of all of it."""

    autoencoder_hours: Annotated[float | None, typer.Option(min=0, help="The autoencoder's own time.")] = None
    clip_hours: Annotated[float | None, typer.Option(min=0, help="CLIP's own time.")] = None
    unet_hours: Annotated[float | None, typer.Option(min=0, help="The UNet's own time.")] = None
    judges_hours: Annotated[float | None, typer.Option(min=0, help="The judges' own time.")] = None

    @property
    def seconds(self) -> dict[str, float]:
        """By stage."""
        return {name.removesuffix("_hours"): at * 3600 for name, at in asdict(self).items() if at is not None}


def train(
    output: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write the checkpoint.", show_default=False)
    ],
    *,
    hours: Annotated[float, typer.Option(min=0, help="Training time in all, shared out among the stages.")] = 6.0,
    work: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Rendered images and training states; kept, to go on from.")
    ] = Path("nulltext-training"),
    images: Annotated[
        int, typer.Option(min=128, max=10_000_000, help="How many images to render and train on.")
    ] = 40960,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to train.", rich_help_panel="Model")] = "cpu",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Go on from this checkpoint ('scenes' is the embedded one). Its encoder stays as it is, and with "
            "--unet-hours 0 its text tower.",
        ),
    ] = None,
    own: StageHours,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure on at most so many images of each kind.")] = None,
    seed: options.Seed = 0,
    reporting: options.Reporting,
) -> None:
    """Train the small model from nothing but rendered images, measure it, and write the checkpoint.

    The same command goes on where an interrupted one stopped.
    """
    from nulltext.cli import outputs
    from nulltext.models import embedded
    from nulltext.models.loading import EMBEDDED
    from nulltext.training.checkpoint import stamp
    from nulltext.training.recipe import Recipe, run

    _check_images()
    folder = outputs.folder_path(output).resolve()  # a name alone, such as "scenes", may mean another model
    outputs.check_all([folder / "model_index.json"], force=reporting.force)
    outputs.folder_path(work)
    seconds = Recipe.budget(hours) | own.seconds
    with terminal.progress() as on_progress:
        run(
            Recipe(images=images, seconds=seconds, seed=seed, device=device),
            folder,
            work=work,
            start=embedded.FOLDER if start == EMBEDDED else Path(start) if start else None,
            on_progress=on_progress,
        )
        figures = _measured(folder, device, limit, on_progress)
    stamp(folder, {"scores": asdict(figures)})
    if reporting.json:
        terminal.print_json(asdict(figures))
        return
    from nulltext.cli.bench import show

    show(figures)
    terminal.show(f"checkpoint: {output}")


def _check_images() -> None:
    from importlib.util import find_spec

    if find_spec("skimage") is None:
        raise SettingError(
            "the checkpoint is measured on photographs of scikit-image, which is not installed. "
            "Run: pip install 'nulltext[bench]'."
        )


def _measured(folder: Path, device: str, limit: int | None, on_progress: "OnProgress") -> "ModelFigures":
    from nulltext import load
    from nulltext.bench.embedded_model import measure_model
    from nulltext.judges import Judges
    from nulltext.models.clip import Clip

    return measure_model(
        load(folder, device=device),
        clip=Clip.load(folder / "clip"),
        judges=Judges.load(folder / "judges.safetensors"),
        limit=limit,
        on_progress=on_progress,
    )
