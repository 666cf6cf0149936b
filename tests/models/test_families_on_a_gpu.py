"""Every family's tiny model on a GPU, against the same on the CPU."""

import pytest
import torch
from tests.models.tiny.families import DIRECT, FAMILIES, PROMPT, TARGET

import nulltext
from nulltext.diffusion.sharing import descend

pytestmark = [pytest.mark.cuda, pytest.mark.filterwarnings("ignore:the model was made for images")]
NEAR = 2e-2
"""By how much of their length numbers may differ: convolutions are in TF32 there."""


@pytest.mark.parametrize("name", FAMILIES)
def test_an_inversion_and_an_edit(tiny, name, gpu):
    family = tiny(name)
    there = nulltext.load(family.folder, device=gpu, dtype="float32")
    inversion = DIRECT(there, family.source, PROMPT)
    assert (inversion.pivot - family.direct.pivot).norm() < NEAR * family.direct.pivot.norm()
    editor = family.row.edited or nulltext.PromptToPrompt()
    edits = [editor(model, family.direct, TARGET) for model in (there, family.model)]
    assert (edits[0].pixels - edits[1].pixels).norm() < NEAR * edits[1].pixels.norm()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [name for name, row in FAMILIES.items() if row.halves])
def test_the_gradient_in_half_precision(tiny, name, dtype, gpu):
    family = tiny(name)
    half = nulltext.load(family.folder, device=gpu, dtype=dtype)
    error, gradient = descend(half, family.noise(0).to(gpu), 500.0, half.null(), lambda output: output.square().mean())
    assert error.isfinite()
    assert gradient.isfinite().all()
    assert gradient.device.type == torch.device(gpu).type
    assert gradient.abs().max() > 0
