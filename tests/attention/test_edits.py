"""Replace, Refine and Reweight against the paper's formulas and the published method, written out plainly."""

from typing import Any

import pytest
import torch
from torch import Tensor

from nulltext.attention.control import Attention, Control
from nulltext.attention.follow import Follow
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.attention.reweight import Reweight
from nulltext.attention.sites import Site
from nulltext.attention.word_steps import WordSteps
from nulltext.models.base import Model
from nulltext.text.alignment import pair_words
from nulltext.text.words import Tokens

LENGTH = 24
SITE = Site("a", "cross", 4, 4)


def probs(count: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, 2, 16, LENGTH, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def made_of(control: Control, before: Tensor, step: int) -> Tensor:
    """What a control makes of probabilities."""
    states = [torch.zeros(1, *before.shape[:2], tokens, 4) for tokens in (*before.shape[2:], before.shape[3])]
    attention = Attention(query=states[0], key=states[1], value=states[2], scale=1.0).with_probs(before)
    return control(attention, SITE, step).probs()


def published_mapper(source: Tokens, target: Tokens) -> Tensor:
    """The word-swap mapper as the published method fills it: a walk over source position i and target position j."""
    mapper = torch.zeros(LENGTH, LENGTH)
    swapped = [
        (a, b)
        for a, b, x, y in zip(source.words(), target.words(), source.prompt.split(), target.prompt.split(), strict=True)
        if x != y
    ]
    i = j = 0
    while i < LENGTH and j < LENGTH:
        if swapped and swapped[0][0][0] == i:
            ours, theirs = swapped.pop(0)
            if len(ours) == len(theirs):
                for a, b in zip(ours, theirs, strict=True):
                    mapper[a, b] = 1
            else:
                for a in ours:
                    for b in theirs:
                        mapper[a, b] = 1 / len(theirs)
            i, j = i + len(ours), j + len(theirs)
        else:
            mapper[i if swapped else j, j] = 1
            i, j = i + 1, j + 1
    return mapper


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a cat on grass", "a dog on grass"),
        ("a cat on grass", "a cat on grass"),
        ("a red cat on grass", "a blue dog on grass"),
        ("a lion on grass", "a bear on grass"),
        ("a big lion", "a red bear"),
    ],
)
def test_replace_equals_the_published_method(model: Model, source: str, target: str):
    ours, theirs = model.tokenize(source), model.tokenize(target)
    pairs = pair_words(ours, theirs)
    assert pairs is not None
    before = probs()
    after = Replace.of(ours, theirs, pairs, LENGTH)(before[0], before[1])
    expected = torch.einsum("hqw,wn->hqn", before[0], published_mapper(ours, theirs))
    if len(ours.ids) != len(theirs.ids):  # behind the last swapped word the published method is off by the difference
        last = max(b[-1] for (a, b), x, y in zip(pairs, source.split(), target.split(), strict=True) if x != y)
        after, expected = after[..., : last + 1], expected[..., : last + 1]
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize(("word", "tokens"), [("dog", 1), ("ox", 2), ("tiger", 5)])
def test_replace_shares_a_words_attention_among_its_tokens(model: Model, word: str, tokens: int):
    source, target = model.tokenize("a cat on grass"), model.tokenize(f"a {word} on grass")
    pairs = pair_words(source, target)
    assert pairs is not None
    before = probs()
    after = Replace.of(source, target, pairs, LENGTH)(before[0], before[1])
    positions = target.find(word)
    assert len(positions) == tokens
    for position in positions:
        torch.testing.assert_close(after[..., position], before[0, ..., 2] / tokens)
    for same in ("a", "on", "grass"):
        torch.testing.assert_close(after[..., target.find(same)[0]], before[0, ..., source.find(same)[0]])
    torch.testing.assert_close(after[..., len(target.ids) - 1], before[0, ..., len(source.ids) - 1])
    torch.testing.assert_close(after[..., 0], before[0, ..., 0])


