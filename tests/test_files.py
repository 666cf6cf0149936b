import os
import subprocess
import sys
from pathlib import Path

import pytest

from nulltext.errors import OutputExistsError, OutputWriteError
from nulltext.files import check_output, write_file


def test_writes_and_leaves_nothing_else(tmp_path):
    assert write_file(tmp_path / "a.bin", b"new") == tmp_path / "a.bin"
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_gives_the_permissions_that_a_plain_file_has(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    assert write_file(tmp_path / "a", b"").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_never_overwrites_unless_asked(tmp_path):
    path = write_file(tmp_path / "a.bin", b"old")
    with pytest.raises(OutputExistsError, match="already there"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    write_file(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_is_never_replaced(tmp_path):
    with pytest.raises(OutputWriteError, match="is a folder"):
        write_file(tmp_path, b"x", overwrite=True)


def test_no_such_folder(tmp_path):
    with pytest.raises(OutputWriteError, match="there is no folder"):
        write_file(tmp_path / "nowhere" / "a.bin", b"x")


def test_a_folder_that_can_be_made(tmp_path):
    path = tmp_path / "not" / "yet" / "a.bin"
    assert check_output(path, make_folder=True) == path
    (tmp_path / "not").write_bytes(b"a file")
    with pytest.raises(OutputWriteError, match=r"not is a file; expected a folder"):
        check_output(path, make_folder=True)
    with pytest.raises(OutputWriteError, match=r"not is a file; expected a folder"):
        check_output(tmp_path / "not" / "a.bin")


def test_a_name_as_long_as_can_be_and_one_that_is_longer(tmp_path):
    write_file(tmp_path / ("x" * 255), b"new")
    for path in (tmp_path / ("x" * 256), tmp_path / ("x" * 256) / "a.bin"):
        with pytest.raises(OutputWriteError, match="cannot write"):
            check_output(path, make_folder=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputWriteError, match="no permission"):
        write_file(tmp_path / "a.bin", b"x")
    with pytest.raises(OutputWriteError, match="no permission"):
        check_output(tmp_path / "not" / "yet" / "a.bin", make_folder=True)


FULL = """
import resource, signal, sys
from pathlib import Path
from nulltext.errors import OutputWriteError
from nulltext.files import write_file

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the system refuses to write on, as on a full disk
try:
    write_file(Path(sys.argv[1]), bytes(100_000), overwrite=True)
except OutputWriteError as error:
    print(error)
"""


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_full_disk_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "a.bin"
    if before is not None:
        path.write_bytes(before)
    result = subprocess.run(
        [sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True, env=os.environ | PATHS
    )
    assert "could not write" in result.stdout
    assert "100000 bytes" in result.stdout
    assert (path.read_bytes() if path.exists() else None) == before
    assert len(list(tmp_path.iterdir())) == (before is not None)


PATHS = {"PYTHONPATH": os.pathsep.join(str(path) for path in sys.path if path and Path(path).is_dir())}


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []
