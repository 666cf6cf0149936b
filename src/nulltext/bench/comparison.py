"""Null-text inversion beside the methods that the paper compares it with."""

from functools import partial

from nulltext.bench.candidates import Candidate, always
from nulltext.bench.cases import Case
from nulltext.bench.measures import clip_measures, source_measures, success_measure, truth_measures
from nulltext.bench.report import Column, Report
from nulltext.bench.run import run
from nulltext.bench.studies import SECONDS, Setting
from nulltext.editing.blend import Blend
from nulltext.editing.methods.caption_swap import CaptionSwap
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.editing.methods.sdedit import SDEdit
from nulltext.editing.methods.text2live import Text2LIVE
from nulltext.editing.methods.vqgan_clip import VQGANCLIP
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.judges import Judges
from nulltext.models.base import Model
from nulltext.models.clip import Clip

PICTURES = 32
STRENGTHS = (0.5, 0.8)
"""Of SDEdit."""
COLUMNS = (
    Column(name="success", label="success", digits=2),
    Column(name="outside_truth", label="PSNR outside the edit, dB"),
    Column(name="psnr_truth", label="PSNR to the true edit, dB"),
    Column(name="ssim_truth", label="SSIM to the true edit", digits=3),
    Column(name="clip_text_target", label="CLIP Img2Text target", digits=3),
    Column(name="clip_directional", label="CLIP directional", digits=3),
    SECONDS,
)


def compare_methods(model: Model, setting: Setting, *, iterations: int | None = None) -> Report:
    """Edits pictures by SDEdit, VQGAN+CLIP's way, Text2LIVE's way, DDIM inversion, and null-text inversion.

    Args:
        model: The model.
        setting: How to run it; 32 pictures if it sets no limit.
        iterations: Of VQGAN+CLIP and of Text2LIVE; their own if None.
    """
    w = setting.weight(model)
    ddim = always(DDIM(steps=setting.steps))
    null_text = always(NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w))
    candidates = (
        *(
            Candidate(
                name=f"SDEdit {strength:g}",
                inverter=ddim,
                editor=partial(_sdedit, strength=strength, guidance=w),
                inverts=False,
            )
            for strength in STRENGTHS
        ),
        Candidate(
            name="VQGAN+CLIP",
            inverter=ddim,
            editor=partial(_vqgan_clip, clip=setting.clip, iterations=iterations),
            inverts=False,
        ),
        Candidate(
            name="Text2LIVE",
            inverter=ddim,
            editor=partial(_text2live, clip=setting.clip, iterations=iterations),
            inverts=False,
        ),
        Candidate(name="DDIM inversion", inverter=ddim, editor=always(CaptionSwap(guidance=w))),
        Candidate(name="null-text + P2P", inverter=null_text, editor=always(PromptToPrompt())),
        Candidate(name="null-text + P2P, blend", inverter=null_text, editor=blended),
    )
    measures = {
        **source_measures(),
        **truth_measures(),
        **clip_measures(setting.clip),
        **success_measure(Judges.load()),
    }
    rows = run(
        model,
        setting.entries(model, PICTURES),
        candidates,
        measures,
        setting.folder,
        workers=setting.workers,
        on_progress=setting.on_progress,
    )
    return Report(
        title="Methods compared",
        command=setting.command("compare", model),
        options=setting.options(model, iterations=iterations or "their own"),
        columns=COLUMNS,
        rows=rows,
    )


def blended(case: Case) -> PromptToPrompt:
    """Prompt-to-Prompt, kept where the words are that the case names, if it names any."""
    return PromptToPrompt(blend=None if case.blend is None else Blend(*case.blend))


def _sdedit(case: Case, *, strength: float, guidance: float) -> SDEdit:
    return SDEdit(strength=strength, guidance=guidance, seed=case.seed)


def _vqgan_clip(case: Case, *, clip: Clip, iterations: int | None) -> VQGANCLIP:
    return VQGANCLIP(iterations=iterations or VQGANCLIP.iterations, seed=case.seed, clip=clip)


def _text2live(case: Case, *, clip: Clip, iterations: int | None) -> Text2LIVE:
    return Text2LIVE(iterations=iterations, seed=case.seed, clip=clip)
