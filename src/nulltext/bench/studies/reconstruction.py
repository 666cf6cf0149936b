"""How close null-text inversion comes to what the autoencoder allows, and how far plain DDIM stays from it."""

import time
from collections.abc import Sequence

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import CaseSet
from nulltext.bench.cases.folder import read_folder
from nulltext.bench.cases.scenes import PHOTOGRAPHS, held_out_scenes, reconstruction_cases, scene_image
from nulltext.bench.cost import NO_EARLY_STOP
from nulltext.bench.study import Fact, Setting, Study
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model

SCENES = 64


def cases(model: Model, setting: Setting) -> CaseSet:
    """Held-out scenes and photographs, or the images of the folder `data`."""
    if setting.data is not None:
        return CaseSet(read_folder(setting.data)[: setting.limit])
    scenes, photos = setting.count(SCENES), setting.count(len(PHOTOGRAPHS))
    return CaseSet(reconstruction_cases(scenes, photos, size=model.default_size))


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """Null-text inversion, and plain DDIM inversion reconstructed at the same guidance."""
    w = setting.weight(model)
    null_text = NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w)
    return (
        Candidate(name="null-text inversion", inverter=always(null_text), editor=None),
        Candidate(name="plain DDIM inversion", inverter=always(DDIM(steps=setting.steps)), editor=None, guidance=w),
    )


def invert_seconds(model: Model, setting: Setting) -> float:
    """Of one null-text inversion with every inner step taken."""
    inverter = NullText(
        steps=setting.steps, inner_steps=setting.inner_steps, guidance=setting.weight(model), descent=NO_EARLY_STOP
    )
    image, prompt = scene_image(held_out_scenes(1)[0], model)
    start = time.perf_counter()
    inverter(model, image, prompt, setting.on_progress)
    return time.perf_counter() - start


STUDY = Study(
    name="reconstruction",
    title="Reconstruction at w={w}, T={T}, N={N}",
    candidates=candidates,
    cases=cases,
    columns=("psnr_source", "bound", "gap_to_vae"),
    every_kind=True,
    facts={"invert_seconds": Fact(text="one inversion without early stop: {:.1f} s", measure=invert_seconds)},
)
