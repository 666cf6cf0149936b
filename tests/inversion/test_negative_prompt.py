import pytest
import torch

from nulltext import DDIM, FixedPoint, NegativePrompt, reconstruct
from nulltext.bench.cost import measured
from nulltext.errors import SettingError

PROMPT = "a red ball on grass"


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
@pytest.mark.parametrize("guidance", [3.0, 7.5])
def test_the_reconstruction_is_that_of_no_guidance(any_model, source_image, guidance):
    inversion = NegativePrompt(steps=10, guidance=guidance)(any_model, source_image, PROMPT)
    plain = DDIM(steps=10)(any_model, source_image, PROMPT)
    assert torch.equal(inversion.pivot, plain.pivot)
    torch.testing.assert_close(
        inversion.replay.nulls, any_model.embed([PROMPT]).text.expand(10, -1, -1), rtol=0, atol=0
    )
    torch.testing.assert_close(reconstruct(any_model, inversion), reconstruct(any_model, plain), rtol=0, atol=1e-4)
    assert inversion.scores.psnr == pytest.approx(plain.scores.psnr, abs=1e-3)


def test_a_solved_pivot_reaches_the_autoencoders_bound(model, source_image):
    inversion = NegativePrompt(steps=10, guidance=7.5, fixed_point=FixedPoint(iterations=20))(
        model, source_image, PROMPT
    )
    assert inversion.scores.psnr == pytest.approx(inversion.scores.vae_psnr, abs=0.01)


def test_nothing_is_optimised(model, source_image):
    _, cost = measured(model, lambda: NegativePrompt(steps=5, guidance=3.0)(model, source_image, PROMPT))
    assert (cost.forwards, cost.backwards) == (5 + 5, 0)


def test_bad_settings():
    with pytest.raises(SettingError, match="DDIM"):
        NegativePrompt(guidance=1.0)
