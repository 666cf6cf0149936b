"""The renderer: the same image every time, masks that fit, and edits that change only what they should."""

import dataclasses
import time

import pytest
import torch

from nulltext.scenes.captions import one_word_edits
from nulltext.scenes.placement import middles
from nulltext.scenes.renderer import render
from nulltext.scenes.world import GROUNDS, SHAPES, STYLES, TIMES, Scene, Thing, sample_scene

BALL = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")


def test_pixels_and_masks_have_their_ranges() -> None:
    rendering = render([sample_scene(seed) for seed in range(8)])
    assert rendering.pixels.shape == (8, 3, 128, 128)
    assert rendering.masks.shape == (8, 3, 128, 128)
    assert rendering.pixels.isfinite().all()
    assert rendering.pixels.amin() >= -1
    assert rendering.pixels.amax() <= 1
    assert rendering.masks.amin() >= 0
    assert rendering.masks.sum(1).amax() <= 1 + 1e-5


def test_the_same_scene_is_the_same_image_alone_or_in_company() -> None:
    scenes = [sample_scene(seed) for seed in range(6)]
    batched = render(scenes)
    for index, scene in enumerate(scenes):
        single = render([scene])
        torch.testing.assert_close(single.pixels[0], batched.pixels[index], atol=1e-4, rtol=0)
        torch.testing.assert_close(single.masks[0], batched.masks[index], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (256, 128), (16, 16)])
def test_any_size(height: int, width: int) -> None:
    rendering = render([BALL], height=height, width=width)
    assert rendering.pixels.shape == (1, 3, height, width)
    large = render([BALL], height=2 * height, width=2 * width).masks
    halved = torch.nn.functional.avg_pool2d(large, 2)
    assert (halved - rendering.masks).abs().mean() < 0.02


def test_things_are_large_enough_to_see_an_edit() -> None:
    scenes = [sample_scene(seed, things=1) for seed in range(96)]
    cover = render(scenes).masks[:, 0].mean((1, 2))
    assert cover.median() >= 0.12


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_seen(shape: str) -> None:
    scene = dataclasses.replace(BALL, things=(Thing(shape=shape, color="red"),))
    mask = render([scene]).masks[0, 0]
    assert 0.05 < mask.mean() < 0.4
    edge = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert edge.max() == 0


def test_the_middle_of_a_thing_is_where_it_is_seen() -> None:
    scenes = [sample_scene(seed, things=1 + seed % 3) for seed in range(12)]
    rendering = render(scenes, height=96, width=128)
    for scene, masks in zip(scenes, rendering.masks, strict=True):
        for (x, y), mask in zip(middles(scene), masks, strict=False):
            rows, columns = (mask.sum(dim).double() / mask.sum() for dim in (1, 0))
            row, column = (weights @ torch.arange(len(weights)).double() for weights in (rows, columns))
            assert abs(48 * (1 - y) - row) < 12  # the middle of what is hidden, and of thin parts, lies elsewhere
            assert abs(64 + 48 * x - column) < 5


def test_a_change_of_colour_stays_inside_the_mask() -> None:
    blue = dataclasses.replace(BALL, things=(dataclasses.replace(BALL.things[0], color="blue"),))
    rendering = render([BALL, blue])
    change = (rendering.pixels[0] - rendering.pixels[1]).abs().amax(0)
    outside = rendering.masks[0, 0] == 0
    assert change[outside].max() < 1e-6
    assert change[rendering.masks[0, 0] > 0.9].mean() > 0.3


def test_a_change_of_ground_leaves_the_sky() -> None:
    sand = dataclasses.replace(BALL, ground="sand")
    rendering = render([BALL, sand])
    change = (rendering.pixels[0] - rendering.pixels[1]).abs().amax(0)
    assert change[:20].max() < 1e-6
    assert change[-20:].mean() > 0.05


def test_every_ground_time_and_style_looks_different() -> None:
    for attribute, words in (("ground", GROUNDS), ("time", TIMES), ("style", STYLES)):
        images = render([dataclasses.replace(BALL, **{attribute: word}) for word in words]).pixels
        for i in range(len(words)):
            for j in range(i):
                assert (images[i] - images[j]).abs().mean() > 0.03, (words[i], words[j])


def test_left_and_right() -> None:
    things = (Thing(shape="ball", color="red"), Thing(shape="cube", color="blue"))
    masks = render([dataclasses.replace(BALL, things=things, relation=side) for side in ("left", "right")]).masks
    columns = torch.arange(128.0)
    first, second = ((masks[:, k].sum(1) * columns).sum(1) / masks[:, k].sum((1, 2)) for k in (0, 1))
    assert first[0] < second[0]
    assert first[1] > second[1]


def test_what_stands_behind_is_covered_by_what_stands_before() -> None:
    things = (Thing(shape="cube", color="red", dx=0.2), Thing(shape="ball", color="blue", dx=-0.2))
    scene = dataclasses.replace(BALL, things=things, relation="behind")
    both = render([scene]).masks[0]
    assert (both[0] * both[1] > 0.5).sum() == 0
    assert both[0].sum() > 200


def test_every_edit_of_a_scene_can_be_drawn() -> None:
    edits = [edited for _, edited in one_word_edits(sample_scene(4, things=2))]
    assert render(edits[:40], height=32, width=32).pixels.isfinite().all()


def test_too_small_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        render([BALL], height=8)
    with pytest.raises(ValueError, match="got 0 scenes"):
        render([])


@pytest.mark.slow
def test_forty_images_a_second() -> None:
    scenes = [sample_scene(seed) for seed in range(128)]
    render(scenes[:32])
    start = time.perf_counter()
    for first in range(0, 128, 32):
        render(scenes[first : first + 32])
    assert 128 / (time.perf_counter() - start) >= 40
