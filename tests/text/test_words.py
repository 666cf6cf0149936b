"""Words are found wherever a user would see them."""

import pytest

from nulltext.errors import WordNotFoundError
from nulltext.models.base import Model
from nulltext.text.words import Tokens


@pytest.fixture
def cut(model: Model):
    """Cuts a prompt; the tiny tokenizer knows cat, dog, red, ball as one token each and spells all else."""
    return model.tokenize


def joined(tokens: Tokens, positions: list[int]) -> str:
    spans = dict.fromkeys(tokens.spans[position] for position in positions)  # a letter may have several tokens
    return "".join(tokens.prompt[slice(*span)] for span in spans if span is not None).lower()


def test_marks_stand_for_nothing(cut):
    tokens = cut("a cat")
    assert tokens.spans == (None, (0, 1), (2, 5), None)


@pytest.mark.parametrize(
    ("prompt", "word", "expected"),
    [
        ("a cat on grass", "cat", "cat"),
        ("a Cat, on grass", "cat", "cat"),
        ("a cat on grass", "CAT", "cat"),
        ("a tiger on grass", "tiger", "tiger"),
        ("a tiger, on grass", "tiger,", "tiger"),
        ("a cat  on\tgrass", "on grass", "ongrass"),
        ("a red t-shirt", "t-shirt", "t-shirt"),
        ("a red t-shirt", "shirt", "shirt"),
        ("a cat and a cat", "cat", "catcat"),
        ("a catfish, a cat", "cat", "cat"),
        ("a dog's ball", "dog", "dog"),
        ("a cat!", "!", "!"),
        ("a café cat", "café", "café"),
    ],
)
def test_words_are_found(cut, prompt: str, word: str, expected: str):
    tokens = cut(prompt)
    assert joined(tokens, tokens.find(word)) == expected
    assert tokens.has(word)


def test_a_word_of_many_tokens_has_them_all(cut):
    tokens = cut("a tiger")
    assert tokens.find("tiger") == [2, 3, 4, 5, 6]


def test_a_missing_word_names_near_ones(cut):
    tokens = cut("a red cat")
    with pytest.raises(WordNotFoundError, match=r"'cats' is not in the prompt 'a red cat'.*'cat'"):
        tokens.find("cats")
    assert not tokens.has("cats")


@pytest.mark.parametrize(
    ("prompt", "word", "near"),
    [
        ("a red dog", "DOGS", "dog"),
        ("a red DOG", "dogs", "DOG"),
        ("a Dog, a dog", "dOgs", "Dog"),
        ("a Tiger", "tigre", "Tiger"),
    ],
)
def test_near_words_are_near_whatever_their_capitals(cut, prompt: str, word: str, near: str):
    with pytest.raises(WordNotFoundError, match=rf"Did you mean '{near}'\?"):
        cut(prompt).find(word)


@pytest.mark.parametrize("word", ["at", "", "  ", "ca", ","])
def test_parts_of_words_and_nothing_are_no_words(cut, word: str):
    with pytest.raises(WordNotFoundError, match=r"It has: a, red, cat|Did you mean"):
        cut("a red cat").find(word)


def test_words_are_what_stands_between_blanks(cut):
    tokens = cut("a cat,  t-shirt")
    assert [joined(tokens, word) for word in tokens.words()] == ["a", "cat,", "t-shirt"]
