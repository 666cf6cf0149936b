"""What an inversion file keeps, and what is refused as none."""

import dataclasses
import json
import math
import os
import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.inversion.rewriting import PROMPT, as_of, rewrite

import nulltext
from nulltext import DDIM, Inversion, PromptSwap, Replay, open_image
from nulltext.errors import (
    DamagedFileError,
    FileVersionError,
    ForeignFileError,
    InversionFileError,
    InversionFileNotFoundError,
    MismatchError,
    OutputExistsError,
    SettingError,
)
from nulltext.inversion.base import Scores
from nulltext.inversion.file import FORMAT_VERSION
from nulltext.inversion.table import INVERTERS


def test_comes_back_as_it_was(inversion, path):
    back = Inversion.load(path)
    for field in dataclasses.fields(Inversion):
        before, after = getattr(inversion, field.name), getattr(back, field.name)
        if field.name == "reconstruction":  # which a file does not hold
            before = None
        if isinstance(before, Replay):
            assert before.tensors().keys() == after.tensors().keys()
            assert all(torch.equal(tensor, after.tensors()[name]) for name, tensor in before.tensors().items())
            before, after = before.record(), after.record()
        same = torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after
        assert same, field.name


def test_without_null_embeddings(model, source_image, tmp_path):
    path = DDIM(steps=2)(model, source_image, PROMPT).save(tmp_path / "d.safetensors")
    assert Inversion.load(path).replay.nulls is None
    assert "replay.nulls" not in load_file(path)


@pytest.mark.parametrize("with_nulls", [True, False])
def test_with_a_conditional_embedding(inversion, tmp_path, with_nulls):
    nulls = inversion.replay.nulls if with_nulls else None
    replay = Replay(cond=2 * inversion.replay.nulls[0], nulls=nulls)
    kept = dataclasses.replace(inversion, replay=replay, method="Another")
    back = Inversion.load(kept.save(tmp_path / "c.safetensors"))
    torch.testing.assert_close(back.replay.cond, kept.replay.cond, rtol=0, atol=0)
    assert (back.replay.nulls is not None) == with_nulls


def test_an_edit_from_the_file_has_the_images_size_and_surroundings(model, path, image):
    edit = PromptSwap()(model, Inversion.load(path), "a cat")
    assert edit.image.size == edit.reconstruction.size == image.size
    left = np.asarray(edit.image)[:, :8]  # 96 x 80 cropped to 80 x 80 leaves 8 on either side
    assert np.array_equal(left, np.asarray(image)[:, :8])


def test_the_record_can_be_read_without_the_package(path):
    with safe_open(path, framework="np") as file:
        record = file.metadata()
    assert record["format"] == "nulltext.inversion"
    assert json.loads(record["prompt"]) == PROMPT
    assert json.loads(record["method"]) == "NullText"
    assert json.loads(record["settings"])["inner_steps"] == 1
    assert {"sha256", "schedule", "model", "frame", "scores", "version", "guidance", "replay"} <= record.keys()


def test_never_overwrites_unless_asked(inversion, path):
    before = path.read_bytes()
    with pytest.raises(OutputExistsError):
        inversion.save(path)
    assert path.read_bytes() == before
    inversion.save(path, overwrite=True)


def test_no_such_file(tmp_path):
    with pytest.raises(InversionFileNotFoundError, match="does not exist"):
        Inversion.load(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        Inversion.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="is no regular file"):
        Inversion.load(tmp_path / "pipe")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_truncated(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(DamagedFileError, match="invert the image again"):
        Inversion.load(path)


def test_one_byte_changed_anywhere(path):
    data = path.read_bytes()
    for at in [*range(0, len(data), 997), len(data) - 1]:
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(InversionFileError):
            Inversion.load(path)


def test_a_pickle_of_that_name(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    path = tmp_path / "a.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DamagedFileError, match=r"no \.safetensors"):
        Inversion.load(path)
    torch.save({"pivot": torch.zeros(2)}, path)
    with pytest.raises(DamagedFileError):
        Inversion.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_file(tmp_path, metadata):
    save_file({"pivot": torch.zeros(2)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(ForeignFileError, match=r"expected 'nulltext\.inversion'"):
        Inversion.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("version", "named"),
    [
        (str(FORMAT_VERSION + 1), "written by a newer package"),
        ("12", "newer"),
        ("0", "reads versions up to"),
        ("1.5", "reads"),
        ("", "none"),
        ("9" * 5000, "'99999999999999999999';"),
    ],
)
def test_another_format(path, version, named):
    rewrite(path, lambda f: f.r.update(format_version=version))
    with pytest.raises(FileVersionError, match=named) as error:
        Inversion.load(path)
    assert len(str(error.value)) < 1000


def test_every_method_is_known(model, source_image):
    methods = {
        name
        for name in nulltext.__all__
        if isinstance(one := getattr(nulltext, name), type) and issubclass(one, nulltext.Inverter)
    }
    assert methods - {"Inverter"} == {entry.class_name for entry in INVERTERS.values()}
    for entry in INVERTERS.values():
        inverter = entry.load()
        few = {"steps": 1} | ({"inner_steps": 1} if "inner_steps" in inverter.__dataclass_fields__ else {})
        assert inverter(**few)(model, source_image, "a cat").replay.form == inverter.replays, (
            "it does not say what it has"
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": "\udcff"}, "half a character"),
        ({"guidance": 20.0}, "guidance 7.5"),
        ({"settings": {"steps": 3, "guidance": 7.5, "of": object()}}, "not JSON serializable"),
        ({"settings": {"steps": 3, "guidance": 7.5, "of": float("nan")}}, "JSON"),
        ({"replay": Replay()}, "nulls no"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(inversion, tmp_path, change, named):
    with pytest.raises(SettingError, match=named):
        dataclasses.replace(inversion, **change).save(tmp_path / "a.safetensors")
    assert not any(tmp_path.iterdir())


def test_a_name_that_is_no_inversion_files(inversion, tmp_path):
    with pytest.raises(SettingError, match=r"expected an inversion file's name, ending in \.safetensors"):
        inversion.save(tmp_path / "a.png")


def test_equal_images_have_an_infinite_score(inversion, tmp_path):
    equal = dataclasses.replace(inversion, scores=Scores(vae_psnr=math.inf, psnr=30.0))
    path = equal.save(tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["scores"]) == {"vae_psnr": None, "psnr": 30.0}
    assert Inversion.load(path).scores == equal.scores


def test_a_file_of_version_1_says_infinity(path):
    rewrite(path, lambda f: as_of("1", f).r.update(scores={"vae_psnr": float("inf"), "psnr": 30.0}))
    assert Inversion.load(path).scores.vae_psnr == math.inf


@pytest.mark.parametrize("name", ["nulls", "cond"])
@pytest.mark.parametrize("shape", [(5, 32), (24, 8)])
def test_embeddings_of_a_size_that_the_model_does_not_read(model, inversion, name, shape):
    tensor = torch.zeros(*([3] if name == "nulls" else []), *shape)
    embeddings: Any = {name: tensor}
    other = dataclasses.replace(inversion, replay=Replay(**embeddings))
    with pytest.raises(MismatchError, match=re.escape(f"{list(shape)}; expected [24, 32]")):
        other.check(model)


def test_a_padded_image(model, tmp_path):
    source_image = open_image(Image.new("RGB", (60, 20), "red"), model, fit="pad")
    path = DDIM(steps=1)(model, source_image, "a red ball").save(tmp_path / "p.safetensors")
    assert PromptSwap()(model, Inversion.load(path), "a cat").image.size == (60, 20)
