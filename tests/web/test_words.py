import re
from html import unescape

import pytest

from nulltext.text.words import different_words
from nulltext.web.words import changed_words, highlight, marked


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


def test_marked():
    html = marked("a red zebra", [(2, 5), (6, 11)], "not known")
    assert html == (
        '<span class="prompt">a <mark title="not known">red</mark> <mark title="not known">zebra</mark></span>'
    )
    assert marked("a cat", [], "x") == '<span class="prompt">a cat</span>'


def test_lit():
    html = highlight("a red ball on grass", "a blue ball on grass")
    assert '<mark title="changed">blue</mark>' in html
    assert "instead of: red" in html
    assert html.count("<mark") == 1
    assert "Nothing has changed" in highlight("a red ball", "A red ball.")
    assert "instead of: red" in highlight("a red ball", "a ball")
    assert "<small>" not in highlight("a ball", "a red ball")


TRAPS = ["<script>alert(1)</script>", "a <b>b</b> & 'c' \"d\"", "</span><img src=x onerror=alert(1)>", "&lt;b&gt;"]


@pytest.mark.parametrize("text", TRAPS)
def test_nothing_said_becomes_html(text):
    for html in (
        marked(text, [(0, 3)], text),
        marked(text, [], ""),
        highlight("a cat", text),
        highlight(text, "a cat"),
    ):
        assert set(re.findall(r"<\W?\w+", html)) <= {"<span", "</span", "<mark", "</mark", "<small", "</small"}
    assert text in unescape(re.sub("<[^>]*>", "", marked(text, [(0, 3)], "title")))
