import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nulltext import DDIM, CaptionSwap, Inversion, NullText, open_image
from nulltext.errors import (
    DamagedFileError,
    FileVersionError,
    ForeignFileError,
    InversionFileError,
    InversionFileNotFoundError,
    OutputExistsError,
)
from nulltext.inversion.storage import digest

CAPTION = "a red ball on grass, “naïve”"


@pytest.fixture(scope="module")
def inversion(model, photo):
    return NullText(steps=3, inner_steps=1)(model, photo, CAPTION)


@pytest.fixture
def path(inversion, tmp_path):
    return inversion.save(tmp_path / "a.safetensors")


def rewrite(path, change_tensors=None, **metadata):
    with safe_open(path, framework="pt") as file:
        kept = file.metadata()
    tensors = load_file(path)
    if change_tensors is not None:
        change_tensors(tensors)
    kept = {key: value for key, value in (kept | metadata).items() if value is not None}
    save_file(tensors, path, kept | {"digest": digest(tensors, kept)})


def test_comes_back_as_it_was(inversion, path):
    back = Inversion.load(path)
    for field in dataclasses.fields(Inversion):
        before, after = getattr(inversion, field.name), getattr(back, field.name)
        same = torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after
        assert same, field.name


def test_without_null_embeddings(model, photo, tmp_path):
    path = DDIM(steps=2)(model, photo, CAPTION).save(tmp_path / "d.safetensors")
    assert Inversion.load(path).nulls is None
    assert "nulls" not in load_file(path)


@pytest.mark.parametrize("with_nulls", [True, False])
def test_with_a_conditional_embedding(inversion, tmp_path, with_nulls):
    kept = dataclasses.replace(inversion, cond=2 * inversion.nulls[0], nulls=inversion.nulls if with_nulls else None)
    back = Inversion.load(kept.save(tmp_path / "c.safetensors"))
    assert torch.equal(back.cond, kept.cond)
    assert (back.nulls is not None) == with_nulls


def test_an_edit_from_the_file_has_the_photographs_size_and_surroundings(model, path, picture):
    edit = CaptionSwap()(model, Inversion.load(path), "a cat")
    assert edit.image.size == edit.reconstruction.size == picture.size
    left = np.asarray(edit.image)[:, :8]  # 96 x 80 cropped to 80 x 80 leaves 8 on either side
    assert np.array_equal(left, np.asarray(picture)[:, :8])


def test_the_record_can_be_read_without_the_package(path):
    with safe_open(path, framework="np") as file:
        record = file.metadata()
    assert record["format"] == "nulltext.inversion"
    assert json.loads(record["caption"]) == CAPTION
    assert json.loads(record["method"]) == "NullText"
    assert json.loads(record["settings"])["inner_steps"] == 1
    assert {"sha256", "schedule", "model", "frame", "scores", "version", "guidance"} <= record.keys()


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


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_truncated(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(DamagedFileError, match="invert the picture again"):
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


def test_a_newer_format(path):
    rewrite(path, format_version="2")
    with pytest.raises(FileVersionError, match="format version '2'"):
        Inversion.load(path)


def spoil_nan(tensors):
    tensors["nulls"][0, 0, 0] = float("nan")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("pivot"), "without 'pivot'"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra"),
        (lambda t: t.update(pivot=t["pivot"].half()), "float16"),
        (lambda t: t.update(pivot=t["pivot"][0]), r"shape \[4, 8, 8\]"),
        (lambda t: t.update(cond=t["nulls"].clone()), r"'cond'.*expected torch.float32 with 2 axes"),
        (lambda t: t.update(cond=t["nulls"][0, 1:].clone()), r"cond.*23, ?32"),
        (spoil_nan, "not finite"),
    ],
)
def test_tensors_that_are_wrong(path, change, named):
    rewrite(path, change)
    with pytest.raises(DamagedFileError, match=named):
        Inversion.load(path)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"caption": None}, "caption"),
        ({"schedule": "["}, "not JSON"),
        ({"schedule": "[]"}, "0 steps"),
        ({"guidance": '"much"'}, "much"),
        ({"model": "{}"}, "id"),
        ({"scores": "[1, 2]"}, "record"),
        (
            {"frame": '{"size": [80, 96], "fitted": [64, 64], "part": [8, 0, 500, 80], "content": [0, 0, 64, 64]}'},
            "500",
        ),
        ({"frame": '{"size": [90, 96], "fitted": [64, 64], "part": [8, 0, 88, 80], "content": [0, 0, 64, 64]}'}, "90"),
    ],
)
def test_a_record_that_is_wrong(path, metadata, named):
    rewrite(path, **metadata)
    with pytest.raises(DamagedFileError, match=named):
        Inversion.load(path)


def test_a_padded_photograph(model, tmp_path):
    photo = open_image(Image.new("RGB", (60, 20), "red"), model, fit="pad")
    path = DDIM(steps=1)(model, photo, "a red ball").save(tmp_path / "p.safetensors")
    assert CaptionSwap()(model, Inversion.load(path), "a cat").image.size == (60, 20)
