import pytest
import torch

from nulltext.models.gradients import ScaledGradient, clamp


@pytest.mark.parametrize("size", [1e-12, 3e-7, 1.0, 1e6])
def test_survives_half_precision(size):
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).half()
    text = torch.ones(3, 6, requires_grad=True)
    scaled = ScaledGradient()
    output = scaled.leave((scaled.enter(text).half() @ weight).float())
    incoming = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) * size
    output.backward(incoming)
    torch.testing.assert_close(text.grad, incoming @ weight.T.float(), rtol=5e-3, atol=5e-3 * size)


def test_is_the_identity_forwards_and_at_zero():
    text = torch.randn(2, 3, requires_grad=True)
    scaled = ScaledGradient()
    output = scaled.leave(scaled.enter(text))
    assert torch.equal(output, text)
    output.backward(torch.zeros(2, 3))
    assert text.grad.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_clamp_lets_gradients_through_that_lead_back_inside():
    x = torch.tensor([-2.0, -2.0, 0.5, 0.5, 2.0, 2.0], requires_grad=True)
    clamped = clamp(x, -1.0, 1.0)
    assert clamped.tolist() == [-1, -1, 0.5, 0.5, 1, 1]
    clamped.backward(torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0, -3.0]))
    # A descent goes against the gradient: from -2 upwards, from 2 downwards.
    assert x.grad.tolist() == [0, -3, 3, -3, 3, 0]
