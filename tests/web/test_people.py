import os
import stat
import threading
import time

import pytest

from nulltext.errors import KeptFileNotFoundError, OutputWriteError
from nulltext.web.limits import Limits
from nulltext.web.people import People

HOUR = 3600.0


@pytest.fixture
def people(tmp_path):
    return People(tmp_path / "web", Limits(files=3, kept_seconds=24 * HOUR))


@pytest.fixture
def ann():
    return People.new()


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_somebody_keeps_they_get(people, ann):
    number = people.keep(ann, b"an image", "png")
    assert people.path(ann, number).read_bytes() == b"an image"
    assert len(number) == 26


def test_nobody_else_gets_it(people, ann):
    number = people.keep(ann, b"an image", "png")
    for other in (People.new(), "", "..", ann[:-1], people.path(ann, number).parent.name):
        with pytest.raises(KeptFileNotFoundError) as another:
            people.path(other, number)
        with pytest.raises(KeptFileNotFoundError) as guessed:
            people.path(other, "A" * 22 + ".png")
        assert str(another.value).replace(number, "") == str(guessed.value).replace("A" * 22 + ".png", "")


@pytest.mark.parametrize(
    "inside", ["../{ben}/{number}", "{root}/people/{ben}/{number}", "./{own}", "{own}/", "{own}\0"]
)
def test_no_path_is_a_number(people, ann, inside):
    ben = People.new()
    number, own = people.keep(ben, b"his", "png"), people.keep(ann, b"hers", "png")
    folder = people.path(ben, number).parent.name
    with pytest.raises(KeptFileNotFoundError):
        people.path(ann, inside.format(ben=folder, number=number, own=own, root=people.root))


@pytest.mark.parametrize("number", ["", ".", "..", "/etc/passwd", "a" * 22, "a" * 22 + ".", "\0", "a" * 5000, "é" * 22])
def test_what_is_no_number(people, ann, number):
    people.keep(ann, b"hers", "png")
    with pytest.raises(KeptFileNotFoundError) as error:
        people.path(ann, number)
    assert len(str(error.value)) < 300
    assert str(people.root) not in str(error.value)


def test_the_folders_do_not_name_the_people(people, ann):
    number = people.keep(ann, b"hers", "png")
    assert all(ann not in str(path) for path in people.root.rglob("*"))
    folder = people.path(ann, number).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_new_people_are_secrets():
    assert len({People.new() for _ in range(100)}) == 100
    assert len(People.new()) == 43


def test_the_oldest_go_first(people, ann):
    numbers = [people.keep(ann, bytes([each]), "png") for each in range(3)]
    for seconds, number in zip((30, 20, 10), numbers, strict=True):
        age(people.path(ann, number), seconds)
    age(people._folder(ann) / numbers[0], 30)
    people.path(ann, numbers[0])  # was used just now, which makes it the youngest
    new = people.keep(ann, b"new", "png")
    with pytest.raises(KeptFileNotFoundError):
        people.path(ann, numbers[1])
    assert [people.path(ann, number).is_file() for number in (numbers[0], numbers[2], new)] == [True] * 3


def test_somebody_who_keeps_many_takes_nothing_from_others(people, ann):
    number = people.keep(ann, b"hers", "png")
    for _ in range(10):
        last = people.keep("ben", b"his", "png")
    assert people.path(ann, number).is_file()
    assert len([*people._folder("ben").iterdir()]) == 3
    assert people.path("ben", last).is_file()


def test_a_file_that_is_here_already(people, ann, monkeypatch):
    path = people.cached("a")
    path.write_bytes(b"an inversion")
    linked = people.path(ann, people.keep_link(ann, path))
    assert linked.samefile(path)

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    copied = people.path(ann, people.keep_link(ann, path))
    assert not copied.samefile(path)
    path.unlink()
    assert linked.read_bytes() == copied.read_bytes() == b"an inversion"
    assert copied.suffix == ".safetensors"


def test_cached_is_one_place_for_the_same_and_others_for_others(people):
    paths = {people.cached(*what) for what in (("a", {"b": 1}), ("a", {"b": 2}), ("a",), ("a", {"b": 1}, None))}
    assert len(paths) == 4
    assert people.cached("a", {"b": 1, "c": 2}) == people.cached("a", {"c": 2, "b": 1})
    assert {path.parent for path in paths} == {people.root / "inversions"}


