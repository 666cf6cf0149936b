"""`nulltext train`: the recipe that made the embedded model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nulltext.cli import options, terminal


def train(
    output: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write the checkpoint.", show_default=False)
    ],
    hours: Annotated[float, typer.Option(min=0, help="Training time in all, shared out among the stages.")] = 6.0,
    work: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Rendered pictures and training states; kept, to go on from.")
    ] = Path("nulltext-training"),
    pictures: Annotated[
        int, typer.Option(min=128, max=10_000_000, help="How many pictures to render and train on.")
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
    autoencoder_hours: Annotated[float | None, typer.Option(min=0, help="The autoencoder's own time.")] = None,
    clip_hours: Annotated[float | None, typer.Option(min=0, help="CLIP's own time.")] = None,
    unet_hours: Annotated[float | None, typer.Option(min=0, help="The UNet's own time.")] = None,
    judges_hours: Annotated[float | None, typer.Option(min=0, help="The judges' own time.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure on at most so many pictures of each kind.")] = None,
    seed: options.Seed = 0,
    force: options.Force = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train the small model from nothing but rendered pictures, measure it, and write the checkpoint.

    The same command goes on where an interrupted one stopped.
    """
    from dataclasses import asdict
    from importlib.util import find_spec

    from nulltext import load
    from nulltext.bench.embedded_model import measure_model
    from nulltext.cli import outputs
    from nulltext.errors import SettingError
    from nulltext.judges import Judges
    from nulltext.models import embedded
    from nulltext.models.clip import Clip
    from nulltext.models.loading import EMBEDDED
    from nulltext.training.checkpoint import stamp
    from nulltext.training.recipe import Recipe, run

    if find_spec("skimage") is None:
        raise SettingError(
            "the checkpoint is measured on photographs of scikit-image, which is not installed. "
            "Run: pip install 'nulltext[bench]'."
        )
    folder = outputs.folder_path(output).resolve()  # a name alone, such as "scenes", may mean another model
    outputs.check_all([folder / "model_index.json"], force=force)
    outputs.folder_path(work)
    own = {"autoencoder": autoencoder_hours, "clip": clip_hours, "unet": unet_hours, "judges": judges_hours}
    seconds = Recipe.budget(hours) | {stage: time * 3600 for stage, time in own.items() if time is not None}
    with terminal.progress() as on_progress:
        run(
            Recipe(pictures=pictures, seconds=seconds, seed=seed, device=device),
            folder,
            work=work,
            start=embedded.FOLDER if start == EMBEDDED else Path(start) if start else None,
            on_progress=on_progress,
        )
        figures = measure_model(
            load(folder, device=device),
            clip=Clip.load(folder / "clip"),
            judges=Judges.load(folder / "judges.safetensors"),
            limit=limit,
            on_progress=on_progress,
        )
    stamp(folder, {"scores": asdict(figures)})
    if json:
        terminal.print_json(asdict(figures))
        return
    from nulltext.cli.bench import show

    show(figures)
    terminal.show(f"checkpoint: {output}")
