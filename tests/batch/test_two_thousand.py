"""Two thousand photographs with twenty bad ones among them: every other is edited, each bad one has its reason, the two
engines make one table, and memory stays where it is.

``NULLTEXT_BATCH_ROWS`` and ``NULLTEXT_BATCH_RAY_ROWS`` ask for other counts of rows.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Self

import psutil
import pytest
from PIL import Image

from nulltext import to_image
from nulltext.batch import Plan, run
from nulltext.batch.results import Results
from nulltext.batch.run import Machines
from nulltext.batch.storage import Storage
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::nulltext.models.sizes.SizeWarning"),  # a quarter of the pixels, and of the time
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROWS = int(os.environ.get("NULLTEXT_BATCH_ROWS", "2000"))
RAY_ROWS = min(ROWS, int(os.environ.get("NULLTEXT_BATCH_RAY_ROWS", f"{ROWS}")))
BAD, SIDE, TOGETHER = 20, 64, 16
PLAN = Plan(inverter=DirectInversion(steps=4), size=f"{SIDE}x{SIDE}", at_once=8)
LARGE = (RAY_ROWS // 50, RAY_ROWS // 2)
"""Where photographs of 40 megapixels are: what they take the process keeps, so that the second must find it there."""
TIMES = {"seconds", "finished", "device", "output_sha256", "bytes"}
"""What may differ: which rows share a batch depends on the engine, which rounds, and not on the row."""
MB = 2**20


def _photographs(folder: Path, count: int) -> list[dict[str, Any]]:
    rows = []
    for first in range(0, count, TOGETHER):
        scenes = [sample_scene(HELD_OUT_SEEDS[820_000 + at]) for at in range(first, min(first + TOGETHER, count))]
        for at, (scene, pixels) in enumerate(
            zip(scenes, render(scenes, height=SIDE, width=SIDE).pixels, strict=True), start=first
        ):
            name = folder / f"{at:05d}.png"
            to_image(pixels[None]).save(name)
            _, edited = next(one_word_edits(scene))
            rows.append({"image": str(name), "prompt": caption(scene), "edit": caption(edited)})
    return rows


def _unreadable(folder: Path) -> Path:
    """A file that is there and nobody may read; root may read all, but not what a link to itself names."""
    path = folder / "unreadable.png"
    if os.geteuid() == 0:
        path.symlink_to(path)
    else:
        path.write_bytes(b"")
        path.chmod(0)
    return path


def _bad(folder: Path, fine: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of which nothing can be made, each for another reason."""
    whole = Path(fine["image"]).read_bytes()
    files = {"cut": whole[: len(whole) // 2], "text": b"no image", "empty": b"", "noise": os.urandom(5000)}
    paths = {name: folder / f"{name}.png" for name in (*files, "bomb", "mask", "pipe", "folder")}
    for name, data in files.items():
        paths[name].write_bytes(data)
    Image.new("1", (20_000, 20_000)).save(paths["bomb"])
    Image.new("L", (7, 99), 255).save(paths["mask"])
    os.mkfifo(paths["pipe"])
    paths["folder"].mkdir()
    changes: list[dict[str, Any]] = [
        *({"image": str(paths[name])} for name in ("cut", "text", "empty", "noise", "bomb", "pipe", "folder")),
        {"image": str(_unreadable(folder))},
        {"image": str(folder / "missing.png")},
        {"image": ""},
        {"prompt": "a photo of a zeppelin"},
        {"prompt": " "},
        {"prompt": "a red ball " * 99},
        {"edit": "a photo of a zeppelin"},
        {"edit": ""},
        {"mask": str(paths["mask"])},
        {"mask": str(folder / "nowhere.png")},
        {"size": "99999x99999"},
        {"steps": "0"},
        {"blend": "zeppelin:ball"},
    ]
    assert len(changes) == BAD
    return [fine | change | {"id": f"bad-{at:02d}"} for at, change in enumerate(changes)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """So many rows; the bad ones are among the first, which both engines do, and two photographs have 40 megapixels."""
    folder = tmp_path_factory.mktemp("photographs")
    found = _photographs(folder, ROWS - BAD)
    for at in LARGE:
        Image.new("RGB", (8000, 5000), (90, 140, 200)).save(found[at]["image"])
    for at, bad in enumerate(_bad(folder, found[0])):
        found.insert(at * RAY_ROWS // BAD, bad)
    return found


class Memory:
    """What processes hold for themselves, by their parts of a run: those of this one, and of the workers of Ray."""

    def __init__(self, every_s: float = 1.0) -> None:
        self.every_s, self.seen = every_s, list[tuple[float, dict[str, float]]]()
        self.share, self.stop = 0.0, threading.Event()

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _sample(self) -> None:
        while not self.stop.wait(self.every_s):
            now = {"driver": psutil.Process().memory_full_info().uss / MB}
            for each in psutil.process_iter(["cmdline"]):
                line = " ".join(each.info["cmdline"] or ())
                if line.startswith("ray::MapWorker"):
                    try:
                        now[f"actor {each.pid}"] = each.memory_full_info().uss / MB
                    except psutil.Error:
                        continue
            self.seen.append((self.share, now))

    def tenths(self, who: str) -> list[float]:
        """The medians of the tenths of a run, MB."""
        parts = [[at[who] for share, at in self.seen if int(share * 10) == part and who in at] for part in range(10)]
        return [median(part) for part in parts if part]

    def check(self) -> None:
        """Makes sure that after the first tenth nobody grows by more than 5 %."""
        assert self.seen
        for name in self.seen[-1][1]:
            tenths = self.tenths(name)
            assert len(tenths) > 5, f"{name} was seen in {len(tenths)} tenths of the run alone"
            assert max(tenths[1:]) <= 1.05 * tenths[1], (name, tenths)

    def __str__(self) -> str:
        return "; ".join(f"{name} {[round(at) for at in self.tenths(name)]} MB" for name in self.seen[-1][1])


def _run(rows: list[dict[str, Any]], out: Path, machines: Machines) -> "Made":
    start = time.monotonic()
    with Memory() as memory:
        for at, _ in enumerate(run(rows, out, plan=PLAN, machines=machines), start=1):
            memory.share = at / (len(rows) + 1)
    print(f"{len(rows)} rows in {time.monotonic() - start:.0f} s: {memory}")  # noqa: T201  for who runs it with -s
    return out, memory


def table(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The table but for times, by rows."""
    records = list(Results(Storage(str(out))).records())
    found = {(each["id"], each["edit"]): {k: v for k, v in each.items() if k not in TIMES} for each in records}
    assert len(found) == len(records)
    return found


def _counted(found: dict[tuple[str, int], dict[str, Any]], count: int) -> None:
    assert len(found) == count
    done = [record for record in found.values() if record["status"] == "done"]
    failed = {name: record for (name, _), record in found.items() if record["status"] == "failed"}
    assert len(done) == count - BAD
    assert sorted(failed) == [f"bad-{at:02d}" for at in range(BAD)]
    for record in failed.values():
        assert record["reason"]
        assert not record["trace"], record  # each was foreseen
        assert record["output"] is None


Made = tuple[Path, Memory]
"""A folder of results, and what processes held while they were made."""


@pytest.fixture(scope="module")
def here(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What one machine makes of all rows."""
    return _run(rows, tmp_path_factory.mktemp("here"), Machines(devices=("cpu",)))


@pytest.fixture(scope="module")
def there(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """What a cluster of two processors makes of the first."""
    ray = pytest.importorskip("ray")
    named = {name: os.environ[name] for name in ("PYTHONPATH", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False,
             runtime_env={"env_vars": named | {"OMP_NUM_THREADS": "1"}})  # fmt: skip
    yield _run(rows[:RAY_ROWS], tmp_path_factory.mktemp("there"), Machines(engine="ray", actors=1))
    ray.shutdown()


def test_one_machine_makes_all_that_can_be_made(here, rows):
    out, _ = here
    _counted(table(out), len(rows))
    for at in LARGE:
        with Image.open(out / "images" / f"{at:05d}.png") as image:
            assert image.size == (8000, 5000)
    assert len(list((out / "images").iterdir())) == len(rows) - BAD


def test_its_memory_stays_where_it_is(here):
    here[1].check()


def test_a_cluster_makes_the_same_table(here, there):
    found, expected = table(there[0]), table(here[0])
    _counted(found, RAY_ROWS)
    for key, record in found.items():
        for name, at in record.items():
            other = expected[key][name]
            assert at == (pytest.approx(other, abs=0.01) if isinstance(other, float) else other), (key, name)


def test_the_memory_of_its_processes_stays_where_it_is(there):
    there[1].check()
