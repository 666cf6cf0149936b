import pytest

pytest.importorskip("gradio")

from nulltext.web.events import _words_of
from nulltext.web.handlers import MOST_WORDS

EXPECTED = "a red ball on grass"


def sliders(values):
    """The words that sliders are shown for, and their values."""
    _, own, *fields = values
    assert len(fields) == MOST_WORDS
    shown = [field for field in fields if field["visible"]]
    assert [field["label"] for field in shown] == own
    return {field["label"]: field["value"] for field in shown}


def test_every_word_has_a_slider():
    ticks, _, *fields = values = _words_of(EXPECTED, "a blue ball", [], {})
    assert sliders(values) == {"a": 1, "blue": 1, "ball": 1}
    assert all(field["value"] == 1 for field in fields)
    assert ticks["choices"] == ["a", "red", "ball", "on", "grass", "blue"]
    assert ticks["value"] == []


def test_strengths_and_ticks_stay_with_their_words():
    values = _words_of(
        EXPECTED, "a big blue ball", ["ball", "cat", "red"], {"a": 1, "blue": 2.5, "ball": -1.0, "cat": 4.0}
    )
    assert sliders(values) == {"a": 1, "big": 1, "blue": 2.5, "ball": -1.0}
    assert values[0]["value"] == ["ball", "red"]


def test_a_word_that_is_taken_out_loses_its_strength():
    factors = sliders(_words_of(EXPECTED, "a ball on grass", [], {"blue": 2.5, "grass": 3.0}))
    assert factors == {"a": 1, "ball": 1, "on": 1, "grass": 3.0}


def test_more_words_than_sliders():
    many = " ".join(f"word{number}" for number in range(MOST_WORDS + 3))
    values = _words_of(EXPECTED, many, [], {f"word{MOST_WORDS + 1}": 2.0})
    assert len(sliders(values)) == len(values[1]) == MOST_WORDS
