"""Kept rows: made again when anything that they depend on has changed, or they are damaged, and only then."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from nulltext import DDIM, PromptSwap
from nulltext.bench import keys
from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import IN_KEY, Case
from nulltext.bench.kept import Row
from nulltext.bench.keys import digest
from nulltext.bench.measures import measures_of
from nulltext.bench.run import planned, run
from nulltext.bench.table import TRUTH
from nulltext.judges import Judges, JudgesNetwork
from nulltext.metrics import perceptual
from nulltext.metrics.perceptual import Lpips
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.clip import Clip
from nulltext.models.dino import Dino

# ------------------------------------------------------------------------------------------------ what a row depends on


def figure(_outcome, *, of: float = 1.0, asks: object = None) -> float:
    return of


def other_figure(_outcome, *, of: float = 1.0, asks: object = None) -> float:
    return of


@dataclass
class Setup:
    """What a run is called with; a test changes one thing of it."""

    model: Model
    case: Case
    candidate: Candidate
    measures: dict[str, Callable[..., float]]

    def run(self, folder: Path) -> Row:
        (row,) = run(self.model, [self.case], [self.candidate], self.measures, folder, samples=0)
        return row

    def missing(self, folder: Path) -> int:
        """How many rows the same run would make."""
        (image,) = planned(self.model, [self.case], [self.candidate], self.measures, folder, shown=frozenset())
        return len(image.missing)


def plain(color: tuple[int, ...] | int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (64, 64), color)


@pytest.fixture(scope="module")
def networks(tokenizer_builder) -> dict[str, Callable[[], object]]:
    """What figures may ask, each made in a moment, with weights that a seed chooses."""
    tower: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    tokenizer = tokenizer_builder()
    clip = CLIPConfig(
        text_config={**tower, "vocab_size": len(tokenizer)},
        vision_config={**tower, "image_size": 16, "patch_size": 8},
        projection_dim=4,
    )
    return {
        "clip": lambda: Clip(CLIPModel(clip), tokenizer),
        "dino": lambda: Dino(ViTModel(ViTConfig(**tower, image_size=16, patch_size=8), add_pooling_layer=False)),
        "judges": lambda: Judges(JudgesNetwork()),
        "lpips": lambda: Lpips("squeeze"),
    }


def made(networks, name: str, seed: int) -> object:
    torch.manual_seed(seed)
    return networks[name]()


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def setup(model, kept, networks, monkeypatch) -> Setup:
    """A run whose rows are kept already."""
    monkeypatch.setattr(perceptual, "weights_of", lambda _network: kept / "lpips.pth")
    (kept / "lpips.pth").write_bytes(b"some weights")
    plain((200, 10, 30)).save(kept / "photo.png")
    setup = Setup(
        model=model,
        case=Case(
            name="one",
            kind="color",
            image=kept / "photo.png",
            source="a red ball",
            target="a blue ball",
            changed=plain(255, "L"),
            blend=(("ball",), ("ball",)),
            truth=plain((10, 10, 200)),
            words={"color": "blue"},
            seed=1,
            where="captions.csv, line 2",
        ),
        candidate=Candidate(name="swap", inverter=always(DDIM(steps=1)), editor=always(PromptSwap(guidance=2.0))),
        measures={name: partial(figure, asks=made(networks, name, 0)) for name in networks},
    )
    if not (kept / "run").exists():
        setup.run(kept / "run")
    assert setup.missing(kept / "run") == 0
    return setup


CASE = {
    "name": "two",
    "kind": "shape",
    "image": plain((0, 0, 9)),
    "source": "a red cat",
    "target": "a blue cat",
    "changed": plain(128, "L"),
    "blend": (("a",), ("a",)),
    "truth": plain((10, 10, 201)),
    "words": {"color": "red"},
    "seed": 2,
}
"""Another value for every field of a case; a field left out fails a test below."""
CANDIDATE = {
    "name": "other",
    "inverter": always(DDIM(steps=2)),
    "editor": always(PromptSwap(guidance=2.5)),
    "prompt": lambda _case: "a cat",
    "guidance": 3.0,
    "inverts": False,
}
"""The same for a candidate."""


def changed_case(name: str, setup: Setup, *_: object) -> None:
    old = setup.case
    setup.case = replace(old, **{name: CASE[name]}, **({"blend": None} if name in {"source", "target"} else {}))


def changed_candidate(name: str, setup: Setup, *_: object) -> None:
    setup.candidate = replace(setup.candidate, **{name: CANDIDATE[name]})


def changed_file(name: str, setup: Setup, kept: Path, *_: object) -> None:
    if name == "photo.png":
        plain((200, 10, 31)).save(kept / name)
    else:
        (kept / name).write_bytes(b"other weights")
        setup.measures["lpips"] = partial(figure, asks=Lpips("squeeze"))


def changed_network(name: str, setup: Setup, _kept: Path, networks, *_: object) -> None:
    setup.measures[name] = partial(figure, asks=made(networks, name, 1))


def changed_measure(measure: Callable[..., float], setup: Setup, *_: object) -> None:
    setup.measures["clip"] = partial(measure, **setup.measures["clip"].keywords)


def changed_model(setup: Setup, *_: object) -> None:
    model: Any = setup.model
    setup.model = replace(model, identity=ModelIdentity(setup.model.identity.id, "sha256:other"))


def patched(name: str, value: object, _setup: Setup, _kept: Path, _networks, monkeypatch) -> None:
    monkeypatch.setattr(keys, name, value)


def other_version(library: str, _setup: Setup, _kept: Path, _networks, monkeypatch) -> None:
    installed = keys.installed
    monkeypatch.setattr(keys, "installed", lambda name: "0.0" if name == library else installed(name))


CHANGES: dict[str, Callable[..., None]] = {
    **{f"case: {name}": partial(changed_case, name) for name in CASE},
    **{f"candidate: {name}": partial(changed_candidate, name) for name in CANDIDATE},
    "file: the image": partial(changed_file, "photo.png"),
    "file: weights of LPIPS": partial(changed_file, "lpips.pth"),
    "weights: CLIP": partial(changed_network, "clip"),
    "weights: DINO": partial(changed_network, "dino"),
    "weights: judges": partial(changed_network, "judges"),
    "weights: the model": changed_model,
    "measure: another": partial(changed_measure, other_figure),
    "measure: its settings": partial(changed_measure, partial(figure, of=2.0)),
    "measure: one more": lambda setup, *_: setup.measures.update(more=figure),
    "measure: one less": lambda setup, *_: setup.measures.pop("clip"),
    "precision": partial(patched, "precision_of", lambda _model: "tf32"),
    "rounding": partial(patched, "rounding_of", lambda _model: 1e-3),
    "version: nulltext": partial(patched, "__version__", "0.0"),
    "version: of the format": partial(patched, "FORMAT", 0),
    **{f"version: {name}": partial(other_version, name) for name in ("torch", "diffusers", "transformers", "pillow")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_row_is_made_again_when_what_it_depends_on_has_changed(setup, kept, networks, monkeypatch, change):
    change(setup, kept, networks, monkeypatch)
    assert setup.missing(kept / "run") == 1


def test_a_row_is_not_made_again_when_nothing_has_changed(setup, kept, networks):
    before = {path: path.stat().st_mtime_ns for path in (kept / "run" / "rows").iterdir()}
    shutil.copy(kept / "photo.png", kept / "moved.png")
    setup.case = replace(setup.case, image=kept / "moved.png", where="captions.csv, line 9")
    setup.measures = {name: partial(figure, asks=made(networks, name, 0)) for name in networks}
    row = setup.run(kept / "run")
    assert {path: path.stat().st_mtime_ns for path in (kept / "run" / "rows").iterdir()} == before
    assert row["where"] == "captions.csv, line 9"


def test_figures_of_another_truth_or_mask_are_not_reported(setup, kept):
    """The whole way: another figure comes out, and the first one when the first truth is back."""
    setup.measures = measures_of(TRUTH)
    first = setup.run(kept / "run")
    other = replace(setup.case, truth=plain((250, 250, 10)))
    mask = plain(0, "L")
    mask.paste(255, (0, 0, 32, 64))
    rows = [replace(setup, case=case).run(kept / "run") for case in (other, replace(other, changed=mask))]
    assert rows[0]["psnr_truth"] != first["psnr_truth"]
    assert rows[0]["outside_truth"] is None  # nothing is outside of a mask that is the whole image
    assert rows[1]["outside_truth"] is not None
    assert setup.run(kept / "run") == first


def test_every_field_is_part_of_the_key():
    assert CASE.keys() == {own.name for own in fields(Case)} - {"where"}
    assert CANDIDATE.keys() == {own.name for own in fields(Candidate)}
    assert [own.name for own in fields(Case) if not own.metadata.get(IN_KEY, True)] == ["where"]
    longer = make_dataclass("Longer", [("new", int)], bases=(), frozen=True)
    assert digest(longer(1)) != digest(longer(2))
    record = make_dataclass("Told", [("new", int, field(metadata={IN_KEY: False}))])
    assert digest(record(1)) == digest(record(2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (plain(1, "L"), plain(1, "P")),
        (plain((1, 2, 3)), plain((1, 2, 4))),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.arange(5000.0), torch.cat([torch.arange(2500.0), torch.zeros(1), torch.arange(2501.0, 5000.0)])),
        (1, 1.0),
        (1, True),
        ("1", 1),
        ((), {}),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (None, "None"),
        (float("nan"), 0.0),
        (b"a", b"b"),
        (partial(figure, of=1.0), partial(figure, of=2.0)),
        (figure, other_figure),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


def test_what_cannot_be_told_from_others_is_refused():
    class Blind:
        pass

    with pytest.raises(TypeError, match=r"got a .*Blind"):
        digest(Blind())


# ---------------------------------------------------------------------------------------------- what is kept is checked

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "a figure altered": lambda data: data.replace(b'"lpips": 1.0', b'"lpips": 2.0'),
    "a name altered": lambda data: data.replace(b'"method": "swap"', b'"method": "soap"'),
    "of a format before": lambda data: data[data.index(b'"rows": ') + 8 : -1],
    "of a format to come": lambda data: data.replace(b'"format": 2', b'"format": 99'),
    "of another key": lambda data: data.replace(b'"key": "', b'"key": "0', 1),
    "without rows": lambda _: b'{"format": 2}',
    "not JSON": lambda _: b"hello",
    "JSON of something else": lambda _: b"[1, 2]",
    "nested without end": lambda _: b"[" * 100_000,
    "not text": lambda _: b"\xff\xfe\x00",
}


@pytest.fixture(scope="module")
def two_rows(model, tmp_path_factory) -> tuple[Callable[[], list[Row]], Path]:
    """A run of two photographs, with images to look at, and its folder."""
    folder = tmp_path_factory.mktemp("two")
    swap = Candidate(name="swap", inverter=always(DDIM(steps=1)), editor=always(PromptSwap(guidance=2.0)))
    known = {"kind": "", "changed": None, "blend": None, "truth": None, "words": {}, "seed": 0}
    cases = [
        Case(name=name, image=plain(color), source="a cat", target="a dog", **known)
        for name, color in (("one", (250, 0, 0)), ("two", (0, 0, 250)))
    ]
    again = partial(run, model, cases, [swap], {"lpips": figure}, folder)
    again()
    return again, folder


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_row_is_made_again(two_rows, damage):
    again, folder = two_rows
    one, other = sorted((folder / "rows").iterdir())
    whole, untouched = one.read_bytes(), other.stat().st_mtime_ns
    one.write_bytes(damage(whole))
    assert one.read_bytes() != whole
    assert [row["lpips"] for row in again()] == [1.0, 1.0]
    assert [row["case"] for row in again()] == ["one", "two"]
    assert len(one.read_bytes()) > len(whole) * 0.9
    assert other.stat().st_mtime_ns == untouched


@pytest.mark.parametrize(("part", "names"), [("rows", None), ("images", ("one.swap.png", "two.swap.png"))])
def test_two_files_that_were_swapped_are_made_again(two_rows, part, names):
    again, folder = two_rows
    one, two = sorted((folder / part).iterdir()) if names is None else [folder / part / name for name in names]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert [row["case"] for row in again()] == ["one", "two"]
    if part == "images":  # rows have seconds, which are never the same
        assert (one.read_bytes(), two.read_bytes()) == (first, second)
    else:
        assert b'"case": "one"' in one.read_bytes()
        assert b'"case": "two"' in two.read_bytes()


@pytest.mark.parametrize("name", ["one.source.png", "two.swap.png"])
def test_a_damaged_image_to_look_at_is_made_again(two_rows, name):
    again, folder = two_rows
    path = folder / "images" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again()
    assert path.read_bytes() == whole
