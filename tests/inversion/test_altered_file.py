"""Files in which one thing is not as it should be, and the digest is."""

import io
import re
import zlib

import pytest
import torch
from PIL import Image
from tests.inversion.rewriting import Raw, as_of, rewrite

from nulltext import Inversion
from nulltext.errors import DamagedFileError


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
