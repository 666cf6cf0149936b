"""The training images: rendered once, by workers that a Ctrl-C stops."""

import multiprocessing
import os
import signal
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nulltext.progress import Progress
from nulltext.training.data import load_shards, render_shards, shard_scenes, to_bytes, to_pixels


def test_shards_are_rendered_once_and_those_of_another_size_stay_apart(tmp_path: Path) -> None:
    events: list[Progress] = []
    (path,) = render_shards(tmp_path, 1, size=4, workers=1)
    written = path.stat().st_mtime_ns
    assert render_shards(tmp_path, 2, size=4, workers=1, on_progress=events.append)[0] == path
    assert [(event.step, event.total) for event in events] == [(1, 2), (2, 2)]
    assert path.stat().st_mtime_ns == written
    pixels, masks = load_shards(render_shards(tmp_path, 1, size=6, workers=1))
    assert len(pixels) == len(masks) == 6
    assert torch.equal(pixels[:4], load_shards([path])[0])
    assert len(shard_scenes(3, 10)) == 10


@pytest.mark.parametrize(
    "damage",
    [
        lambda one, _: one.write_bytes(one.read_bytes()[:-100]),
        lambda one, _: one.write_bytes(one.read_bytes()[:-1] + bytes([one.read_bytes()[-1] ^ 1])),
        lambda one, _: one.write_bytes(b"hello"),
        lambda one, _: save_file(load_file(one), one),
        lambda one, other: (one.rename(one.with_name("x")), other.rename(one), one.with_name("x").rename(other)),
    ],
    ids=["truncated", "altered", "something else", "without its stamp", "swapped"],
)
def test_a_damaged_shard_is_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage) -> None:
    @contextmanager
    def here(_count: int, *_begin: object):  # the same work without processes, which take seconds to start
        pool = ThreadPool(1)
        yield pool
        pool.terminate()

    monkeypatch.setattr("nulltext.training.data.processes", here)
    paths = render_shards(tmp_path, 2, size=1, workers=1)
    whole, written = load_shards(paths), [path.read_bytes() for path in paths]
    damage(*paths)
    damaged = [path.read_bytes() for path in paths]
    assert damaged != written
    assert all(map(torch.equal, load_shards(render_shards(tmp_path, 2, size=1, workers=1)), whole))
    assert [path.read_bytes() for path in paths] != damaged


def test_bytes_and_pixels() -> None:
    stored = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_pixels(stored)), stored)


def test_ctrl_c_is_not_for_the_workers_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    def interrupt(event: Progress) -> None:
        if event.step:
            (worker,) = multiprocessing.active_children()
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGINT)  # as a terminal does: to all that were started there
            worker.join(1)
            assert worker.is_alive()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_shards(tmp_path, 1000, size=2, workers=1, on_progress=interrupt)
    assert not multiprocessing.active_children()
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}
