"""How settings of Prompt-to-Prompt are written in words."""

import pytest

from nulltext.editing.spelled import read_cross, read_places, read_share, read_weights
from nulltext.errors import SettingError


@pytest.mark.parametrize(
    ("text", "share"), [("0.8", 0.8), (".8", 0.8), ("1", 1.0), ("0.2-0.8", (0.2, 0.8)), (" 0-1 ", (0.0, 1.0))]
)
def test_shares(text, share):
    assert read_share(text) == share


@pytest.mark.parametrize("text", ["", "-0.2", "0.2-", "a", "0.2:0.8", "80%"])
def test_no_shares(text):
    with pytest.raises(SettingError, match="expected a share"):
        read_share(text)


def test_words_with_numbers():
    assert read_cross(["0.8", "tiger=0.4", "hot dog=0.1-0.2"]) == {"": 0.8, "tiger": 0.4, "hot dog": (0.1, 0.2)}
    assert read_weights(["tiger=2", "t-shirt=-1.5"]) == {"tiger": 2.0, "t-shirt": -1.5}


def test_blends():
    assert read_places("cat,big mouse:tiger") == {"source": ["cat", "big mouse"], "target": ["tiger"]}
    assert read_places("cat") == {"source": ["cat"], "target": []}
