"""What a server keeps of all that people send: measured by what is held, in memory and on disk."""

import asyncio
import dataclasses
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.web.occupying import Occupying, occupying
from tests.web.visitor import SOON

from nulltext.errors import SettingError, TooManyJobsError
from nulltext.progress import Progress
from nulltext.web.clients import Client
from nulltext.web.incoming import Incoming
from nulltext.web.jobs import Jobs
from nulltext.web.limits import Limits
from nulltext.web.people import PARTS, People
from nulltext.web.requests import EditRequest
from nulltext.web.sizes import size_of

MB = 2**20
DOCS = Path(__file__).parents[2] / "docs"
SMALL = Limits(upload_bytes=MB, memory_bytes=80 * MB, jobs=1000, waiting=1000)
"""20 MB for inputs, 5 MB of them for one address."""


@pytest.fixture
def jobs():
    made = Jobs(SMALL)
    yield made
    made.close()


def one(job):
    return 1


def large(job):
    return Image.new("L", (1000, 1000))


def at(number):
    return Client(address=f"10.0.0.{number}")


def refuse():
    raise SettingError("got this; expected that.")


@pytest.mark.parametrize(("end", "state"), [(lambda: 7, "done"), (refuse, "failed"), (lambda: 1 / 0, "failed")])
def test_a_job_that_is_over_holds_nothing_that_it_was_given(jobs, end, state):
    work = Occupying(end=end)
    job = jobs.submit("ann", occupying(work, MB))
    assert work.begun.wait(SOON)
    blocked: Any = object()
    job.tell(Progress("sample", 1, 2, latents=blocked))
    job.preview = Image.new("RGB", (512, 512))
    assert jobs.size[0] >= MB
    work.go.set()
    assert job.wait(SOON)
    jobs.submit("ben", one).wait(SOON)  # the worker has left the first
    assert (job.state, job.size, job._work, job.preview, job.progress.latents) == (state, 0, None, None, None)
    assert jobs.size[0] == 0


def test_a_job_that_is_cancelled_holds_nothing_either(jobs):
    running, waiting = Occupying(), Occupying()
    first, second = jobs.submit("ann", occupying(running, MB)), jobs.submit("ann", occupying(waiting, MB))
    assert running.begun.wait(SOON)
    second.stop()
    assert MB <= jobs.size[0] < 1.1 * MB
    first.stop()
    jobs.submit("ben", one).wait(SOON)
    assert jobs.size[0] == 0


def test_refused_files_are_not_kept(workshop, sample_prompt):
    """Eight files that turn out to be none, each from a person without a cookie."""
    data = b"\x00" * 8 + b"{" + bytes(200_000)
    for number in range(8):
        job = workshop.open_inversion(People.new(), data, "a.safetensors", at(number))
        assert job.wait(SOON)
        assert job.state == "failed"
    workshop.jobs.submit("ben", one).wait(SOON)
    assert workshop.jobs.size[0] == 0


