"""Captions say what matters, and one word changed is one attribute changed."""

import random

from nulltext.scenes.captions import WORDINGS, caption, near_misses, one_word_edits, rivals, vocabulary
from nulltext.scenes.world import Scene, Thing, sample_scene

STAR = Scene(things=(Thing(shape="star", color="red", pattern="striped", finish="shiny"),), ground="sand", time="night")


def test_the_plain_wording() -> None:
    assert caption(STAR) == "a photo of a shiny striped red star on sand at night"


def test_three_things_and_their_places() -> None:
    scene = Scene(
        things=(
            Thing(shape="ball", color="red"),
            Thing(shape="cube", color="blue"),
            Thing(shape="car", color="orange"),
        ),
        relation="left",
        ground="grass",
        time="sunny",
    )
    assert caption(scene) == (
        "a photo of a red ball to the left of a blue cube, with an orange car behind them on grass on a sunny day"
    )


def test_several_wordings_of_one_scene() -> None:
    assert len({caption(STAR, wording) for wording in range(len(WORDINGS))}) == len(WORDINGS)
    texts = {caption(STAR, None, seed=seed) for seed in range(60)}
    assert len(texts) > len(WORDINGS)
    assert caption(STAR, None, seed=3) == caption(STAR, None, seed=3)


def test_captions_tell_scenes_apart() -> None:
    for seed in range(100):
        scene = sample_scene(seed)
        edited = [caption(other) for _, other in one_word_edits(scene)]
        assert len(set(edited)) == len(edited)
        assert caption(scene) not in edited


def test_an_edit_changes_one_attribute_and_no_nuisance() -> None:
    kinds = set()
    for kind, edited in one_word_edits(STAR):
        kinds.add(kind)
        thing, before = edited.things[0], STAR.things[0]
        words = (thing.shape, thing.color, thing.pattern, thing.finish, edited.ground, edited.time, edited.style)
        was = (before.shape, before.color, before.pattern, before.finish, STAR.ground, STAR.time, STAR.style)
        assert sum(a != b for a, b in zip(words, was, strict=True)) == 1
        assert (thing.dx, thing.dz, thing.scale, thing.yaw) == (before.dx, before.dz, before.scale, before.yaw)
        assert (edited.light, edited.camera_height, edited.ground_shift) == (
            STAR.light,
            STAR.camera_height,
            STAR.ground_shift,
        )
    assert kinds == {"shape", "color", "pattern", "finish", "ground", "time", "style"}


def test_the_vocabulary_holds_every_word() -> None:
    words = set(vocabulary())
    for seed in range(500):
        assert set(caption(sample_scene(seed), None, seed=seed).replace(",", "").split()) <= words


def test_near_misses_are_one_word_edits() -> None:
    edits = {edited for _, edited in one_word_edits(STAR)}
    assert set(near_misses(STAR, 30, random.Random(0))) <= edits


def test_a_rival_says_another_term_of_the_same_kind_with_its_article() -> None:
    found = {(term, other): prompt for term, other, prompt in rivals(caption(STAR))}
    assert found["red", "blue"] == "a photo of a shiny striped blue star on sand at night"
    assert found["at night", "on a sunny day"] == "a photo of a shiny striped red star on sand on a sunny day"
    assert {term for term, _ in found} == {"photo", "shiny", "striped", "red", "star", "sand", "at night"}
    assert ("red", "orange", "an orange ball") in list(rivals("a red ball"))
    assert list(rivals("nothing of that kind")) == []