def test_the_sweep_takes_what_is_old(people, ann):
    old, new = people.keep(ann, b"old", "png"), people.keep(ann, b"new", "png")
    ben = people.path("ben", people.keep("ben", b"his", "png"))
    stale = [people._folder(ann) / old, ben, people.cached("a")]
    for path in stale:
        path.write_bytes(b"old")
        age(path, 25 * HOUR)
    fresh = [people._folder(ann) / new, people.cached("b")]
    for path in fresh:
        path.write_bytes(b"new")
        age(path, 23 * HOUR)
    assert people.sweep() == 3
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in fresh)
    assert not ben.parent.exists()
    assert people.sweep() == 0
    assert people.path("ben", people.keep("ben", b"again", "png")).is_file()


def test_what_lies_beside_a_file_goes_with_it_and_stays_with_it(people, ann):
    used, unused = (people.keep(ann, b"hers", "png").partition(".")[0] for _ in range(2))
    for stem in (used, unused):
        people.keep_beside(ann, stem, b"{}", "json")
        for path in people._folder(ann).glob(f"{stem}.*"):
            age(path, 25 * HOUR)
    people.path(ann, f"{used}.json")
    assert people.sweep() == 2
    assert {path.name for path in people._folder(ann).iterdir()} == {f"{used}.png", f"{used}.json"}
    people.remove(ann, used)
    assert not [*people._folder(ann).iterdir()]


@pytest.mark.parametrize("stem", ["../other", "short", "a" * 22 + "/b", ""])
def test_what_is_no_files_number_has_nothing_beside_it(people, ann, stem):
    with pytest.raises(KeptFileNotFoundError):
        people.keep_beside(ann, stem, b"{}", "json")
    people.remove(ann, stem)


def test_using_a_file_keeps_it(people, ann):
    number = people.keep(ann, b"hers", "png")
    age(people._folder(ann) / number, 25 * HOUR)
    people.path(ann, number)
    assert people.sweep() == 0


def test_a_file_that_goes_away_while_room_is_made_stops_nobody(tmp_path):
    """A link that leads nowhere is one: it is listed, and has no time."""
    people = People(tmp_path, Limits(files=2))
    folder = people.path("ann", people.keep("ann", b"first", "png")).parent
    (folder / f"{'A' * 22}.png").symlink_to("nowhere")
    kept = people.keep("ann", b"second", "png")
    assert people.path("ann", kept).read_bytes() == b"second"
    assert not (folder / f"{'A' * 22}.png").is_symlink()


def test_the_sweep_takes_what_was_half_written(people, ann):
    people.keep(ann, b"hers", "png")
    for folder in (people._folder(ann), people.root / "inversions"):
        left, under_way = folder / f".nulltext-{'a' * 16}.part", folder / f".nulltext-{'b' * 16}.part"
        left.write_bytes(b"ha")
        under_way.write_bytes(b"ha")
        age(left, 120)
    assert people.sweep() == 2
    assert len([*people.root.rglob("*.part")]) == 2


def test_the_sweep_follows_no_link(people, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"keep me")
    age(outside, 100 * HOUR)
    (people.root / "inversions" / "link").symlink_to(outside)
    people.sweep()
    assert outside.is_file()


def test_a_reader_sees_a_whole_file_or_none(people, ann):
    """While somebody keeps files one after the other and the sweep runs."""
    data, torn, stop = b"x" * 200_000, [], threading.Event()

    def read():
        while not stop.is_set():
            for path in people._folder(ann).glob("*.png"):
                try:
                    torn.extend([path] if path.stat().st_size != len(data) else [])
                except FileNotFoundError:
                    continue

    def sweep():
        while not stop.is_set():
            people.sweep()

    threads = [threading.Thread(target=target) for target in (read, sweep)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            people.keep(ann, data, "png")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert torn == []
    assert not [*people.root.rglob("*.part")]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputWriteError, match="Choose another folder"):
        People(tmp_path / "file", Limits())
