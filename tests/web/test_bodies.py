"""A body is read in one way only, and only if it is sound."""

import pytest

from nulltext.errors import SettingError
from nulltext.web.bodies import MOST_PARTS, parse

ROUTES = ("/v1/inversions", "/v1/edits", "/v1/prompts")
BODY = b'{"prompt": "a ball"}'


def test_a_body_in_pieces(client):
    pieces = iter([BODY[at : at + 7] for at in range(0, len(BODY), 7)])
    answer = client.post("/v1/prompts", content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "'model'" in answer.json()["detail"]


@pytest.mark.parametrize("where", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "multipart/form-data; boundary=a"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/vnd.api+json"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "br"},
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "text/plain"), ("Content-Type", "application/json")],
    ],
)
def test_a_type_that_might_be_read_otherwise(client, where, headers):
    assert client.post(where, content=BODY, headers=headers).status_code in {415, 422}


@pytest.mark.parametrize("where", ROUTES)
@pytest.mark.parametrize("twice", ['"prompt": "a", "prompt": "b"', '"prompt": "a", "p\\u0072ompt": "b"'])
def test_a_name_that_is_there_twice_counts_once(client, where, twice):
    answer = client.post(where, content="{" + twice + "}", headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "'a'" not in answer.text


@pytest.mark.parametrize(
    ("content_text", "named"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": NaN}', "not finite"),
        (b'{"a": -Infinity}', "not finite"),
        (b'{"a": 1e999}', "not finite"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"[" * 9_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b"[" + b"1," * MOST_PARTS + b"1]", "values"),
    ],
)
def test_what_is_no_sound_json(content_text, named):
    with pytest.raises(SettingError, match=named) as error:
        parse(content_text)
    assert len(str(error.value)) < 150


def test_json_is_passed_on_in_one_reading():
    content_text, again = parse(b'{"a": 1, "\\u0061": "\\u00e9", "b": [true, null]}')
    assert content_text == {"a": "é", "b": [True, None]}
    assert again == '{"a": "é", "b": [true, null]}'.encode()


def test_a_body_is_no_larger_than_a_mask_needs(client, limits):
    body = b'"' + b"a" * (2 * limits.upload_bytes) + b'"'
    for where in ROUTES:
        assert client.post(where, content=body, headers={"content-type": "application/json"}).status_code == 413
