"""What the towers of CLIP are taught to read."""

from dataclasses import replace

from nulltext.scenes.world import Scene, Thing, sample_scene
from nulltext.training.clip import READ, reading

BALL, CUBE, TREE = (
    Thing(shape="ball", color="red"),
    Thing(shape="cube", color="blue"),
    Thing(shape="tree", color="pink"),
)


def test_one_image_reads_alike_however_it_is_said() -> None:
    left = Scene(things=(BALL, CUBE, TREE), relation="left", ground="grass", time="sunny")
    right = replace(left, things=(CUBE, BALL, TREE), relation="right")
    assert reading(left) == reading(right)
    assert reading(left) != reading(replace(right, relation="left"))
    pair = Scene(things=(BALL, CUBE), relation="behind", ground="grass", time="sunny")
    assert reading(pair) != reading(replace(pair, things=(CUBE, BALL)))


def test_every_word_of_every_thing_is_read() -> None:
    for seed in range(60):
        scene = sample_scene(seed, things=1 + seed % 3)
        answers = reading(scene)
        assert len(answers) == len(READ)
        assert sum(word >= 0 for word in answers) == 4 + 4 * len(scene.things)
        assert all(word < words for word, words in zip(answers, READ.values(), strict=True))
