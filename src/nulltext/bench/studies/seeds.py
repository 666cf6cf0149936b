"""What null-text inversion adds: images generated, edited from plain DDIM inversion, and from null-text inversion."""

from collections.abc import Sequence
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case
from nulltext.bench.study import Setting, Study
from nulltext.bench.table import CLIP, SOURCE, TRUTH
from nulltext.editing.methods.from_noise import FromNoise
from nulltext.editing.methods.prompt_swap import PromptSwap
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """The methods compared."""
    w = setting.weight(model)
    ddim = always(DDIM(steps=setting.steps))
    null_text = always(NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w))
    return (
        Candidate(name="generated", inverter=ddim, editor=partial(_generated, guidance=w), inverts=False),
        Candidate(name="DDIM inversion", inverter=ddim, editor=always(PromptSwap(guidance=w))),
        Candidate(name="null-text", inverter=null_text, editor=always(PromptToPrompt())),
    )


def _generated(case: Case, *, guidance: float) -> FromNoise:
    return FromNoise(guidance=guidance, seed=case.seed)


STUDY = Study(
    name="seeds",
    title="Generated, DDIM inversion, null-text",
    candidates=candidates,
    columns=(
        "ssim_source",
        "clip_image_target",
        "clip_image_source",
        "clip_text_target",
        "clip_text_source",
        "psnr_truth",
        "seconds",
    ),
    measured=(*SOURCE, *TRUTH, *CLIP),
)