@pytest.mark.parametrize(
    ("sizes", "addresses", "taken"),
    [
        ([MB] * 6, [1] * 6, 4),  # an address' share of 5 MB, with a little more than the files in each job
        ([MB] * 24, [number // 4 for number in range(24)], 19),  # all together
        ([0] * 300, [1] * 300, 250),  # an address' share of the places
        ([0] * 1100, [number // 200 for number in range(1100)], 1000),  # all places; one is under way
    ],
)
def test_new_people_of_one_address_share_its_places_and_memory(jobs, sizes, addresses, taken):
    first = Occupying()
    jobs.submit("zoe", occupying(first, 0), client=at(250))
    assert first.begun.wait(SOON)
    got = 0
    for number, (size, address) in enumerate(zip(sizes, addresses, strict=True)):
        try:
            jobs.submit(f"person {number}", occupying(Occupying(), size), client=at(address))
            got += 1
        except TooManyJobsError as error:
            assert re.search("expected (fewer than|at most)", str(error))  # noqa: PT017
    assert got == taken
    assert jobs.size[0] <= SMALL.part_bytes


def test_results_are_kept_as_long_as_there_is_room(jobs):
    """From one address no more than its share; others' stay."""
    other = jobs.submit("ben", large, client=at(1))
    assert other.wait(SOON)
    flood = [jobs.submit(f"person {number}", large, client=at(2)) for number in range(12)]
    assert all(job.wait(SOON) for job in flood)
    jobs.submit("cat", one).wait(SOON)
    assert jobs.size[1] <= (SMALL.share + 0.1) * SMALL.part_bytes
    assert jobs.get("ben", other.number) is other
    assert [job.number in jobs._jobs for job in flood] == [False] * 8 + [True] * 4


def test_sizes():
    image = Image.new("RGB", (100, 10))
    request = EditRequest(prompt="a", mask=Image.new("L", (100, 10)), before=(EditRequest(prompt="b", mask=image),))
    assert 5000 <= size_of(request) < 8000
    assert 4000 <= size_of(image, {"a": [image]}) < 5000
    assert size_of(bytes(1000)) - 1000 < 100


def post(bodies, pieces, address, *, length=None, path="/v1/edits"):
    """Sends pieces; returns the status, or what the app got."""
    got, messages, left = [], [], list(pieces)

    async def receive():
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        messages.append(message)

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope = {"type": "http", "path": path, "headers": headers, "state": {"client": at(address)}, "got": got}
    asyncio.run(bodies(scope, receive, send))
    return messages[0]["status"] if messages else sum(got)


def test_requests_on_their_way_are_bounded():
    inner = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            scope["got"].append(len(message["body"]))
            if not message["more_body"]:
                break
        if inner:
            inner.pop()()

    bodies = Incoming(app, SMALL)
    assert post(bodies, [bytes(MB)] * 4, 1) == 413  # a mask, at most
    assert post(bodies, [bytes(MB)] * 4, 1, path="/v1/images") == 4 * MB
    assert post(bodies, [b""], 1, length=3 * MB) == 413
    assert bodies.size == 0

    def while_another_is_on_its_way():
        assert bodies.size == 4 * MB
        answers.append(threaded(lambda: post(bodies, [bytes(MB)] * 2, 1, length=2 * MB)))
        answers.append(threaded(lambda: post(bodies, [bytes(MB)] * 2, 1)))
        answers.append(threaded(lambda: post(bodies, [bytes(MB)] * 2, 2)))

    answers: list[int] = []
    inner.append(while_another_is_on_its_way)
    post(bodies, [bytes(MB)] * 4, 1, path="/v1/images")
    assert answers == [429, 429, 2 * MB]


def threaded(call):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join()
    return answers[0]


DISK = Limits(disk_bytes=800_000, files=1000)
"""400 kB for results, of which 100 kB for one address."""


def total(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_results_on_disk_are_bounded_in_all_and_by_address(tmp_path):
    people = People(tmp_path, DISK)
    others = [people.keep("ben", bytes(20_000), "png", "10.0.0.1") for _ in range(3)]
    for number in range(30):  # each a new person
        last = people.keep(f"person {number}", bytes(20_000), "png", "10.0.0.2")
    assert total(tmp_path / "people") <= 60_000 + 100_000
    assert all(people.path("ben", number) for number in others)
    assert people.path("person 29", last)
    for number in range(60):
        people.keep(f"another {number}", bytes(20_000), "png", f"10.0.1.{number}")
    assert total(tmp_path / "people") <= 400_000


@pytest.mark.parametrize("part", [part for part in PARTS if part != "people"])
def test_other_parts_of_the_disk_are_bounded_and_the_oldest_go_first(tmp_path, part):
    people, folder = People(tmp_path, DISK), tmp_path / part
    paths = []
    for number in range(30):
        paths.append(folder / f"{number}.safetensors")
        for path in (paths[-1], paths[-1].with_suffix(".json")):
            path.write_bytes(bytes(10_000))
            os.utime(path, (number, number))
        people.disk.grew(part, 20_000)
    most = int(DISK.disk_bytes * PARTS[part])
    assert most / 2 < total(folder) <= most
    there = [path.exists() for path in paths]
    assert there == sorted(there)
    assert [path.with_suffix(".json").exists() for path in paths] == there


def test_what_a_job_uses_is_not_swept(tmp_path):
    used: set[Path] = set()
    people = People(tmp_path, dataclasses.replace(DISK, files=2, kept_seconds=10), used=lambda: frozenset(used))
    number = people.keep("ann", bytes(20_000), "png", "10.0.0.2")
    path = people.path("ann", number)
    used.add(path)
    os.utime(path, (0, 0))
    for _ in range(10):
        people.keep("ann", bytes(20_000), "png", "10.0.0.2")
    for other in range(30):
        people.keep(f"person {other}", bytes(20_000), "png", "10.0.0.2")
    people.sweep()
    assert path.is_file()
    used.clear()
    people.sweep()
    assert not path.exists()


def test_a_server_that_starts_again_finds_how_full_the_disk_is(tmp_path):
    folder = tmp_path / "people" / "abc"
    folder.mkdir(parents=True)
    for number in range(50):
        (folder / f"{number}.png").write_bytes(bytes(20_000))
    people = People(tmp_path, DISK)
    people.keep("ann", bytes(20_000), "png", "10.0.0.2")
    assert 300_000 < total(tmp_path / "people") <= 400_000


@pytest.mark.parametrize(
    ("bounds", "named"),
    [
        ({"share": 1.5}, "at most 1"),
        ({"upload_bytes": 2**30}, "smaller uploads"),
        ({"memory_bytes": MB}, "more memory"),
    ],
)
def test_bounds_that_do_not_go_together(bounds, named):
    with pytest.raises(SettingError, match=named):
        Limits(**bounds)


def test_every_bound_is_explained():
    """A row for each in the table of docs/server.md, with what it is."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (DOCS / "server.md").read_text(), re.MULTILINE))
    units = {"MB": MB, "GB": 2**30, "million": 10**6, "hours": 3600, "hour": 3600, "%": 0.01, "kB": 2**10, "seconds": 1}
    for field in dataclasses.fields(Limits):
        number, _, unit = rows[field.name].strip().replace(",", "").partition(" ")
        assert float(number) * units.get(unit, 1) == pytest.approx(field.default), field.name
    assert rows.keys() == {field.name for field in dataclasses.fields(Limits)}
