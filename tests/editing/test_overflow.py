"""A network whose numbers overflow makes an error of whatever draws with it, and never an image."""

from typing import Any

import pytest
import torch

import nulltext
from nulltext.errors import DivergedError

EDITING = {
    "generate": lambda model, *_: nulltext.generate(model, "a cat", steps=2),
    "generate_inversion": lambda model, *_: nulltext.generate_inversion(model, "a cat", steps=2),
    "reconstruct": lambda model, inversion, _: nulltext.reconstruct(model, inversion),
    "attention_maps": lambda model, inversion, _: nulltext.attention_maps(model, inversion),
    **{
        type(editor).__name__: lambda model, inversion, _, editor=editor: editor(model, inversion, ["a cat"])
        for editor in (
            nulltext.PromptSwap(guidance=2.0),
            nulltext.FromNoise(),
            nulltext.PromptToPrompt(guidance=2.0),
            nulltext.SDEdit(),
        )
    },
    **{
        type(method).__name__: lambda model, _, source_image, method=method: method(model, source_image, "a cat")
        for method in (nulltext.DDIM(steps=2), nulltext.DirectInversion(steps=2), nulltext.NullText(steps=2))
    },
}


@pytest.fixture(scope="module")
def inverted(model, source_image):
    return nulltext.DDIM(steps=2)(model, source_image, "a cat")


@pytest.fixture(scope="module")
def overflowing(folder):
    model: Any = nulltext.load(folder("epsilon"), device="cpu", dtype="float16")
    with torch.no_grad():
        model.denoiser.conv_out.weight.fill_(torch.finfo(torch.float16).max)
    return model


@pytest.mark.parametrize("edit", EDITING.values(), ids=EDITING)
def test_overflow_is_no_image(edit, overflowing, inverted, source_image):
    with pytest.raises(DivergedError, match=r"not-a-number in torch.float16 .*expected finite numbers.*float32"):
        edit(overflowing, inverted, source_image)
