import math

import pytest
import torch

from nulltext.diffusion.levels import Interval, NoiseLevel, combine, denoise, renoise, split

LEVEL = NoiseLevel(alpha=0.6, sigma=0.8)


def latents(seed=0):
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed))


def test_split_undoes_combine_for_epsilon():
    x0, eps = latents(1), latents(2)
    back = split(combine(x0, eps, LEVEL), eps, LEVEL, "epsilon")
    torch.testing.assert_close(back, (x0, eps))


def test_split_undoes_combine_for_v():
    x0, eps = latents(1), latents(2)
    v = LEVEL.alpha * eps - LEVEL.sigma * x0
    back = split(combine(x0, eps, LEVEL), v, LEVEL, "v_prediction")
    torch.testing.assert_close(back, (x0, eps))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_step_and_its_inverse_cancel_when_the_noise_is_the_same(prediction):
    interval = Interval(500.0, noisy=LEVEL, clean=NoiseLevel(math.sqrt(0.99), 0.1))
    x0, eps = latents(1), latents(2)

    def output(level):
        return eps if prediction == "epsilon" else level.alpha * eps - level.sigma * x0

    noisy, clean = combine(x0, eps, interval.noisy), combine(x0, eps, interval.clean)
    torch.testing.assert_close(denoise(noisy, output(interval.noisy), interval, prediction), clean)
    torch.testing.assert_close(renoise(clean, output(interval.clean), interval, prediction), noisy)


def test_v_tells_the_image_even_at_pure_noise():
    x0, eps = split(latents(1), latents(2), NoiseLevel(0.0, 1.0), "v_prediction")
    torch.testing.assert_close(x0, -latents(2))
    torch.testing.assert_close(eps, latents(1))
