"""Null-text inversion beside the methods that the paper compares it with."""

from collections.abc import Sequence
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case
from nulltext.bench.studies.editors import blended
from nulltext.bench.study import Setting, Study
from nulltext.bench.table import CLIP, SOURCE, TRUTH
from nulltext.editing.methods.prompt_swap import PromptSwap
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.editing.methods.sdedit import SDEdit
from nulltext.editing.methods.text2live import Text2LIVE
from nulltext.editing.methods.vqgan_clip import VQGANCLIP
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model
from nulltext.models.clip import Clip

STRENGTHS = (0.5, 0.8)
"""Of SDEdit."""


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """SDEdit, VQGAN+CLIP's way, Text2LIVE's way, DDIM inversion, and null-text inversion."""
    w, iterations = setting.weight(model), setting.own.get("iterations")
    clip = Clip.load() if setting.clip is None else Clip.load(setting.clip)
    ddim = always(DDIM(steps=setting.steps))
    null_text = always(NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w))
    from_source = {
        **{f"SDEdit {strength:g}": partial(_sdedit, strength=strength, guidance=w) for strength in STRENGTHS},
        "VQGAN+CLIP": partial(_vqgan_clip, clip=clip, iterations=iterations),
        "Text2LIVE": partial(_text2live, clip=clip, iterations=iterations),
    }
    return (
        *(Candidate(name=name, inverter=ddim, editor=edit, inverts=False) for name, edit in from_source.items()),
        Candidate(name="DDIM inversion", inverter=ddim, editor=always(PromptSwap(guidance=w))),
        Candidate(name="null-text + P2P", inverter=null_text, editor=always(PromptToPrompt())),
        Candidate(name="null-text + P2P, blend", inverter=null_text, editor=blended),
    )


def _sdedit(case: Case, *, strength: float, guidance: float) -> SDEdit:
    return SDEdit(strength=strength, guidance=guidance, seed=case.seed)


def _vqgan_clip(case: Case, *, clip: Clip, iterations: int | None) -> VQGANCLIP:
    return VQGANCLIP(iterations=iterations or VQGANCLIP.iterations, seed=case.seed, clip=clip)


def _text2live(case: Case, *, clip: Clip, iterations: int | None) -> Text2LIVE:
    return Text2LIVE(iterations=iterations, seed=case.seed, clip=clip)


STUDY = Study(
    name="compare",
    title="Methods compared",
    candidates=candidates,
    columns=("success", "outside_truth", "psnr_truth", "ssim_truth", "clip_text_target", "clip_directional", "seconds"),
    measured=(*SOURCE, *TRUTH, *CLIP),
)
