"""The engine of a cluster, on a real one of this machine: the same table as on one machine, whatever dies."""

import logging
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nulltext.batch import dataset, run
from nulltext.batch.records import COLUMNS
from nulltext.batch.results import Results
from nulltext.batch.run import Machines
from nulltext.batch.storage import Storage

pytestmark = [
    pytest.mark.slow,
    # Ray starts processes and opens sockets that end with it, and says so in ways that are not ours to mend.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PROMPT, EDIT = "a red ball", "a blue ball"
TIMES = {"seconds", "finished", "device", "output_sha256"}
"""What may differ: an actor shares batches with other rows than a device of this machine does, which rounds."""
ON_RAY = Machines(engine="ray", actors=1, at_a_time=3)


@pytest.fixture(scope="module")
def ray() -> Any:
    """Two processors, which is all that Ray is told of this machine."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": _environment()})
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield ray
    ray.shutdown()


def _environment() -> dict[str, str]:
    """Where the package under test is, and that there is no GPU, for the processes that Ray starts."""
    named = {name: os.environ[name] for name in ("PYTHONPATH", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    return named | {"OMP_NUM_THREADS": "1"}


def row(image: object, **more: Any) -> dict[str, Any]:
    return {"image": str(image), "prompt": PROMPT, "edit": EDIT, **more}


def actors() -> list[int]:
    """The processes of Ray that hold a model."""
    found = ((path, path.joinpath("cmdline")) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [int(path.name) for path, line in found if line.exists() and b"ray::MapWorker" in line.read_bytes()]


def table(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    found = {}
    for record in Results(Storage(str(out))).records():
        found[record["id"], record["edit"]] = {name: at for name, at in record.items() if name not in TIMES}
    return found


def test_both_engines_make_the_same_table(ray, plan, model, photos, tmp_path):
    rows = [row(path) for path in photos(7)]
    rows += [row("missing.png"), row(photos(7)[0], prompt="", id="empty"), row(photos(7)[0], size="huge", id="size")]
    list(run(rows, tmp_path / "here", plan=plan, model=model))
    records = list(run(rows, tmp_path / "ray", plan=plan, machines=ON_RAY))
    assert len(records) == len(rows)
    here, there = table(tmp_path / "here"), table(tmp_path / "ray")
    assert here.keys() == there.keys()
    for key, record in here.items():
        for name, at in record.items():
            expected = pytest.approx(at, abs=0.01) if isinstance(at, float) else at
            assert there[key][name] == expected, (key, name)
        if record["output"] is not None:
            one, other = (np.asarray(Image.open(tmp_path / place / record["output"]), int) for place in ("here", "ray"))
            assert np.abs(one - other).max() <= 1
    assert not list((tmp_path / "ray" / "rows").glob("*"))


def test_an_actor_that_is_killed_is_begun_again(ray, plan, photos, tmp_path):
    rows, killed = [row(path) for path in photos(12)], 0
    for _ in run(rows, tmp_path / "out", plan=replace(plan, at_once=1), machines=ON_RAY):
        if killed < 2:
            for process in actors():
                os.kill(process, signal.SIGKILL)
                killed += 1
    assert killed
    found = table(tmp_path / "out")
    assert len(found) == 12
    assert all(record["status"] == "done" for record in found.values())


def test_a_step_of_ones_own_pipeline(ray, plan, photos, tmp_path):
    rows = ray.data.from_items([row(path) for path in photos(4)])
    done = dataset(rows, tmp_path / "out", plan=plan, machines=ON_RAY).take_all()
    assert len(done) == 4
    assert set(done[0]) == set(COLUMNS)
    assert all((tmp_path / "out" / record["output"]).is_file() for record in done)
