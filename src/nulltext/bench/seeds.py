"""What null-text inversion adds: pictures generated, edited from plain DDIM inversion, and from null-text inversion."""

from functools import partial

from nulltext.bench.candidates import Candidate, always
from nulltext.bench.cases import Case
from nulltext.bench.measures import clip_measures, source_measures, truth_measures
from nulltext.bench.report import Column, Report
from nulltext.bench.run import run
from nulltext.bench.studies import SECONDS, Setting
from nulltext.editing.methods.caption_swap import CaptionSwap
from nulltext.editing.methods.from_noise import FromNoise
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model

PICTURES = 32
COLUMNS = (
    Column(name="ssim_source", label="SSIM source", digits=3),
    Column(name="clip_image_target", label="CLIP Img2Img target", digits=3),
    Column(name="clip_image_source", label="CLIP Img2Img source", digits=3),
    Column(name="clip_text_target", label="CLIP Img2Text target", digits=3),
    Column(name="clip_text_source", label="CLIP Img2Text source", digits=3, better=""),
    Column(name="psnr_truth", label="PSNR truth, dB"),
    SECONDS,
)


def compare_seeds(model: Model, setting: Setting) -> Report:
    """Edits pictures in three ways: "generated", "DDIM inversion" and "null-text".

    Args:
        model: The model.
        setting: How to run it; 32 pictures if it sets no limit.
    """
    w = setting.weight(model)
    ddim = always(DDIM(steps=setting.steps))
    candidates = (
        Candidate(name="generated", inverter=ddim, editor=partial(_generated, guidance=w), inverts=False),
        Candidate(name="DDIM inversion", inverter=ddim, editor=always(CaptionSwap(guidance=w))),
        Candidate(
            name="null-text",
            inverter=always(NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w)),
            editor=always(PromptToPrompt()),
        ),
    )
    rows = run(
        model,
        setting.entries(model, PICTURES),
        candidates,
        {**source_measures(), **truth_measures(), **clip_measures(setting.clip)},
        setting.folder,
        workers=setting.workers,
        on_progress=setting.on_progress,
    )
    return Report(
        title="Generated, DDIM inversion, null-text",
        command=setting.command("seeds", model),
        options=setting.options(model),
        columns=COLUMNS,
        rows=rows,
    )


def _generated(case: Case, *, guidance: float) -> FromNoise:
    return FromNoise(guidance=guidance, seed=case.seed)
