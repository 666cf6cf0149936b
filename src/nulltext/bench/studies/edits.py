"""Edits whose right answer is known: the renderer draws the very image that the target prompt asks for."""

import time
from collections.abc import Sequence
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.cases.scenes import EDITED, LOCAL, scene_image
from nulltext.bench.studies.editors import EDITORS
from nulltext.bench.study import Fact, Setting, Study, scenes
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """Null-text inversion, edited from by the plain prompt swap and by Prompt-to-Prompt."""
    w = setting.weight(model)
    inverter = always(NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w))
    return [Candidate(name=name, inverter=inverter, editor=editor) for name, editor in EDITORS.items()]


def four_edits_cost(model: Model, setting: Setting) -> float:
    """The time of four prompts in one batch over that of one, the best of two tries each."""
    scene = sample_scene(HELD_OUT_SEEDS[EDITED], things=1)
    inversion = DDIM(steps=setting.steps)(model, *scene_image(scene, model))
    prompts = [caption(after) for _, after in one_word_edits(scene)][:4]

    def seconds(prompts: Sequence[str]) -> float:
        tries: list[float] = []
        for _ in range(2):
            start = time.perf_counter()
            PromptToPrompt(guidance=model.guidance)(model, inversion, prompts)
            tries.append(time.perf_counter() - start)
        return min(tries)

    return seconds(prompts) / seconds(prompts[:1])


STUDY = Study(
    name="edits",
    title="Edits of {images} held-out scenes at w={w}, against what they should become",
    candidates=candidates,
    cases=partial(scenes, count=60, exact=True),
    columns=("success", "outside_truth", "psnr_truth", "ssim_truth"),
    edits_at_once=16,
    groups={"local": LOCAL},
    every_kind=True,
    facts={"four_edits_cost": Fact(text="four prompts in one batch cost {:.2f} times one", measure=four_edits_cost)},
)
