"""The world: seeds, words, and what may stand in one scene."""

import dataclasses

import pytest

from nulltext.scenes.world import (
    COLORS,
    GROUNDS,
    HELD_OUT_SEEDS,
    SHAPES,
    TRAINING_SEEDS,
    Scene,
    Thing,
    sample_scene,
)


def test_a_seed_is_a_scene() -> None:
    assert [sample_scene(seed) for seed in range(20)] == [sample_scene(seed) for seed in range(20)]
    assert len({sample_scene(seed) for seed in range(200)}) == 200


def test_the_world_is_as_large_as_promised() -> None:
    assert len(SHAPES) >= 12
    assert len(COLORS) >= 10
    assert len(GROUNDS) >= 8


def test_training_and_held_out_seeds_do_not_meet() -> None:
    assert TRAINING_SEEDS.stop <= HELD_OUT_SEEDS.start


def test_every_word_occurs() -> None:
    scenes = [sample_scene(seed) for seed in range(2000)]
    assert {thing.shape for scene in scenes for thing in scene.things} == set(SHAPES)
    assert {thing.color for scene in scenes for thing in scene.things} == set(COLORS)
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    assert {scene.relation for scene in scenes} == {None, "left", "right", "behind"}
    assert {len(scene.things) for scene in scenes} == {1, 2, 3}


def test_things_of_one_scene_differ_in_shape_and_colour() -> None:
    for seed in range(500):
        things = sample_scene(seed, things=3).things
        assert len({thing.shape for thing in things}) == 3
        assert len({thing.color for thing in things}) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"ground": "lava"}, "ground: got 'lava'"),
        ({"time": "noon"}, "time"),
        ({"style": "fresco"}, "style"),
        ({"things": ()}, "things: got 0"),
        ({"relation": "left"}, "relation"),
        ({"things": (Thing(shape="dodo", color="red"),)}, "shape: got 'dodo'"),
    ],
)
def test_a_scene_outside_the_world_is_an_error(changed: dict[str, object], named: str) -> None:
    scene = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")
    with pytest.raises(ValueError, match=named):
        dataclasses.replace(scene, **changed)
