"""Pickled checkpoints: their tensors are read, and nothing that they name is ever run."""

import collections
import contextlib
import functools
import io
import operator
import os
import pickle
import subprocess
import sys
import types
from typing import Any

import pytest
import torch

from nulltext.errors import ModelLoadError
from nulltext.models.tensors import open_tensors


def lightning(name="ModelCheckpoint"):
    """A class as a trainer's library has it, which is not there when the file is read."""
    module = types.ModuleType("trainer_of_old")
    made = type(name, (), {"__module__": module.__name__})
    setattr(module, name, made)
    return module, made


def foreign(change):
    """The bytes of a checkpoint with a foreign library's objects beside its tensors."""
    module, made = lightning()
    sys.modules[module.__name__] = module
    try:
        file = io.BytesIO()
        torch.save({"state_dict": {"a.weight": torch.arange(6.0).reshape(2, 3)}, **change(made)}, file)
    finally:
        del sys.modules[module.__name__]
    return file.getvalue()


def with_state(made):
    instance = made()
    instance.best, instance.paths = 0.5, {"last": "x"}
    return instance


class AsDict(dict):
    """Stands for the dictionaries of their own that trainers have."""

    __module__ = "trainer_of_old"
    __qualname__ = "ModelCheckpoint"


def dictionary(made):
    module: Any = sys.modules["trainer_of_old"]
    module.ModelCheckpoint = AsDict
    return {"hyper_parameters": AsDict(rate=1e-4)}


@pytest.mark.parametrize(
    "change",
    [
        lambda made: {"callbacks": {made: {"best": 1.0}}},  # the class itself, as in v1-5-pruned-emaonly.ckpt
        lambda made: {"callbacks": [made()]},
        lambda made: {"callbacks": [with_state(made)]},
        dictionary,
    ],
    ids=["class", "object", "object with state", "dictionary"],
)
def test_objects_of_a_trainer_are_left_aside(tmp_path, change):
    path = tmp_path / "a.ckpt"
    path.write_bytes(foreign(change))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    file = open_tensors(path)
    assert file.shapes == {"a.weight": (2, 3)}
    assert torch.equal(file.read(("a.",))["a.weight"], torch.arange(6.0).reshape(2, 3))


# ---- files that would run something


class Runs:
    """Is pickled as the call of a function."""

    def __init__(self, function, *given, state=None):
        self.call = (function, given, state)

    def __reduce__(self):
        return self.call


def spelling(marker):
    """Ways to write a file, each as the object that would do so when it is unpickled."""
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Runs(os.system, f"touch {marker}"),
        "eval": Runs(eval, code),
        "exec": Runs(exec, code),
        "open": Runs(open, str(marker), "w"),
        "subprocess": Runs(subprocess.check_output, ["touch", str(marker)]),
        "Popen": Runs(subprocess.Popen, ["touch", str(marker)]),
        "getattr": Runs(operator.call, Runs(getattr, Runs(__import__, "builtins"), "exec"), code),
        "nested getattr": [Runs(operator.call, Runs(getattr, Runs(__import__, "os"), "system"), f"touch {marker}")],
        "partial": Runs(functools.partial(os.system, f"touch {marker}")),
        "map": Runs(list, Runs(map, os.system, [f"touch {marker}"])),
        "methodcaller": Runs(operator.methodcaller("system", f"touch {marker}"), Runs(__import__, "os")),
        "attrgetter": Runs(
            operator.call, Runs(operator.attrgetter("system"), Runs(__import__, "os")), f"touch {marker}"
        ),
        "torch.load": Runs(torch.load, str(marker)),
        "torch.save": Runs(torch.save, {}, str(marker)),
        "defaultdict": Runs(collections.defaultdict, functools.partial(os.system, f"touch {marker}")),
        "state": Runs(types.SimpleNamespace, state={"x": Runs(os.system, f"touch {marker}")}),
        "as a key": {Runs(os.system, f"touch {marker}"): 1},
        "runpy": Runs(__import__("runpy").run_path, str(marker)),
    }


SPELLINGS = list(spelling("x"))


def written(path, thing, kind):
    """A checkpoint file with an object beside its tensors, zipped or in the old format, or a bare pickle."""
    whole = {"state_dict": {"a.weight": torch.zeros(2)}, "callbacks": thing}
    if kind == "bare":
        path.write_bytes(pickle.dumps({"callbacks": thing}, protocol=2))
    else:
        torch.save(whole, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "old", "bare"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_nothing_runs(tmp_path, name, kind):
    marker, path = tmp_path / "marker", tmp_path / "a.ckpt"
    written(path, spelling(marker)[name], kind)
    with contextlib.suppress(ModelLoadError):  # either is right, as long as nothing runs
        assert set(open_tensors(path).shapes) <= {"a.weight"}
    assert not marker.exists()


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_cannot_be_left_aside_is_refused_for_what_it_is(tmp_path, name):
    path = tmp_path / "a.ckpt"
    written(path, spelling(tmp_path / "marker")[name], "old")
    with pytest.raises(ModelLoadError, match=r"holds pickled objects beside its tensors.*convert it"):
        open_tensors(path)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # nobody waits for what they start, nor closes what they open
def test_the_spellings_would_run_if_they_were_unpickled(tmp_path):
    """Else the test above would show nothing."""
    ran = set()
    for name in SPELLINGS:
        marker = tmp_path / name.replace(" ", "-")
        path = tmp_path / "a.ckpt"
        written(path, spelling(marker)[name], "bare")
        with contextlib.suppress(Exception):  # some run and then fail
            pickle.loads(path.read_bytes())  # noqa: S301 - our own
        if marker.exists():
            ran.add(name)
    assert ran >= {"os.system", "eval", "exec", "open", "subprocess", "nested getattr", "partial", "as a key"}
