"""`nulltext verify`: whether a model does on this machine what it has to."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nulltext.cli import options, terminal
from nulltext.cli.command import SOME_FAILED
from nulltext.cli.models import Loading
from nulltext.errors import SettingError

if TYPE_CHECKING:
    from nulltext import Model
    from nulltext.bench.verify import Case


def verify(
    *,
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar="IMAGE", help="An image of your own, as often as wanted, each with its --prompt."),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(metavar="PROMPT", help="What an image shows, in the order of --image.")
    ] = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    size: options.Size = None,
    loading: Loading,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check that a model works on this machine: on three photographs of scikit-image, or on images of your own.

    Null-text and direct inversion against the bound of the autoencoder, an edit to the very same prompt against the
    reconstruction, and the denoiser in one precision against another. Ends with exit code 3 if a check fails.
    """
    del debug  # of the command itself
    images, prompts = image or [], prompt or []
    if len(images) != len(prompts):
        raise SettingError(
            f"got {len(images)} --image and {len(prompts)} --prompt; expected one prompt for each image."
        )
    wanted = options.parse_size(size)

    from nulltext.bench import verify as checks

    model = loading.load()
    with terminal.saying_warnings():
        cases = _cases(model, dict(zip(images, prompts, strict=True)), wanted)
    found: list[checks.Check] = []
    with terminal.progress() as on_progress:
        for check in checks.verify(model, cases, steps=steps, inner_steps=inner_steps, on_progress=on_progress):
            found.append(check)
            _tell(check, json=json)
        known, about = checks.answers(model, cases, steps), f"{model!r}"
        other = replace(loading, dtype="float16" if f"{model.dtype}" == "torch.float32" else "float32", compiled=False)
        del model  # which leaves its memory to the other
        for check in checks.compared(known, other.load):
            found.append(check)
            _tell(check, json=json)
    failed = sum(check.passed is False for check in found)
    if json:
        terminal.print_json({"model": about, "failed": failed, "checks": [asdict(check) for check in found]})
    else:
        terminal.show(f"{failed} of {len(found)} checks failed, {about}")
    if failed:
        raise typer.Exit(SOME_FAILED)


def _tell(check: object, *, json: bool) -> None:
    if not json:
        terminal.show(str(check))


def _cases(model: "Model", images: dict[Path, str], size: tuple[int, int] | None) -> "list[Case]":
    from nulltext import open_image
    from nulltext.bench.verify import Case, photographs

    if not images:
        return photographs(model, size)
    return [
        Case(name=path.name, image=open_image(path, model, size=size), prompt=prompt) for path, prompt in images.items()
    ]
