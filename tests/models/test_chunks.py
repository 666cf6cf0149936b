"""Prompts longer than the text encoder reads, in chunks."""

from typing import Any

import pytest
import torch

import nulltext
from nulltext import DDIM, PromptToPrompt
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.errors import MismatchError, PromptTooLongError, SettingError
from nulltext.text.alignment import pair_words

LENGTH = 24
"""Of the tiny pipelines, with two marks."""
WORDS = [*(["red", "ball", "on", "grass"] * 5), "photo", "of", *(["cat", "on", "blue", "grass"] * 2)]
LONG = " ".join(WORDS)
"""22 words of a token each, and 8 for the second chunk."""


@pytest.fixture(scope="module")
def long(folder):
    return nulltext.load(folder("epsilon"), device="cpu", chunks=2)


def read(model, text):
    """A text's states as the network has them, on its own."""
    tokenizer, network = model.text.tokenizer, model.text.network
    ids = tokenizer(text, padding="max_length", max_length=LENGTH, return_tensors="pt").input_ids
    with torch.no_grad():
        return network(ids)[0]


def test_each_chunk_is_read_on_its_own(long, model):
    for prompt, parts in (
        (LONG, (" ".join(WORDS[:22]), " ".join(WORDS[22:]))),
        ("a cat", ("a cat", "")),
        # A word of several tokens is not cut in two.
        (" ".join([*WORDS[:20], "xyz", "cat"]), (" ".join(WORDS[:20]), "xyz cat")),
    ):
        expected = torch.cat([read(model, part) for part in parts], 1)
        torch.testing.assert_close(long.embed([prompt]).text, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(long.null().text, read(model, "").repeat(1, 2, 1), rtol=1e-5, atol=1e-5)
    assert long.text_length == 2 * LENGTH


def test_words_are_found_in_their_chunks(long):
    tokens = long.tokenize(LONG)
    assert tokens.find("red")[:2] == [1, 5]
    assert tokens.find("photo") == [21]
    assert tokens.find("cat") == [LENGTH + 1, LENGTH + 5]
    assert tokens.words()[-1] == [LENGTH + 8]


def test_alignments_reach_over_the_cut(long):
    source, target = (long.tokenize(prompt) for prompt in (LONG, f"blue {LONG}"))
    aligned = Refine.of(source, target, 2 * LENGTH).aligned.tolist()
    assert aligned[:4] == [0, -1, 1, 2]
    assert aligned[LENGTH + 1] == source.find("photo")[0] + 1  # "of", which the new word has pushed over
    assert aligned[LENGTH + 2 : LENGTH + 4] == [LENGTH + 1, LENGTH + 2]
    assert Refine.of(source, source, 2 * LENGTH).aligned.tolist() == list(range(2 * LENGTH))
    same = Replace.of(source, source, pair_words(source, source) or [], 2 * LENGTH).mapper
    assert torch.equal(same, torch.eye(2 * LENGTH))
    longer = long.tokenize(LONG.replace("photo", "xy", 1))  # of two tokens: "of" moves on
    mapper = Replace.of(source, longer, pair_words(source, longer) or [], 2 * LENGTH).mapper
    assert mapper[source.find("of")[0], longer.find("of")[0]] == 1
    ours, theirs = source.find("photo"), longer.find("xy")
    assert mapper[ours[0], theirs].tolist() == [0.5, 0.5]  # as for any word that becomes one of two tokens
    rest = [row for row in range(2 * LENGTH) if row not in theirs]
    torch.testing.assert_close(mapper.sum(0)[rest], torch.ones(len(rest)))


def test_an_edit_of_a_long_prompt(long, model, source_image):
    inversion = DDIM(steps=2)(long, source_image, LONG)
    same, other = (PromptToPrompt()(long, inversion, prompt) for prompt in (LONG, LONG.replace("cat", "dog")))
    torch.testing.assert_close(same.pixels, same.source, rtol=0, atol=1e-5)
    assert not torch.allclose(other.pixels, other.source, atol=1e-3)
    with pytest.raises(MismatchError, match=r"was made with epsilon0 \(sha256:\w+\) with --chunks 2"):
        PromptToPrompt()(model, inversion, "a cat")


def test_what_is_too_long_is_said(long, model, folder):
    with pytest.raises(PromptTooLongError, match=r"has 30 tokens; .* or load the model with --chunks 2"):
        model.embed([LONG])
    with pytest.raises(PromptTooLongError, match=r"These words do not fit: 'grass'\. Leave out 1 tokens or more"):
        long.embed([" ".join([*WORDS, *WORDS[:14], "grass"])])
    with pytest.raises(SettingError, match="got chunks=0; expected a whole number from 1 to 16"):
        nulltext.load(folder("epsilon"), device="cpu", chunks=0)


def test_two_encoders_read_the_same_chunks(tmp_path, xl_builder):
    xl_builder().save_pretrained(tmp_path)
    long, plain = (nulltext.load(tmp_path, device="cpu", chunks=chunks) for chunks in (2, 1))
    got, first, second = (
        model.embed([text])
        for model, text in ((long, LONG), (plain, " ".join(WORDS[:22])), (plain, " ".join(WORDS[22:])))
    )
    torch.testing.assert_close(got.text, torch.cat([first.text, second.text], 1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got.pooled, first.pooled, rtol=1e-4, atol=1e-4)
    null: Any = long.null()
    assert null.text.shape == got.text.shape
