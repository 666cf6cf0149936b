"""Bad input, as the user meets it: exit code 2, one clear message, no stack trace, nothing written."""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

QUICK = ("--method", "null-text", "--steps", 2, "--inner-steps", 1)
LONG = "x" * 300


@dataclass(frozen=True)
class Kit:
    """What the cases are made of, and a folder of their own."""

    photo: Path
    inverted: Path
    tiny: Path
    other: Path
    folder: Path


@pytest.fixture
def kit(photo: Path, inverted: Path, tiny: Path, folder: Callable[[str], Path], tmp_path: Path) -> Kit:
    return Kit(photo, inverted, tiny, folder("v_prediction"), tmp_path)


def invert(kit: Kit, picture: Path, caption: str = "a red ball", model: Path | None = None) -> Sequence[object]:
    return ("invert", picture, caption, "--model", model or kit.tiny, *QUICK)


def edit(kit: Kit, file: Path, caption: str = "a cat", *more: object) -> Sequence[object]:
    return ("edit", file, caption, "--model", kit.tiny, *more)


def changed_file(kit: Kit, change: Callable[[bytes], bytes], source: Path) -> Path:
    path = kit.folder / f"changed{source.suffix}"
    path.write_bytes(change(source.read_bytes()))
    return path


def changed_model(kit: Kit, name: str, change: Callable[[Path], None]) -> Path:
    path = kit.folder / name
    shutil.copytree(kit.tiny, path)
    change(path)
    return path


