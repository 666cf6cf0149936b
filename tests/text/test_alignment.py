"""Prompts aligned word by word and token by token."""

from itertools import combinations

import pytest

from nulltext.models.base import Model
from nulltext.text.alignment import align, pair_words


def longest_common(a: list[int], b: list[int]) -> int:
    """By trying every way to choose from `a`; slow and surely right."""
    for size in range(min(len(a), len(b)), 0, -1):
        for chosen in combinations(a, size):
            rest = iter(b)
            if all(token in rest for token in chosen):
                return size
    return 0


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, 3], [1, 9, 2, 3]),
        ([1, 2, 3], [2]),
        ([1, 2, 1, 2], [2, 1, 2, 1]),
        ([5, 6], [7, 8]),
        ([1, 2, 3, 4, 5], [5, 1, 3, 9, 4, 4]),
        ([], [1]),
        ([1], []),
    ],
)
def test_as_many_equal_tokens_as_possible_are_aligned_in_order(source: list[int], target: list[int]):
    found = align(source, target)
    pairs = [(i, j) for j, i in enumerate(found) if i is not None]
    assert len(found) == len(target)
    assert all(source[i] == target[j] for i, j in pairs)
    assert pairs == sorted(pairs)
    assert len({i for i, _ in pairs}) == len(pairs) == longest_common(source, target)


def test_of_equal_alignments_the_earlier_target_tokens_are_kept():
    assert align([1, 2], [1, 2, 2]) == [0, 1, None]
    assert align([1, 1], [1]) == [0]


def test_added_words_align_with_nothing(model: Model):
    source, target = model.tokenize("a cat on grass"), model.tokenize("a red cat on blue grass")
    found = align(source.ids, target.ids)
    new = [position for position, token in enumerate(found) if token is None]
    assert new == sorted(target.find("red") + target.find("blue"))


def test_words_are_paired_in_order(model: Model):
    source, target = model.tokenize("a cat on grass"), model.tokenize("a tiger on grass")
    assert pair_words(source, target) == [
        ([1], [1]), ([2], [2, 3, 4, 5, 6]), ([3], [7]), ([4], [8]),
    ]  # fmt: skip
    assert pair_words(source, model.tokenize("a cat")) is None
