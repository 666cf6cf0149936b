"""The engine of a cluster, on a real one of this machine: the same table as on one machine, whatever dies."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nulltext.batch import dataset, run
from nulltext.batch.manifest import rows_of
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
COUNT = int(os.environ.get("NULLTEXT_BATCH_KILLED_ROWS", "48"))
"""Rows of the test that kills."""
ON_RAY = Machines(engine="ray", actors=1, at_a_time=3)


@pytest.fixture(scope="module")
def ray() -> Any:
    """Two processors, which is all that Ray is told of this machine."""
    ray = pytest.importorskip("ray")
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": _environment()}
    )
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


def same(here: Path, there: Path) -> None:
    """Makes sure that two folders have one table, and images that differ by no more than rounding."""
    one, other = table(here), table(there)
    assert one.keys() == other.keys()
    for key, record in one.items():
        for name, at in record.items():
            expected = pytest.approx(at, abs=0.01) if isinstance(at, float) else at
            assert other[key][name] == expected, (key, name)
        if record["output"] is not None:
            images = [np.asarray(Image.open(folder / record["output"]), int) for folder in (here, there)]
            assert np.abs(images[0] - images[1]).max() <= 1
    assert not list((there / "rows").glob("*"))


def test_both_engines_make_the_same_table(ray, plan, model, photos, tmp_path, capfd):
    rows = [row(path) for path in photos(7)]
    rows += [row("missing.png"), row(photos(7)[0], prompt="", id="empty"), row(photos(7)[0], size="huge", id="size")]
    list(run(rows, tmp_path / "here", plan=plan, model=model))
    records = list(run(rows, tmp_path / "ray", plan=plan, machines=ON_RAY))
    assert len(records) == len(rows)
    same(tmp_path / "here", tmp_path / "ray")
    said = capfd.readouterr()
    assert "Running" not in said.out + said.err  # Ray Data's bars
    assert "Execution" not in said.out + said.err  # its messages


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


def test_actors_count_for_the_metrics_of_ray(ray, plan, photos, tmp_path, monkeypatch):
    from ray.util.metrics import Counter

    from nulltext.batch.ray import _Actor

    counted: dict[str, float] = {}

    def inc(counter: Any, value: float = 1.0, tags: Any = None) -> None:
        counted[counter.info["name"]] = counted.get(counter.info["name"], 0.0) + value

    monkeypatch.setattr(Counter, "inc", inc)
    rows = list(rows_of([row(path) for path in photos(3)] + [row("missing.png")]))
    empty = [b""] * len(rows)
    actor = _Actor(plan, Storage(str(tmp_path / "out")))
    actor({"row": [each.to_json() for each in rows], "image": empty, "mask": empty})
    assert counted.pop("nulltext_batch_seconds") > 0
    assert counted == {"nulltext_batch_edits_done": 3, "nulltext_batch_edits_failed": 1}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each; it ends the other cluster of these tests, and so stands last."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, runtime_env={"env_vars": _environment()})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_is_lost_and_actors_that_are_killed_cost_nothing(cluster, plan, model, photos, tmp_path):
    """Three times kill -9, each at another place, and a node that is removed between the second and the third."""
    rows = [row(path) for path in photos(COUNT)] + [row("missing.png")]
    few = replace(plan, at_once=1)
    list(run(rows, tmp_path / "here", plan=few, model=model))
    places, killed, told = [COUNT // 8, COUNT // 4, COUNT // 2], 0, list[tuple[str, int]]()
    for record in run(rows, tmp_path / "there", plan=few, machines=Machines(engine="ray", actors=2, at_a_time=2)):
        told.append((record["id"], record["edit"]))
        if killed < len(places) and len(told) >= places[killed] and (found := actors()):
            os.kill(found[0], signal.SIGKILL)
            killed += 1
            if killed == 2:
                (other,) = cluster.worker_nodes
                cluster.remove_node(other, allow_graceful=False)
    assert killed == 3
    assert len(told) == len(set(told)) == len(rows)  # nothing lost, nothing twice
    same(tmp_path / "here", tmp_path / "there")
    assert len(list((tmp_path / "there" / "images").iterdir())) == COUNT
