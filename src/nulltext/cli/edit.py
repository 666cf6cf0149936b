"""`nulltext edit`: an inversion file and new captions in, pictures out, by Prompt-to-Prompt."""

import time
from pathlib import Path
from typing import Annotated

import typer

from nulltext.cli import controls, options, outputs, terminal
from nulltext.cli.models import load_for
from nulltext.errors import SettingError


def edit(
    file: options.InversionFile,
    captions: Annotated[
        list[str], typer.Argument(metavar="CAPTION...", help="One new caption or several.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A picture file for one caption, a folder for several; named after file and caption if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    reconstruction: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Write the source, drawn again, there.", rich_help_panel="Output"),
    ] = None,
    cross: controls.Cross = None,
    self_share: controls.Self = None,
    self_tokens: controls.SelfTokens = None,
    kind: controls.Kind = "auto",
    weight: controls.Weight = None,
    blend: controls.BlendWords = None,
    mask: controls.DrawnMask = None,
    keep_out: controls.KeepOut = None,
    threshold: controls.Threshold = None,
    blend_start: controls.BlendStart = None,
    chain: Annotated[
        bool,
        typer.Option(
            "--chain", help="Each caption edits the result of the one before.", rich_help_panel=controls.PANEL
        ),
    ] = False,
    hold_source: Annotated[
        bool,
        typer.Option(
            "--hold-source",
            help="Put the source back on its path after every step: exact for any inversion.",
            rich_help_panel=controls.PANEL,
        ),
    ] = False,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Only swap the caption, and leave attention alone.", rich_help_panel=controls.PANEL
        ),
    ] = False,
    maps: Annotated[
        bool,
        typer.Option(
            "--maps", help="Also write where every word looks, and the masks of a blend.", rich_help_panel="Output"
        ),
    ] = False,
    guidance: Annotated[
        float | None, typer.Option(help="The weight w; the file's own if not given, and for null-text no other.")
    ] = None,
    model: options.FileModel = None,
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    low_memory: options.LowMemory = False,
    force: options.Force = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Draw an inverted photograph under other captions: one picture for each.

    The caption it was inverted with, with a word or two changed or added, works best; `nulltext show FILE` prints it.
    If too much of the photograph changes, raise --self and --cross or name what changes with --blend; if the edit is
    hardly seen, lower them or give its word more --weight.
    """
    paths = outputs.edit_paths(captions, output, file.stem)
    check = [] if reconstruction is None else [outputs.picture_path(reconstruction)]
    blending = controls.read_blend(blend, mask=mask, keep_out=keep_out or (), threshold=threshold, start=blend_start)
    masks = [path.with_name(f"{path.stem}-mask.png") for path in paths] if maps and blending else []
    sheet = [paths[0].with_name(f"{paths[0].stem if len(paths) == 1 else file.stem}-maps.png")] if maps else []
    outputs.check_all([*paths, *check, *masks, *sheet], force=force)
    controlled = {
        "--cross": cross,
        "--self": self_share,
        "--self-tokens": self_tokens,
        "--kind": kind != "auto",
        "--weight": weight,
        "--blend": blend,
        "--mask": mask,
        "--keep-out": keep_out,
        "--chain": chain,
        "--hold-source": hold_source,
        "--maps": maps,
    }
    given = [name for name, value in controlled.items() if value]
    if plain and given:
        raise SettingError(f"got --plain and {', '.join(given)} of Prompt-to-Prompt; expected one or the other.")

    from nulltext import CaptionSwap, Inversion, PromptToPrompt

    method = (
        CaptionSwap(guidance=guidance)
        if plain
        else controls.editor(
            cross=cross,
            self_share=self_share,
            self_tokens=self_tokens,
            kind=kind,
            weights=weight,
            blend=blending,
            chain=chain,
            hold_source=hold_source,
            maps=maps,
            guidance=guidance,
        )
    )
    inversion = Inversion.load(file)
    loaded = load_for(inversion.model, model, config=config, device=device, dtype=dtype, low_memory=low_memory)
    left = {} if isinstance(method, CaptionSwap) else controls.left_to(loaded, method)
    start = time.perf_counter()
    with terminal.progress() as on_progress:
        result = method(loaded, inversion, captions, on_progress)
    seconds = time.perf_counter() - start
    for path, image in zip(paths, result.images, strict=True):
        outputs.write_picture(path, image, force=force)
    for path, image in zip(masks, result.mask_images if masks else [], strict=True):
        outputs.write_picture(path, image, force=force)
    for path in check:
        outputs.write_picture(path, result.reconstruction, force=force)
    if result.maps is not None:
        outputs.write_picture(sheet[0], result.maps.sheet(), force=force)

    if json:
        terminal.print_json(
            {
                "file": str(file),
                "source_caption": inversion.caption,
                "edits": [
                    {"caption": caption, "path": str(path), "kind": kind_of}
                    for caption, path, kind_of in zip(
                        captions, paths, result.kinds or ["plain"] * len(paths), strict=True
                    )
                ],
                "masks": [str(path) for path in masks],
                "maps": str(sheet[0]) if sheet else None,
                "reconstruction": None if reconstruction is None else str(reconstruction),
                "model": inversion.model.id,
                "guidance": inversion.guidance if guidance is None else guidance,
                "settings": [
                    controls.settings_of(editor) for editor in result.settings if isinstance(editor, PromptToPrompt)
                ],
                "left_to_the_model": left,
                "seconds": seconds,
            }
        )
        return
    for caption, kind_of in zip(captions, result.kinds, strict=False):
        terminal.say(f"{kind_of}: {caption}")
    for option, why in left.items():
        terminal.say(f"{option} {why}")
    terminal.show("\n".join(str(path) for path in [*paths, *masks, *check, *sheet]))
