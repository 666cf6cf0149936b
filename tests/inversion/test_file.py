import dataclasses
import io
import json
import math
import os
import pickle
import re
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

import nulltext
from nulltext import DDIM, Inversion, NullText, PromptSwap, Replay, open_image
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
from nulltext.inversion.file import FORMAT_VERSION, digest
from nulltext.inversion.table import INVERTERS

PROMPT = "a red ball on grass, “naïve”"


@pytest.fixture(scope="module")
def inversion(model, source_image):
    return NullText(steps=3, inner_steps=1)(model, source_image, PROMPT)


@pytest.fixture
def path(inversion, tmp_path):
    return inversion.save(tmp_path / "a.safetensors")


class Raw(str):
    """What stands in a record as it is, JSON or not."""

    __slots__ = ()


def rewrite(path, change, header=lambda text: text):
    """Changes what a file holds, and writes a digest that fits.

    Args:
        path: The file.
        change: Given its tensors `t` and its record `r`, both to be changed in place.
        header: What becomes of the file's header.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    plain = {name: metadata.pop(name) for name in ("format", "format_version")}
    del metadata["digest"]
    record = plain | {name: json.loads(value) for name, value in metadata.items()}
    change(SimpleNamespace(t=tensors, r=record))
    kept = {
        name: value if name in plain or isinstance(value, Raw) else json.dumps(value) for name, value in record.items()
    }
    data = save(tensors, kept | {"digest": digest(tensors, kept)})
    length = int.from_bytes(data[:8], "little")
    text = header(data[8 : 8 + length].decode()).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def as_of(version, f):
    """What a file of an earlier version would hold, of one of this."""
    f.r["format_version"] = version
    f.r["caption"], f.r["held"] = f.r.pop("prompt"), f.r.pop("replay")["corrected"] == "source"
    for now, before in {"replay.nulls": "nulls", "image": "picture"}.items():
        f.t[before] = f.t.pop(now)
    return f


def test_comes_back_as_it_was(inversion, path):
    back = Inversion.load(path)
    for field in dataclasses.fields(Inversion):
        before, after = getattr(inversion, field.name), getattr(back, field.name)
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


def png(size, mode="RGB", kept=1.0):
    """The bytes of a PNG, or of its first part, as a tensor."""
    buffer = io.BytesIO()
    Image.new(mode, size, 0).save(buffer, "PNG")
    return torch.frombuffer(bytearray(buffer.getvalue()[: int(kept * buffer.tell())]), dtype=torch.uint8)


def spoilt_png(size):
    """A PNG whose every checksum is right, and whose pixels cannot be unpacked."""
    data = png(size).numpy().tobytes()
    at = data.index(b"IDAT") - 4
    end = data.index(b"IEND") - 4
    body = b"IDAT" + b"no pixels"
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return torch.frombuffer(bytearray(data[:at] + chunk + data[end:]), dtype=torch.uint8)


def level(alpha):
    return {"alpha": alpha, "sigma": (1 - alpha**2) ** 0.5}


DEEP = Raw("[" * 100_000 + "]" * 100_000)
HUGE = {"size": [40_000, 40_000], "part": [0, 0, 40_000, 40_000]}
ALTERED = {
    # What is said: what becomes of the tensors and of the record of a file of `NullText(steps=3)`.
    "without 'pivot'": lambda f: f.t.pop("pivot"),
    "extra": lambda f: f.t.update(extra=torch.zeros(1)),
    "float16": lambda f: f.t.update(pivot=f.t["pivot"].half()),
    r"shape \[4, 8, 8\]": lambda f: f.t.update(pivot=f.t["pivot"][0]),
    "'replay.cond'.*expected torch.float32 with 2 axes": lambda f: f.t.update(
        {"replay.cond": f.t["replay.nulls"].clone()}
    ),
    "cond.*23, ?32": lambda f: f.t.update({"replay.cond": f.t["replay.nulls"][0, 1:].clone()}),
    "'replay.nulls' has values that are not finite": lambda f: f.t["replay.nulls"].fill_(torch.nan),
    "'pivot' has values that are not finite": lambda f: f.t["pivot"].fill_(torch.inf),
    "3 steps.*pivot .3, ": lambda f: f.t.update(pivot=f.t["pivot"][1:].clone()),
    "3 steps.*nulls .2, ": lambda f: f.t.update({"replay.nulls": f.t["replay.nulls"][1:].clone()}),
    "pivot .4, 4, 7, 8": lambda f: f.t.update(pivot=f.t["pivot"][:, :, 1:].clone()),
    "pivot .4, 4, 4, 8": lambda f: f.t.update(pivot=f.t["pivot"][:, :, 4:].clone()),
    "image .63, ": lambda f: f.t.update(image=f.t["image"][1:].clone()),
    "corrected source, nulls yes": lambda f: f.r["replay"].update(corrected="source"),
    "eta yes": lambda f: f.r["replay"].update(corrected="all", eta=0.5),
    "source_guidance yes": lambda f: f.r["replay"].update(source_guidance=1.0),
    "nulls no": lambda f: f.t.pop("replay.nulls"),
    "cond yes": lambda f: f.t.update({"replay.cond": f.t["replay.nulls"][0].clone()}),
    "a file of DirectInversion has": lambda f: f.r.update(method="DirectInversion"),
    "method is 'no name'": lambda f: f.r.update(method="no name"),
    "method is 3": lambda f: f.r.update(method=3),
    "guidance 7.5, and the rest of it has 20.0": lambda f: f.r.update(guidance=20.0),
    "guidance 20, and the rest of it has 7.5": lambda f: f.r["settings"].update(guidance=20),
    "guidance None": lambda f: f.r["settings"].pop("guidance"),
    "steps 50, and the rest of it has 3": lambda f: f.r["settings"].update(steps=50),
    "guidance is 'much'": lambda f: f.r.update(guidance="much"),
    "guidance is True": lambda f: f.r.update(guidance=True),
    "guidance is nan": lambda f: f.r.update(guidance=float("nan")),
    "guidance is inf": lambda f: f.r.update(guidance=float("inf")),
    "guidance is 1000": lambda f: f.r.update(guidance=10**400),
    "setting is nan": lambda f: f.r["settings"]["descent"].update(decay=float("nan")),
    "setting is 1000": lambda f: f.r["settings"].update(inner_steps=10**30),
    "setting is 'xxx": lambda f: f.r["settings"].update(solver="x" * 20_000),
    "settings have 1": lambda f: f.r["settings"].update(list=[0] * 1000),
    "settings are .1, 2": lambda f: f.r.update(settings=[1, 2]),
    "not JSON.*": lambda f: f.r.update(settings=DEEP),
    "not JSON": lambda f: f.r.update(schedule=Raw("[")),
    "a name in it is given twice, of guidance": lambda f: f.r.update(settings=Raw('{"guidance": 7.5, "guidance": 4}')),
    r"lacks or should not have \['prompt'\]": lambda f: f.r.pop("prompt"),
    r"lacks or should not have \['replay'\]": lambda f: f.r.pop("replay"),
    r"do not belong there: \['image'\]": lambda f: as_of("2", f).t.update(image=f.t["picture"].clone()),
    "corrected nobody.*; this one has corrected source": lambda f: as_of("2", f).r.update(held=True),
    r"lacks or should not have \['held'\]": lambda f: as_of("2", f).r.pop("held"),
    r"lacks or should not have \['caption'\]": lambda f: as_of("1", f).r.pop("caption"),
    r"lacks or should not have \['replay'\]\.": lambda f: as_of("2", f).r.update(replay={}),
    r"lacks or should not have \['more'\]": lambda f: f.r.update(more=1),
    "held is 1": lambda f: as_of("2", f).r.update(held=1),
    "its replay is 1": lambda f: f.r.update(replay=1),
    "its replay is .*'nobody'.*expected corrected and eta and source_guidance": lambda f: f.r["replay"].pop("eta"),
    "replay's corrected is 'everybody'; expected nobody, source, all": lambda f: f.r["replay"].update(
        corrected="everybody"
    ),
    "replay's corrected is True": lambda f: f.r["replay"].update(corrected=True),
    "replay's eta is 2": lambda f: f.r["replay"].update(corrected="all", eta=2.0),
    "replay's eta is nan": lambda f: f.r["replay"].update(eta=float("nan")),
    "would lack the noise": lambda f: f.r["replay"].update(eta=1.0),
    "replay's source_guidance is '7'": lambda f: f.r["replay"].update(source_guidance="7"),
    "prompt is ' '": lambda f: f.r.update(prompt=" "),
    "prompt is 'xxx": lambda f: f.r.update(prompt="x" * 20_000),
    "prompt is .'a'": lambda f: f.r.update(prompt=["a"]),
    "half a character": lambda f: f.r.update(prompt="\ud83d"),
    "0 steps": lambda f: f.r.update(schedule=[]),
    "schedule's step is 7": lambda f: f.r["schedule"].__setitem__(1, 7),
    "schedule's step is .*'u'": lambda f: f.r["schedule"].__setitem__(0, {"u": 1}),
    "schedule's time is -1": lambda f: f.r["schedule"][2].update(t=-1),
    "schedule's time is '1'": lambda f: f.r["schedule"][2].update(t="1"),
    "schedule's time is 10000": lambda f: f.r["schedule"][0].update(t=10**12),
    "not from noise to image": lambda f: f.r["schedule"].reverse(),
    "from time 1 to 1": lambda f: [step.update(t=1) for step in f.r["schedule"]],
    "towards noise": lambda f: f.r["schedule"][0].update(noisy=level(0.9), clean=level(0.5)),
    "alpha is 2": lambda f: f.r["schedule"][0]["noisy"].update(alpha=2.0),
    "sigma is nan": lambda f: f.r["schedule"][0]["noisy"].update(sigma=float("nan")),
    "do not add up to 1": lambda f: f.r["schedule"][0]["noisy"].update(sigma=0.1),
    "schedule's level is .*'beta'": lambda f: f.r["schedule"][0]["clean"].update(beta=0.0),
    "model is .}; expected id and revision": lambda f: f.r.update(model={}),
    "model id is 7": lambda f: f.r["model"].update(id=7),
    "model revision is ''": lambda f: f.r["model"].update(revision=""),
    r"model's additions are \[\]; expected 1 to 100": lambda f: f.r["model"].update(additions=[]),
    "model's addition is 3": lambda f: f.r["model"].update(additions=[3]),
    "addition's digest is 'x', which is none": lambda f: f.r["model"].update(
        additions=[{"kind": "lora", "name": "a", "digest": "x", "weight": 1.0}]
    ),
    "negative_prompt '', and the rest of it has 'a dog'": lambda f: f.r.update(negative_prompt="a dog"),
    "sha256 is 'abc'": lambda f: f.r.update(sha256="abc"),
    "version is .0": lambda f: f.r.update(version=[0]),
    "scores is .1, 2": lambda f: f.r.update(scores=[1, 2]),
    "psnr is nan": lambda f: f.r["scores"].update(psnr=float("nan")),
    "vae_psnr is inf": lambda f: f.r["scores"].update(vae_psnr=float("inf")),
    "psnr is -3": lambda f: f.r["scores"].update(psnr=-3.0),
    "psnr is 1000000000.0; expected": lambda f: f.r["scores"].update(psnr=1e9),
    "box .8, 0, 500, 80": lambda f: f.r["frame"].update(part=[8, 0, 500, 80]),
    "surroundings are RGB 96 x 80; expected RGB 96 x 90": lambda f: f.r["frame"].update(size=[90, 96]),
    "size .80.5, 96": lambda f: f.r["frame"].update(size=[80.5, 96]),
    "size .True, 96": lambda f: f.r["frame"].update(size=[True, 96]),
    "size .80, 96, 3": lambda f: f.r["frame"].update(size=[80, 96, 3]),
    "size of 96 x 0": lambda f: f.r["frame"].update(size=[0, 96]),
    "fitted of 64 x -64": lambda f: f.r["frame"].update(fitted=[-64, 64]),
    "size of 40000 x 40000": lambda f: [f.r["frame"].update(HUGE), f.t.pop("surroundings")],
    "frame is .8": lambda f: f.r.update(frame=[8]),
    "size, fitted, part, content, no more and no less": lambda f: f.r["frame"].pop("part"),
    "and surroundings": lambda f: f.r["frame"].update(part=[0, 0, 96, 80]),
    "a smaller one and none": lambda f: f.t.pop("surroundings"),
    "surroundings are L 96 x 80": lambda f: f.t.update(surroundings=png((96, 80), "L")),
    "surroundings are RGB 9 x 9": lambda f: f.t.update(surroundings=png((9, 9))),
    "surroundings are .* no whole image: image file is truncated": lambda f: f.t.update(
        surroundings=png((96, 80), kept=0.8)
    ),
    "surroundings are .* no whole image.*broken data": lambda f: f.t.update(surroundings=spoilt_png((96, 80))),
    "surroundings are .* no whole image: cannot identify": lambda f: f.t.update(
        surroundings=f.t["image"].flatten().clone()
    ),
}


@pytest.mark.parametrize("named", ALTERED)
def test_an_altered_file(path, named):
    rewrite(path, ALTERED[named])
    with pytest.raises(DamagedFileError, match="no sound inversion file") as error:
        Inversion.load(path)
    message = str(error.value).replace(str(path), "")  # in which pytest writes the name of the test
    assert re.search(named, message), message
    assert len(message) < 1000


def test_a_header_that_says_a_thing_twice(path):
    rewrite(path, lambda _: None, header=lambda text: text.replace('"prompt":', '"prompt":"\\"a cat\\"","prompt":', 1))
    with pytest.raises(DamagedFileError):
        Inversion.load(path)


def test_nothing_but_the_digest_is_rewritten(path):
    """What tells that the cases above are refused for what they change."""
    rewrite(path, lambda _: None)
    Inversion.load(path)


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
