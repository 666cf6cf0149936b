import torch
from torch.nn import functional as F

from nulltext.editing.views import Views

SIZE = (32, 48)


def seeded():
    return torch.Generator().manual_seed(0)


def ramps():
    """Two images of 32 x 48: how far to the right, and how far down."""
    x, y = torch.linspace(-1, 1, 48).expand(32, 48), torch.linspace(-1, 1, 32)[:, None].expand(32, 48)
    return torch.stack([x, y])[:, None].expand(2, 3, 32, 48)


def test_without_any_change_views_are_the_image():
    torch.testing.assert_close(Views()(ramps()[:1], 2, SIZE, seeded()), ramps()[[0, 0]], rtol=0, atol=1e-5)


def test_crops_show_their_share_and_lie_inside():
    across, down = Views(smallest=0.5)(ramps(), 64, SIZE, seeded())[:, 0].chunk(2)
    for view, axis in ((across, -1), (down, -2)):
        low, high = view.amin((1, 2)), view.amax((1, 2))
        share = (high - low) / 2
        assert 0.45 < share.min() < 0.6
        assert 0.85 < share.max() <= 1
        assert (low < -0.8).any()
        assert (high > 0.8).any()
        assert (view.diff(dim=axis) > 0).all()  # neither turned nor mirrored


def test_tilted_corners_are_where_they_were_drawn():
    """Every corner of a view lies within `tilt` of the image's, and the views differ."""
    across, down = Views(tilt=0.2)(ramps(), 64, SIZE, seeded())[:, 0].chunk(2)
    for y in (0, -1):
        for x in (0, -1):
            off = torch.stack([across[:, y, x] - (1 if x else -1), down[:, y, x] - (1 if y else -1)])
            assert off.abs().max() < 0.5  # what falls outside is mirrored
            assert (off.abs() > 0.05).any(1).all()


def test_the_same_draws_for_every_image():
    images = ramps()
    views = Views(smallest=0.6, tilt=0.2, jitter=0.1, noise=0.1)(images[[0, 0]], 8, SIZE, seeded())
    assert torch.equal(views[:8], views[8:])
    assert not torch.equal(views[0], views[1])
    assert torch.equal(views[:8], Views(smallest=0.6, tilt=0.2, jitter=0.1, noise=0.1)(images[:1], 8, SIZE, seeded()))


def test_colours_and_noise_stay_within_their_bounds():
    grey = torch.zeros(1, 3, *SIZE)  # of brightness 1 when it is counted from black
    brightness = Views(jitter=0.2)(grey, 64, SIZE, seeded()).mean((1, 2, 3))
    assert 0.15 < brightness.abs().max() <= 0.2
    noise = Views(noise=0.3)(grey, 64, SIZE, seeded()).std((1, 2, 3))
    assert 0.25 < noise.max() < 0.32
    assert noise.min() < 0.05


def test_large_images_are_smoothed_before_they_are_made_small():
    lines = torch.ones(1, 3, 160, 160)
    lines[..., ::2] = -1  # one pixel wide: grey from afar
    assert Views()(lines, 1, (32, 32), seeded()).abs().max() < 0.1


def test_gradients_reach_the_image():
    image = ramps()[:1].clone().requires_grad_()
    F.mse_loss(
        Views(smallest=0.6, tilt=0.2, jitter=0.1, noise=0.1)(image, 4, (16, 16), seeded()), torch.ones(4, 3, 16, 16)
    ).backward()
    assert (image.grad != 0).float().mean() > 0.8
