"""Who has been told of which file."""

import json

import pytest

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.gate import Told


@pytest.fixture
def told(file):
    return Told(file.parent)


def naming(path):
    return json.dumps({"path": str(path)}).encode()


def test_a_file_that_json_names(told, file):
    told.note("ann", naming(file))
    assert told.knows("ann", str(file))
    assert not told.knows("ben", str(file))


def test_files_that_an_upload_lists(told, file):
    other = file.with_name("other.png")
    told.note("ann", json.dumps([str(file), str(other)]).encode(), listed=True)
    assert told.knows("ann", str(file))
    assert told.knows("ann", str(other))


def test_a_text_that_reads_like_a_files_name_tells_nobody_of_it(told, file):
    for text in (str(file), f'"path": "{file}"', f'", "path": "{file}"', f'", "{file}"'):
        for said in (text, [text], {"caption": text}, {"data": ["", text]}, {"data": [json.dumps({"path": text})]}):
            told.note("ann", json.dumps(said).encode())
    told.note("ann", json.dumps([f'/elsewhere/a", "{file}']).encode(), listed=True)
    assert told._to == {}


def test_a_file_is_read_by_who_was_told(told, file, tmp_path):
    told.note("ann", naming(file))
    assert told.read("ann", str(file)) == b"a picture"
    (tmp_path / "secret").write_bytes(b"secret")
    for person, path in (
        ("ben", file),
        ("ann", tmp_path / "secret"),
        ("ann", f"{file.parent}/../secret"),
        ("ann", file.parent),
    ):
        with pytest.raises(KeptFileNotFoundError):
            told.read(person, str(path))


def test_who_says_a_path_that_leads_out_is_told_of_nothing(told, tmp_path):
    """What somebody sends may come back in an answer to them."""
    (tmp_path / "secret").write_bytes(b"secret")
    for path in (f"{tmp_path}/uploads/../secret", str(tmp_path / "secret"), f"{tmp_path}/uploads2"):
        told.note("ann", naming(path))
        told.note("ann", json.dumps([path]).encode(), listed=True)
        with pytest.raises(KeptFileNotFoundError):
            told.read("ann", path)


@pytest.mark.parametrize("end", [b'\\x"', b'\n"', b'\xff"', b"", b"\\"])
def test_what_only_looks_like_json_is_passed_over(told, file, end):
    told.note("ann", b'{"path": "' + str(file.parent).encode() + b"/a" + end)
    told.note("ann", b'["' + str(file.parent).encode() + b"/a" + end, listed=True)
    assert told._to == {}


def test_files_that_are_gone_are_forgotten(told, file):
    told.note("ann", naming(file))
    told.forget()
    assert told.knows("ann", str(file))
    file.unlink()
    with pytest.raises(KeptFileNotFoundError):
        told.read("ann", str(file))
    told.forget()
    assert not told.knows("ann", str(file))
