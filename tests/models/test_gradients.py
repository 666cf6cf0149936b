import pytest
import torch

from nulltext.models.gradients import ScaledGradient


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