def rename_pipeline(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionXLPipeline"}))


def foreign(kit: Kit) -> Path:
    path = kit.folder / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    return path


def teach_words(folder: Path) -> None:
    (folder / "words.txt").write_text("a\nred\nblue\nball\ncat\non\ngrass\n")


CASES: dict[str, tuple[Callable[[Kit], Sequence[object]], Sequence[str]]] = {
    "no such picture": (lambda kit: invert(kit, kit.folder / "nowhere.png"), ["nowhere.png", "no file"]),
    "not a picture": (
        lambda kit: invert(kit, changed_file(kit, lambda _: b"hello", kit.photo)),
        ["changed.png", "not a picture"],
    ),
    "truncated picture": (
        lambda kit: invert(kit, changed_file(kit, lambda data: data[: len(data) // 2], kit.photo)),
        ["changed.png", "truncated"],
    ),
    "a folder for a picture": (lambda kit: invert(kit, kit.folder), ["picture"]),
    "empty caption": (lambda kit: invert(kit, kit.photo, "  "), ["caption"]),
    "empty new caption": (lambda kit: edit(kit, kit.inverted, ""), ["caption"]),
    "caption too long": (lambda kit: invert(kit, kit.photo, "a red ball on grass " * 12), ["token", "grass"]),
    "new caption too long": (lambda kit: edit(kit, kit.inverted, "a red ball on grass " * 12), ["token"]),
    "unknown word": (
        lambda kit: invert(kit, kit.photo, "a bleu ball", changed_model(kit, "taught", teach_words)),
        ["bleu", "blue", "words.txt"],
    ),
    "wrong model for a file": (
        lambda kit: ("edit", kit.inverted, "a cat", "--model", kit.other),
        ["model", "made with"],
    ),
    "another guidance than the file's": (
        lambda kit: edit(kit, kit.inverted, "a cat", "--guidance", 3),
        ["guidance", "7.5"],
    ),
    "no such inversion file": (lambda kit: edit(kit, kit.folder / "nowhere.safetensors"), ["nowhere.safetensors"]),
    "truncated inversion file": (
        lambda kit: edit(kit, changed_file(kit, lambda data: data[:-100], kit.inverted)),
        ["changed.safetensors", "truncated"],
    ),
    "altered inversion file": (
        lambda kit: edit(kit, changed_file(kit, lambda data: data[:-1] + bytes([data[-1] ^ 1]), kit.inverted)),
        ["changed.safetensors", "digest"],
    ),
    "foreign inversion file": (lambda kit: edit(kit, foreign(kit)), ["foreign.safetensors", "no inversion"]),
    "show of a foreign file": (lambda kit: ("show", foreign(kit)), ["no inversion"]),
    "unsupported pipeline class": (
        lambda kit: invert(kit, kit.photo, model=changed_model(kit, "xl", rename_pipeline)),
        ["StableDiffusionXLPipeline", "StableDiffusionPipeline"],
    ),
    "incomplete model": (
        lambda kit: invert(
            kit, kit.photo, model=changed_model(kit, "part", lambda folder: shutil.rmtree(folder / "unet"))
        ),
        ["lacks unet"],
    ),
    "no such model": (lambda kit: invert(kit, kit.photo, model=kit.folder / "no-model"), ["no-model"]),
    "no such device": (
        lambda kit: (*invert(kit, kit.photo), "--device", "quantum"),
        ["quantum", "cpu"],
    ),
    "a file whose model may be anywhere": (lambda kit: ("edit", kit.inverted, "a cat"), ["--model"]),
    "options of another method": (
        lambda kit: ("invert", kit.photo, "a cat", "--model", kit.tiny, "--method", "ddim", "--inner-steps", 3),
        ["--inner-steps"],
    ),
    "too many steps": (
        lambda kit: ("invert", kit.photo, "a cat", "--model", kit.tiny, "--steps", 100_000),
        ["steps"],
    ),
    "output in no folder": (
        lambda kit: (*invert(kit, kit.photo), "-o", kit.folder / "no" / "x.safetensors"),
        ["no folder"],
    ),
    "output that is no inversion file": (lambda kit: (*invert(kit, kit.photo), "-o", "x.png"), [".safetensors"]),
    "output of no picture format": (lambda kit: edit(kit, kit.inverted, "a cat", "-o", "x.doc"), ["x.doc", ".png"]),
    "output of a format without colours": (
        lambda kit: ("generate", "a cat", "--model", kit.tiny, "-o", "x.xbm"),
        ["x.xbm", ".png"],
    ),
    "one file for an edit and the reconstruction": (
        lambda kit: edit(kit, kit.inverted, "a cat", "-o", "x.png", "--reconstruction", "no/../x.png", "--force"),
        ["x.png", "two results"],
    ),
    "output in a folder that is a file": (
        lambda kit: edit(kit, kit.inverted, "a cat", "-o", kit.photo / "deep" / "x.png"),
        ["photo.png is a file", "expected a folder"],
    ),
    "output of a name too long": (lambda kit: edit(kit, kit.inverted, "a cat", "-o", LONG + ".png"), ["too long"]),
    "inversion of a name too long": (
        lambda kit: (*invert(kit, kit.photo), "-o", LONG + ".safetensors"),
        ["too long"],
    ),
    "a name too long to read": (lambda _: ("show", LONG), ["too long"]),
    "a model of a name too long": (lambda kit: invert(kit, kit.photo, model=Path(LONG)), ["no model"]),
    "a model whose name looks like markup": (
        lambda kit: invert(kit, kit.photo, model=Path("models/[/v2]/x")),
        ["models/[/v2]/x"],
    ),
    "a guidance that only ddim has": (
        lambda kit: (*invert(kit, kit.photo), "--guidance", 1),
        ["guidance=1", "--method ddim"],
    ),
    "one file for two edits": (
        lambda kit: edit(kit, kit.inverted, "a cat", "a dog", "-o", "x.png"),
        ["x.png", "folder"],
    ),
    "a size that is none": (
        lambda kit: ("generate", "a cat", "--model", kit.tiny, "--size", "large"),
        ["large", "128x192"],
    ),
}


@pytest.mark.parametrize("json_", [False, True], ids=["", "json"])
@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, json_, kit, run, here):
    args, words = CASES[case]
    result = run(*args(kit), *(["--json"] if json_ else []))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", ["invert", "edit", "generate", "demo", "bench reconstruction", "bench model"])
def test_a_config_is_for_checkpoint_files(command, kit, run, here):
    data = {"invert": (kit.photo, "a cat"), "edit": (kit.inverted, "a cat"), "generate": ("a cat",)}.get(command, ())
    result = run(*command.split(), *data, "--model", kit.tiny, "--config", kit.tiny)
    assert result.exit_code == 2, result.output
    assert "only a checkpoint file" in result.stderr
    assert list(here.iterdir()) == []


def test_force_is_not_the_answer_to_a_folder(kit, run, here):
    (here / "x.png").mkdir()
    result = run("generate", "a cat", "--model", kit.tiny, "-o", "x.png")
    assert result.exit_code == 2
    assert "is a folder" in result.stderr
    assert "--force" not in result.stderr


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_are_none(seed, run, tiny):
    result = run("generate", "a cat", "--model", tiny, "--seed", seed)
    assert result.exit_code == 2
    assert "--seed" in result.stderr


def test_debug_shows_where(kit, run):
    result = run(*invert(kit, kit.folder / "nowhere.png"), "--debug")
    assert result.exception is not None
    assert "nowhere.png" in str(result.exception)


def test_an_unforeseen_error_is_a_sentence_too(kit, run, monkeypatch):
    import nulltext.pictures

    def fail(*_args: object, **_settings: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setitem(vars(nulltext), "open_image", fail)
    result = run(*invert(kit, kit.photo))
    assert result.exit_code == 1
    assert "RuntimeError: out of luck" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["invert", "edit"])
def test_a_full_disk_leaves_nothing_behind(command, kit, here, program, environment):
    """No file may grow past 500 bytes: the same refusal, in the same place, as a disk with no more room."""
    args = invert(kit, kit.photo) if command == "invert" else edit(kit, kit.inverted)
    result = subprocess.run(
        [*program, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )
    assert result.returncode == 2, result.stderr
    assert "could not write" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(here.iterdir()) == []
