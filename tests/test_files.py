import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nulltext import files
from nulltext.errors import OutputExistsError, OutputWriteError
from nulltext.files import ABANDONED_AFTER, check_output, remove_abandoned, write_file, writing


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


def a_pipe(folder):
    os.mkfifo(folder / "a")


def a_socket(folder):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "a"))


def a_device(folder):
    try:
        os.mknod(folder / "a", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


def a_link_to_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    (folder / "a").symlink_to("pipe")


def a_link_to_a_folder(folder):
    (folder / "folder").mkdir()
    (folder / "a").symlink_to("folder")


def a_link_to_itself(folder):
    (folder / "a").symlink_to("a")


def a_link_into_no_folder(folder):
    (folder / "a").symlink_to("nowhere/a")


NO_FILES = {
    "a pipe": (a_pipe, "is a pipe"),
    "a socket": (a_socket, "is a socket"),
    "a device": (a_device, "is a device"),
    "a link to a pipe": (a_link_to_a_pipe, "pipe, is a pipe"),
    "a link to a folder": (a_link_to_a_folder, "folder, is a folder"),
    "a link to itself": (a_link_to_itself, "symbolic links"),
    "a link into no folder": (a_link_into_no_folder, "no folder .*nowhere"),
}
"""What is at the name, and what is said of it."""


def listing(folder):
    return sorted((path.name, stat.S_IFMT(path.lstat().st_mode), path.lstat().st_ino) for path in folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("case", NO_FILES)
def test_only_regular_files_are_written(tmp_path, case, overwrite):
    make, expected = NO_FILES[case]
    make(tmp_path)
    before = listing(tmp_path)
    with pytest.raises(OutputWriteError, match=expected):
        check_output(tmp_path / "a", overwrite=overwrite, make_folder=True)
    with pytest.raises(OutputWriteError, match=expected):
        write_file(tmp_path / "a", b"new", overwrite=overwrite)
    assert listing(tmp_path) == before


def test_a_name_with_a_zero_byte(tmp_path):
    with pytest.raises(OutputWriteError, match="zero byte"):
        write_file(tmp_path / "a\0b", b"new")


def test_a_link_stays_one_and_what_it_names_is_written(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "a").symlink_to("target")
    with pytest.raises(OutputExistsError, match=r"which leads to .*target"):
        write_file(tmp_path / "a", b"new")
    write_file(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_dangling_link_names_is_made(tmp_path, overwrite):
    (tmp_path / "a").symlink_to("target")
    write_file(tmp_path / "a", b"new", overwrite=overwrite)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_other_names_of_a_file_keep_what_they_had(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    write_file(tmp_path / "a", b"new", overwrite=True)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_the_new_file_has_the_permissions_of_the_old(tmp_path, mode):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(mode)
    with writing(tmp_path / "a", overwrite=True) as file:
        file.write(b"new")
        (part,) = tmp_path.glob(".*.part")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, overwrite):
    if overwrite:
        (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "a", overwrite=overwrite) as file:  # noqa: PT012  what is tested is the block
        file.write(b"ne")
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"] * overwrite


RACE = """
import errno, os, sys, time
from pathlib import Path
from nulltext.errors import OutputExistsError
from nulltext.files import write_file

folder, me, links = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if links == "none":
    def refused(*_):  # as FAT and many network file systems do
        raise PermissionError(errno.EPERM, "Operation not permitted")
    os.link = refused
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    try:
        write_file(folder / str(number), me.encode() * 50_000)
        print(number)
    except OutputExistsError:
        pass
"""


@pytest.mark.parametrize("links", ["hard", "none"])
def test_of_many_that_write_one_new_name_one_does(tmp_path, links):
    command = [sys.executable, "-c", RACE, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racing = [subprocess.Popen([*command, name, links], **pipes, env=os.environ | PATHS) for name in "abcd"]
    for one in racing:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in racing:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    won = {name: one.communicate()[0].split() for name, one in zip("abcd", racing, strict=True)}
    assert [one.returncode for one in racing] == [0] * 4
    assert sorted(number for numbers in won.values() for number in numbers) == sorted(map(str, range(40)))
    for name, numbers in won.items():
        for number in numbers:
            assert (tmp_path / number).read_text() == name * 50_000
    assert len(list(tmp_path.iterdir())) == 40


SLOW = """
import sys, time
from pathlib import Path
from nulltext.files import writing

with writing(Path(sys.argv[1]), overwrite=True) as file:
    file.write(b"ne")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def slow(tmp_path):
    """A process that is in the middle of writing a.bin, and its temporary file, made to look old."""
    command = [sys.executable, "-c", SLOW, tmp_path / "a.bin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | PATHS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        (part,) = tmp_path.iterdir()
        age(part)
        yield process, part
        process.kill()


def age(path):
    then = time.time() - ABANDONED_AFTER - 1
    os.utime(path, (then, then))


def test_what_a_killed_process_left_goes_when_the_next_one_writes(tmp_path, slow):
    process, part = slow
    write_file(tmp_path / "b.bin", b"new")
    assert part.exists()  # its writer lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    files._swept.clear()  # as in another process
    write_file(tmp_path / "c.bin", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bin", "c.bin"]


@pytest.mark.parametrize("name", [".nulltext-0123456789abcdef.part.png", ".0123456789abcdef.part", "a.part", "old.bin"])
def test_a_file_of_another_name_is_never_swept(tmp_path, name):
    (tmp_path / name).write_bytes(b"somebody's")
    age(tmp_path / name)
    assert not remove_abandoned(tmp_path / name)
    write_file(tmp_path / "a.bin", b"new")
    assert (tmp_path / name).exists()


def test_neither_a_young_file_nor_a_link_is_swept(tmp_path):
    young, link = (tmp_path / f".nulltext-{letter * 16}.part" for letter in "ab")
    young.write_bytes(b"ha")
    link.symlink_to(young)
    os.utime(link, (0, 0), follow_symlinks=False)
    assert not remove_abandoned(young)
    assert not remove_abandoned(link)
    assert link.is_symlink()
