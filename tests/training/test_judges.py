"""What the judges are trained on."""

import torch

from nulltext.training.judges import disturbed


def test_disturbed_images_stay_in_their_order() -> None:
    grey = torch.linspace(-0.9, 0.9, 16)
    pixels = grey[:, None, None, None].expand(16, 3, 128, 128)
    noisy = disturbed(pixels, torch.Generator().manual_seed(0))
    assert noisy.shape == pixels.shape
    assert torch.equal(noisy[:4], pixels[:4])
    # The gain of an image is 1 with a deviation of a tenth.
    torch.testing.assert_close(noisy.mean((1, 2, 3)), grey, rtol=0.4, atol=0.02)


def test_every_other_image_is_mirrored() -> None:
    pixels = torch.linspace(-1, 1, 128).expand(16, 3, 128, 128)
    noisy = disturbed(pixels, torch.Generator().manual_seed(0))
    rises = noisy[..., 96:].mean((1, 2, 3)) > noisy[..., :32].mean((1, 2, 3))
    assert rises.tolist() == [False, True] * 8
    assert pixels[0, 0, 0, 0] == -1
