"""Names that people give: in one line, with nothing that cannot be seen and nothing that turns the writing."""

import pytest
from tests.web.visitor import upload

from nulltext.web.bounds import MOST_NAME, plain_name

CASES = {
    "zero": ("a\0b", "ab"),
    "lines": ("a\r\n b\tc\x0b\x85\u2028d", "a b c d"),
    "escape": ("\x1b[31mred\x9b0m", "[31mred0m"),
    "right to left override": ("photo\u202egnp.exe", "photognp.exe"),
    "embeddings": ("\u202aa\u202bb\u202cc\u202dd", "abcd"),
    "isolates": ("\u2066a\u2067b\u2068c\u2069", "abc"),
    "marks": ("\u200ea\u200fb\u061cc", "abc"),
    "zero width": ("a\u200b\ufeff\u2060\u00adb", "ab"),
    "tags": ("a\U000e0041\U000e007fb", "ab"),
    "private and none": ("a\ue000\uffff\U0010ffffb", "ab"),
    "half of a character": ("a\ud800b", "ab"),
    "nothing else": ("\u202e\0", ""),
    "hebrew": ("תמונה 1", "תמונה 1"),
    "hindi": ("क\u200dष", "क\u200dष"),
    "emoji": ("👩\u200d🚀 é", "👩\u200d🚀 é"),
    "composed": ("e\u0301", "é"),
    "markup": ("<b>a & b</b>", "<b>a & b</b>"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_name(client, sample, case):
    given, kept = CASES[case]
    assert plain_name(given) == kept
    assert plain_name(kept) == kept
    if "\ud800" in given:  # which neither a form nor JSON can hold
        return
    node = client.get(f"/v1/history/{image(client, sample)}").json()
    named = client.patch(f"/v1/history/{node['id']}", json={"name": given})
    assert (named.status_code, named.json()["name"]) == (200, kept)
    assert client.get(f"/v1/history/{node['id']}").json()["name"] == kept


IDS: list[str] = []


def image(client, sample):
    """The id of one image for all."""
    if not IDS:
        IDS.append(upload(client, sample).json()["node"]["id"])
    return IDS[0]


@pytest.mark.parametrize("case", ["zero", "lines", "escape", "right to left override", "isolates", "marks", "hebrew"])
def test_the_name_of_a_file(client, sample, case):
    """As a form gives it, in UTF-8 and with nothing escaped."""
    given, kept = CASES[case]
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="' + given.encode() + b'.png"\r\n\r\n'
    sent = {"content": head + sample + b"\r\n--b--\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}
    answer = client.post("/v1/images", **sent)
    if answer.status_code == 400:  # what the form itself cannot hold
        assert case in {"zero", "lines"}
        return
    node = answer.json()["node"]
    assert node["facts"]["file_name"] == plain_name(f"{given}.png")
    assert node["name"] == kept
    assert client.delete(f"/v1/history/{node['id']}").status_code == 200


def test_a_name_that_is_too_long(client, sample):
    answer = client.patch(f"/v1/history/{image(client, sample)}", json={"name": "\u202e" * (MOST_NAME + 1)})
    assert answer.status_code == 422