def test_replace_sums_the_tokens_of_a_long_word(model: Model):
    source, target = model.tokenize("a tiger on grass"), model.tokenize("a cat on grass")
    pairs = pair_words(source, target)
    assert pairs is not None
    before = probs()
    after = Replace.of(source, target, pairs, LENGTH)(before[0], before[1])
    torch.testing.assert_close(after[..., 2], before[0, ..., 2:7].sum(-1))
    assert (after.sum((0, 1)) > 0).all()  # no token is left without any attention, not even padding


def published_alignment(source: Tokens, target: Tokens) -> list[int]:
    """The refinement mapper as the published method fills it: Needleman and Wunsch's table of scores, traced back.

    Of steps that score alike it takes first a new target token, then a dropped source token, and a match last. A new
    token is -1, and behind the end mark every position answers to itself.
    """
    gap, match, mismatch = 0, 1, -1
    scores = {(i, 0): i * gap for i in range(len(source.ids) + 1)} | {
        (0, j): j * gap for j in range(len(target.ids) + 1)
    }
    taken: dict[tuple[int, int], str] = {}
    for i, ours in enumerate(source.ids, start=1):
        for j, theirs in enumerate(target.ids, start=1):
            ways = {
                "new": scores[i, j - 1] + gap,
                "dropped": scores[i - 1, j] + gap,
                "aligned": scores[i - 1, j - 1] + (match if ours == theirs else mismatch),
            }
            taken[i, j] = max(ways, key=lambda way: ways[way])  # the first of the best
            scores[i, j] = ways[taken[i, j]]
    mapper = [-1] * len(target.ids) + list(range(len(target.ids), LENGTH))
    i, j = len(source.ids), len(target.ids)
    while i > 0 and j > 0:
        way = taken[i, j]
        if way == "aligned":
            mapper[j - 1] = i - 1
        i, j = i - (way != "new"), j - (way != "dropped")
    return mapper


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a cat on grass", "a red cat on grass"),
        ("a cat on grass", "a tiger cat on blue grass"),
        ("a cat on grass", "a cat on grass"),
        ("a cat on grass", "a dog on grass"),
        ("a lion on grass", "a big bear on grass"),
        ("a cat", "a photo of a cat"),
        ("a cat and a dog", "a dog and a cat"),
        ("red red cat", "cat red red red cat"),
        ("a red cat on grass", "a cat"),
        ("a tiger, a red ball", "a ball"),
    ],
)
def test_refine_equals_the_published_method(model: Model, source: str, target: str):
    ours, theirs = model.tokenize(source), model.tokenize(target)
    before = probs()
    after = Refine.of(ours, theirs, LENGTH)(before[0], before[1])
    mapper = published_alignment(ours, theirs)
    assert mapper[0] == 0, "the marks of start answer to each other"
    assert mapper[len(theirs.ids) - 1] == len(ours.ids) - 1, "and so do those of the end"
    # Published: base[:, :, mapper] * alphas + own * (1 - alphas). In the paper: M_A(j), or M*_j where A(j) is nothing.
    alphas = torch.tensor([float(position != -1) for position in mapper])
    expected = before[0][:, :, mapper] * alphas + before[1] * (1 - alphas)
    if len(theirs.ids) < len(ours.ids):  # behind a shorter prompt the published method goes on with the source's words
        after, expected = after[..., : len(theirs.ids)], expected[..., : len(theirs.ids)]
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a red cat on grass", "a cat"),
        ("a cat on grass", "dog"),
        ("a tiger, a red ball", "a ball"),
        ("a b c d e f g h i j k l m n o p q r s t u v", "a cat"),  # the source has no padding
    ],
)
def test_padding_behind_a_shorter_prompt_follows_padding(model: Model, source: str, target: str):
    ours, theirs = model.tokenize(source), model.tokenize(target)
    before = probs()
    after = Refine.of(ours, theirs, LENGTH)(before[0], before[1])
    padding = LENGTH - len(ours.ids)
    first, own = len(theirs.ids), len(theirs.ids) + padding
    torch.testing.assert_close(after[..., first:own], before[0][..., len(ours.ids) :])
    torch.testing.assert_close(after[..., own:], before[1][..., own:])


