"""What the engines cost beside the work itself: against a plain loop, and with a network that answers at once.

``NULLTEXT_BATCH_LOOP_ROWS`` and ``NULLTEXT_BATCH_STUB_ROWS`` ask for other counts of rows; ``-s`` shows the figures.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from PIL import Image

from nulltext import edit_many, invert_many, load, open_image, to_image
from nulltext.batch import Plan, run
from nulltext.batch import worker as worker_module
from nulltext.batch.results import Results
from nulltext.batch.run import Machines
from nulltext.batch.storage import Storage
from nulltext.editing.methods.prompt_swap import PromptSwap
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.models.base import Model
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::nulltext.models.sizes.SizeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LOOP_ROWS = int(os.environ.get("NULLTEXT_BATCH_LOOP_ROWS", "64"))
STUB_ROWS = int(os.environ.get("NULLTEXT_BATCH_STUB_ROWS", "20000"))
AT_ONCE, SIDE, ROUNDS, MOST_OVERHEAD, MOST_STUB_S = 8, 64, 3, 0.05, 600
PLAN = Plan(inverter=DirectInversion(steps=10), size=f"{SIDE}x{SIDE}", at_once=AT_ONCE)


@pytest.fixture(scope="module")
def model() -> Model:
    """The embedded one, which the processes of Ray load as well."""
    return load("scenes", device="cpu")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder, found = tmp_path_factory.mktemp("photographs"), []
    for at in range(LOOP_ROWS):
        scene = sample_scene(HELD_OUT_SEEDS[830_000 + at])
        path = folder / f"{at:04d}.png"
        to_image(render([scene], height=SIDE, width=SIDE).pixels).save(path)
        found.append(
            {"image": str(path), "prompt": caption(scene), "edit": caption(next(iter(one_word_edits(scene)))[1])}
        )
    return found


def _plain(model: Model, rows: list[dict[str, str]], out: Path) -> None:
    """A loop as anybody would write it, eight photographs at once."""
    for first in range(0, len(rows), AT_ONCE):
        some = rows[first : first + AT_ONCE]
        images = [(open_image(row["image"], model, size=(SIDE, SIDE)), row["prompt"]) for row in some]
        made = dict(invert_many(model, PLAN.inverter, images, at_once=AT_ONCE))
        jobs = [(PLAN.editor, made[at], row["edit"]) for at, row in enumerate(some)]
        for at, edit in edit_many(model, jobs, at_once=AT_ONCE):
            edit.image.save(out / f"{first + at}.png")


def _seconds(clock: Callable[[], float], work: Callable[[], None]) -> float:
    start = clock()
    work()
    return clock() - start


def _engine(rows: list[dict[str, str]], out: Path, plan: Plan, machines: Machines, **more: Any) -> None:
    assert len(list(run(rows, out, plan=plan, machines=machines, **more))) == len(rows)


def _pace(out: Path) -> float:
    """Seconds a row after the first that were given together: without the time in which processes begin."""
    done = sorted(record["finished"] for record in Results(Storage(str(out))).records())
    return (done[-1] - done[AT_ONCE - 1]) / (len(done) - AT_ONCE)


@pytest.fixture(scope="module")
def ray(folder: Any) -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    named = {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in os.environ}
    found = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]  # this module is found
    named |= {"PYTHONPATH": os.pathsep.join(found), "OMP_NUM_THREADS": "1", "NULLTEXT_STUB": str(folder())}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False,
             runtime_env={"env_vars": named, "worker_process_setup_hook": _answer_at_once})  # fmt: skip
    yield ray
    ray.shutdown()


def _answer_at_once() -> None:
    """In a process of Ray: of the tiny pipeline a model is loaded whose network and autoencoder compute nothing."""
    from nulltext.batch import worker

    real = worker.load

    def load_stub(name: str, **more: Any) -> Any:
        model = real(name, **more)
        if name == os.environ["NULLTEXT_STUB"]:
            scale, channels = model.scale, model.latent_channels
            stub = {
                "predict": lambda x, *_: torch.zeros_like(x),
                "encode": lambda pixels: torch.zeros(
                    len(pixels), channels, pixels.shape[-2] // scale, pixels.shape[-1] // scale
                ),
                "decode": lambda latents: torch.zeros(
                    len(latents), 3, latents.shape[-2] * scale, latents.shape[-1] * scale
                ),
            }
            for part, answer in stub.items():
                object.__setattr__(model, part, answer)
        return model

    worker.load = load_stub


def test_one_machine_costs_no_more_than_a_loop(model, rows, tmp_path_factory):
    """In seconds of the processor, of all threads, which other work on the machine does not change."""
    _plain(model, rows[:AT_ONCE], tmp_path_factory.mktemp("warm"))
    loops, engine = list[float](), list[float]()
    for _ in range(ROUNDS):
        out, here = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("here")
        loops.append(_seconds(time.process_time, lambda out=out: _plain(model, rows, out)))
        engine.append(_seconds(time.process_time, lambda here=here: _engine(rows, here, PLAN, Machines(), model=model)))
    print(f"{len(rows)} rows: a plain loop {loops}, one machine {engine} s of the processor")  # noqa: T201  the figure is what it is run for
    assert median(engine) <= (1 + MOST_OVERHEAD) * median(loops)


def test_a_cluster_costs_no_more_than_a_loop(model, rows, ray, tmp_path):
    """In seconds of the clock, on a machine that does nothing else, with a loop before and behind."""
    loops = [_seconds(time.perf_counter, lambda: _plain(model, rows, tmp_path)) / len(rows)]
    _engine(rows, tmp_path / "there", PLAN, Machines(engine="ray", actors=1, at_a_time=AT_ONCE))
    loops.append(_seconds(time.perf_counter, lambda: _plain(model, rows, tmp_path)) / len(rows))
    pace = _pace(tmp_path / "there")
    print(f"{len(rows)} rows: a plain loop {loops}, Ray {pace} s a row")  # noqa: T201  the figure is what it is run for
    assert pace <= (1 + MOST_OVERHEAD) * median(loops)


def test_twenty_thousand_rows_pass_through_a_cluster(ray, folder, tmp_path):
    """Of a network that answers at once: what is left is reading, scheduling, writing and the table."""
    assert worker_module.load is load  # here nothing is replaced
    for at in range(8):
        Image.new("RGB", (SIDE, SIDE), (at * 30, 90, 120)).save(tmp_path / f"{at}.png")
    rows = [
        {"image": str(tmp_path / f"{at % 8}.png"), "prompt": "a red ball", "edit": "a blue ball", "id": f"{at:06d}"}
        for at in range(STUB_ROWS)
    ]
    plan = Plan(model=str(folder()), inverter=DirectInversion(steps=1), editor=PromptSwap(), at_once=AT_ONCE)
    machines = Machines(engine="ray", actors=1, at_a_time=64)
    seconds = _seconds(time.perf_counter, lambda: _engine(rows, tmp_path / "out", plan, machines))
    print(f"{STUB_ROWS} rows of a network that answers at once: {seconds:.0f} s")  # noqa: T201  the figure is what it is run for
    assert sum(record["status"] == "done" for record in Results(Storage(str(tmp_path / "out"))).records()) == STUB_ROWS
    assert seconds <= MOST_STUB_S * max(1.0, STUB_ROWS / 20_000)
