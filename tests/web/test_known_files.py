"""Who has been told of which file."""

import json

import pytest

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.gate import KnownFiles


@pytest.fixture
def known_files(file):
    return KnownFiles(file.parent)


def naming(path):
    return json.dumps({"path": str(path)}).encode()


def test_a_file_that_json_names(known_files, file):
    known_files.note("ann", naming(file))
    assert known_files.knows("ann", str(file))
    assert not known_files.knows("ben", str(file))


def test_files_that_an_upload_lists(known_files, file):
    other = file.with_name("other.png")
    known_files.note("ann", json.dumps([str(file), str(other)]).encode(), listed=True)
    assert known_files.knows("ann", str(file))
    assert known_files.knows("ann", str(other))


def test_a_text_that_reads_like_a_files_name_tells_nobody_of_it(known_files, file):
    for text in (str(file), f'"path": "{file}"', f'", "path": "{file}"', f'", "{file}"'):
        for message in (text, [text], {"prompt": text}, {"data": ["", text]}, {"data": [json.dumps({"path": text})]}):
            known_files.note("ann", json.dumps(message).encode())
    known_files.note("ann", json.dumps([f'/elsewhere/a", "{file}']).encode(), listed=True)
    assert known_files._to == {}


def test_a_file_is_read_by_who_was_told(known_files, file, tmp_path):
    known_files.note("ann", naming(file))
    assert known_files.read("ann", str(file)) == b"an image"
    (tmp_path / "secret").write_bytes(b"secret")
    for person, path in (
        ("ben", file),
        ("ann", tmp_path / "secret"),
        ("ann", f"{file.parent}/../secret"),
        ("ann", file.parent),
    ):
        with pytest.raises(KeptFileNotFoundError):
            known_files.read(person, str(path))


def test_who_says_a_path_that_leads_out_is_told_of_nothing(known_files, tmp_path):
    """What somebody sends may come back in an answer to them."""
    (tmp_path / "secret").write_bytes(b"secret")
    for path in (f"{tmp_path}/uploads/../secret", str(tmp_path / "secret"), f"{tmp_path}/uploads2"):
        known_files.note("ann", naming(path))
        known_files.note("ann", json.dumps([path]).encode(), listed=True)
        with pytest.raises(KeptFileNotFoundError):
            known_files.read("ann", path)


@pytest.mark.parametrize("end", [b'\\x"', b'\n"', b'\xff"', b"", b"\\"])
def test_what_only_looks_like_json_is_passed_over(known_files, file, end):
    known_files.note("ann", b'{"path": "' + str(file.parent).encode() + b"/a" + end)
    known_files.note("ann", b'["' + str(file.parent).encode() + b"/a" + end, listed=True)
    assert known_files._to == {}


def test_files_that_are_gone_are_forgotten(known_files, file):
    known_files.note("ann", naming(file))
    known_files.forget()
    assert known_files.knows("ann", str(file))
    file.unlink()
    with pytest.raises(KeptFileNotFoundError):
        known_files.read("ann", str(file))
    known_files.forget()
    assert not known_files.knows("ann", str(file))
