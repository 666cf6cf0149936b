"""The options that several commands share, each spelt and explained once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from nulltext.models.sizes import read_size

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="The embedded model (scenes), a hub id, a folder in diffusers' format, or a checkpoint file.",
        rich_help_panel="Model",
    ),
]
FileModel = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="The one named in the file if not given.", rich_help_panel="Model"
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="For a checkpoint file: a folder in diffusers' format, or a hub id, with the configs that it lacks.",
        rich_help_panel="Model",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1, mps; a GPU if there is one.", rich_help_panel="Model"),
]
Dtype = Annotated[
    Literal["float32", "tf32", "float16", "bfloat16"] | None,
    typer.Option(
        help="Precision inside the denoiser; float16 on CUDA, else float32. tf32 is of NVIDIA GPUs.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
LowMemory = Annotated[
    bool,
    typer.Option(
        "--low-memory", help="Slower, in less memory: for large models on small GPUs.", rich_help_panel="Model"
    ),
]
Compiled = Annotated[
    bool,
    typer.Option(
        "--compiled",
        help="Compile the network and compare its answers: minutes the first time, quicker from then on.",
        rich_help_panel="Model",
    ),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="FILE[=WEIGHT]",
        help="A LoRA, merged into the model; may be given several times.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
Vae = Annotated[
    str | None,
    typer.Option(metavar="FOLDER|FILE", help="An autoencoder in place of the model's own.", rich_help_panel="Model"),
]
Embedding = Annotated[
    list[str] | None,
    typer.Option(
        "--embedding",
        metavar="FILE",
        help="A word learnt by textual inversion; may be given several times.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
Chunks = Annotated[
    int,
    typer.Option(
        "--chunks",
        min=1,
        max=16,
        help="For prompts of so many times the tokens that the model reads: it reads one chunk after the other.",
        rich_help_panel="Model",
    ),
]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Height and width in pixels; the model's own if not given.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything drawn at random.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of the sampler, T.")]
InnerSteps = Annotated[int, typer.Option(min=1, help="At most so many optimiser steps at each of them, N.")]
Guidance = Annotated[float, typer.Option(help="The guidance scale w of classifier-free guidance.")]
ModelGuidance = Annotated[
    float | None,
    typer.Option(help="The guidance scale w of classifier-free guidance; what suits the model best if not given."),
]
NegativePrompt = Annotated[
    str | None,
    typer.Option(metavar="PROMPT", help="What guidance leads away from, in words; the null text if not given."),
]
FileGuidance = Annotated[
    float | None,
    typer.Option(help="The guidance scale w; the file's own if not given, and for null-text no other."),
]
FileNegativePrompt = Annotated[
    str | None,
    typer.Option(
        metavar="PROMPT",
        help="What guidance leads away from; the file's own if not given, and for null-text no other.",
    ),
]
InversionGuidance = Annotated[
    float | None,
    typer.Option(help="The guidance scale w that edits will use; the model's own, and for ddim 1, if not given."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel="Output")]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite what is already there.", rich_help_panel="Output")
]
Debug = Annotated[
    bool, typer.Option("--debug", help="On an error, show the whole stack trace.", rich_help_panel="Output")
]
MethodSteps = Annotated[int | None, typer.Option(min=1, help="Steps of the sampler, T; 50 if not given.")]
InversionFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="An inversion file, as `nulltext invert` writes it.", show_default=False)
]


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """How a command says what it did."""

    force: Force = False
    json: Json = False
    debug: Debug = False


def parse_size(size: str | None) -> tuple[int, int] | None:
    """(height, width) of "128x192"; None where none is given.

    Raises:
        SettingError: It is no size.
    """
    return None if size is None else read_size("--size", size)
