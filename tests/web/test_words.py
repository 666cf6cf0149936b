import pytest

from nulltext.text.words import different_words
from nulltext.web.words import changed_words


def test_words_once_each():
    assert different_words("A red ball, a blue ball; it's RED.") == ["A", "red", "ball", "blue", "it", "s"]
    assert different_words("ein süßer Hund") == ["ein", "süßer", "Hund"]
    assert different_words(" ,.") == []


@pytest.mark.parametrize(
    ("source", "target", "changed"),
    [
        ("a red ball", "a red ball", []),
        ("a red ball", "A RED, ball!", []),
        ("a red ball", "a blue ball", ["blue"]),
        ("a ball", "a big blue ball", ["big", "blue"]),
        ("a red ball", "a ball", []),
        ("", "a ball", ["a", "ball"]),
        ("a cat and a dog", "a dog and a dog", ["dog"]),
    ],
)
def test_changed_words(source, target, changed):
    assert changed_words(source, target) == changed