def when(model: Model, prompts: list[str], share: Any = 1.0, words=None, steps: int = 10) -> WordSteps:
    tokens = [model.tokenize(prompt) for prompt in prompts]
    return WordSteps.of(tokens, [{"": share, **(words or {})}] * len(tokens), steps=steps, length=LENGTH)


def test_reweight_multiplies_the_tokens_of_a_word(model: Model):
    target = model.tokenize("a tiger on grass")
    factors = torch.ones(1, LENGTH)
    factors[0, target.find("tiger")] = -2.0
    before = probs()
    after = made_of(Reweight(factors, when(model, ["a tiger on grass"])), before, 0)
    torch.testing.assert_close(after[0], before[0])
    for token in range(LENGTH):
        torch.testing.assert_close(after[1, ..., token], before[1, ..., token] * (-2 if 2 <= token <= 6 else 1))


def test_follow_stops_at_the_end_of_its_steps(model: Model):
    source, target = model.tokenize("a cat"), model.tokenize("a dog")
    pairs = pair_words(source, target)
    assert pairs is not None
    follow = Follow((Replace.of(source, target, pairs, LENGTH),), (0,), when(model, ["a dog"], share=0.4))
    before = probs()
    for step in range(10):
        assert follow.wants(SITE, step) == (step < 4)
    torch.testing.assert_close(made_of(follow, before, 3)[1], before[0])
    torch.testing.assert_close(made_of(follow, before, 4)[1], before[1])
    assert not follow.wants(Site("a", "self", 4, 4), 0)


def test_a_word_may_have_steps_of_its_own(model: Model):
    own = when(model, ["a dog on grass"], share=(0.2, 0.8), words={"dog": (0.0, 0.5), "grass": 0.0})
    table = own.table[:, 0]
    assert table[:, 1].nonzero().flatten().tolist() == list(range(2, 8))
    assert table[:, 2].nonzero().flatten().tolist() == list(range(5))
    assert not table[:, 4].any()


@pytest.mark.parametrize(
    ("phrase", "word"),
    [("big dog", "dog"), ("big dog", "big"), ("red big", "red"), ("t-shirt", "shirt"), ("dog", ""), ("!", "")],
)
def test_of_overlapping_words_the_more_specific_counts(model: Model, phrase: str, word: str):
    target = model.tokenize("a red big dog on a t-shirt!")
    specific = target.find(phrase)
    general = target.find(word) if word else range(LENGTH)
    for words in ({phrase: 0.8, word: 0.2}, {word: 0.2, phrase: 0.8}):
        table = WordSteps.of([target], [words], steps=10, length=LENGTH).table[:, 0]
        for token in range(LENGTH):
            assert table[:, token].sum() == (8 if token in specific else 2 if token in general else 0)


def test_of_overlapping_words_as_specific_the_later_counts(model: Model):
    target = model.tokenize("a red big dog")
    for phrases in (("red big", "big dog"), ("big dog", "red big")):
        shares = dict(zip(phrases, (0.2, 0.8), strict=True))
        table = WordSteps.of([target], [shares], steps=10, length=LENGTH).table[:, 0]
        assert table[:, target.find("big")].sum(0).eq(8).all()


def test_a_chain_follows_the_edit_before(model: Model):
    prompts = [model.tokenize(prompt) for prompt in ("a cat on grass", "a dog on grass", "a red dog on grass")]
    pairs = pair_words(prompts[0], prompts[1])
    assert pairs is not None
    edits = (Replace.of(prompts[0], prompts[1], pairs, LENGTH), Refine.of(prompts[1], prompts[2], LENGTH))
    schedule = when(model, ["a dog on grass", "a red dog on grass"])
    before = probs(3)
    after = made_of(Follow(edits, (0, 1), schedule), before, 0)
    torch.testing.assert_close(after[1], before[0])
    torch.testing.assert_close(after[2, ..., 3], before[0, ..., 2])  # dog, from dog, from cat
    torch.testing.assert_close(after[2, ..., 2], before[2, ..., 2])  # red is new
    assert torch.equal(before, probs(3))  # what it was given stays as it was
