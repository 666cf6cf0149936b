"""Bad input, as the user meets it: exit code 2, one clear message, no stack trace, nothing written."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.e2e.one_process import in_one_process

QUICK = ("--method", "null-text", "--steps", 2, "--inner-steps", 1)
LONG = "x" * 300


@dataclass(frozen=True)
class Kit:
    """What the cases are made of, and a folder of their own."""

    image: Path
    inverted: Path
    tiny: Path
    other: Path
    folder: Path


@pytest.fixture
def kit(image_file: Path, inverted: Path, tiny: Path, folder: Callable[[str], Path], tmp_path: Path) -> Kit:
    return Kit(image_file, inverted, tiny, folder("v_prediction"), tmp_path)


def invert(kit: Kit, image: Path, prompt: str = "a red ball", model: Path | None = None) -> Sequence[object]:
    return ("invert", image, prompt, "--model", model or kit.tiny, *QUICK)


def edit(kit: Kit, file: Path, prompt: str = "a cat", *more: object) -> Sequence[object]:
    return ("edit", file, prompt, "--model", kit.tiny, *more)


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
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionUpscalePipeline"}))


def pipe(kit: Kit) -> Path:
    path = kit.folder / "pipe.png"
    os.mkfifo(path)
    return path


def foreign(kit: Kit) -> Path:
    path = kit.folder / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    return path


def teach_words(folder: Path) -> None:
    (folder / "words.txt").write_text("a\nred\nblue\nball\ncat\non\ngrass\n")


def generate(kit: Kit, prompt: str, *more: object) -> Sequence[object]:
    return ("generate", prompt, "--model", kit.tiny, "--steps", 1, *more)


def drawn(kit: Kit, *more: object) -> Sequence[object]:
    return generate(kit, "a cat", *more)


def inverted(kit: Kit, *more: object) -> Sequence[object]:
    return (*invert(kit, kit.image), *more)


def there(name: str) -> str:
    """A file in the folder above, by a name that begins with a dash from there."""
    os.chdir(Path.cwd().parent)
    Path(name).touch()
    return name


CASES: dict[str, tuple[Callable[[Kit], Sequence[object]], Sequence[str]]] = {
    "a pipe for an image": (lambda kit: invert(kit, pipe(kit)), ["pipe.png", "a device or a pipe"]),
    "a pipe for a mask": (lambda kit: edit(kit, kit.inverted, "a cat", "--mask", pipe(kit)), ["a device or a pipe"]),
    "no such image": (lambda kit: invert(kit, kit.folder / "nowhere.png"), ["nowhere.png", "no file"]),
    "not an image": (
        lambda kit: invert(kit, changed_file(kit, lambda _: b"hello", kit.image)),
        ["changed.png", "not an image"],
    ),
    "truncated image": (
        lambda kit: invert(kit, changed_file(kit, lambda data: data[: len(data) // 2], kit.image)),
        ["changed.png", "truncated"],
    ),
    "a folder for an image": (lambda kit: invert(kit, kit.folder), ["image"]),
    "empty prompt": (lambda kit: invert(kit, kit.image, "  "), ["prompt"]),
    "empty new prompt": (lambda kit: edit(kit, kit.inverted, ""), ["prompt"]),
    "prompt too long": (lambda kit: invert(kit, kit.image, "a red ball on grass " * 12), ["token", "grass"]),
    "new prompt too long": (lambda kit: edit(kit, kit.inverted, "a red ball on grass " * 12), ["token"]),
    "unknown word": (
        lambda kit: invert(kit, kit.image, "a bleu ball", changed_model(kit, "taught", teach_words)),
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
    "an image for an inversion": (lambda kit: edit(kit, kit.image), ["is an image", "nulltext invert photo.png"]),
    "foreign inversion file": (lambda kit: edit(kit, foreign(kit)), ["foreign.safetensors", "no inversion"]),
    "show of a foreign file": (lambda kit: ("show", foreign(kit)), ["no inversion"]),
    "unsupported pipeline class": (
        lambda kit: invert(kit, kit.image, model=changed_model(kit, "xl", rename_pipeline)),
        ["StableDiffusionUpscalePipeline", "StableDiffusionPipeline"],
    ),
    "incomplete model": (
        lambda kit: invert(
            kit, kit.image, model=changed_model(kit, "part", lambda folder: shutil.rmtree(folder / "unet"))
        ),
        ["lacks unet"],
    ),
    "no such model": (lambda kit: invert(kit, kit.image, model=kit.folder / "no-model"), ["no-model"]),
    **{
        f"device {name!r}": (
            lambda kit, name=name: (*invert(kit, kit.image), "--device", name),
            ["cannot compute", "cpu"],
        )
        for name in (
            "quantum",
            "meta",
            "xla",
            "hpu",
            "vulkan",
            "mkldnn",
            "privateuseone",
            "cpu:x",
            "cuda:99",
            "cpu\ncpu",
        )
    },
    "a file whose model may be anywhere": (lambda kit: ("edit", kit.inverted, "a cat"), ["--model"]),
    "options of another method": (
        lambda kit: ("invert", kit.image, "a cat", "--model", kit.tiny, "--method", "ddim", "--inner-steps", 3),
        ["--inner-steps"],
    ),
    "too many steps": (
        lambda kit: ("invert", kit.image, "a cat", "--model", kit.tiny, "--steps", 100_000),
        ["steps"],
    ),
    "output in no folder": (
        lambda kit: (*invert(kit, kit.image), "-o", kit.folder / "no" / "x.safetensors"),
        ["no folder"],
    ),
    "output that is no inversion file": (lambda kit: (*invert(kit, kit.image), "-o", "x.png"), [".safetensors"]),
    "output of no image format": (lambda kit: edit(kit, kit.inverted, "a cat", "-o", "x.doc"), ["x.doc", ".png"]),
    "output of a format without colours": (
        lambda kit: ("generate", "a cat", "--model", kit.tiny, "-o", "x.xbm"),
        ["x.xbm", ".png"],
    ),
    "one file for an edit and the reconstruction": (
        lambda kit: edit(kit, kit.inverted, "a cat", "-o", "x.png", "--reconstruction", "no/../x.png", "--force"),
        ["x.png", "two results"],
    ),
    "output in a folder that is a file": (
        lambda kit: edit(kit, kit.inverted, "a cat", "-o", kit.image / "deep" / "x.png"),
        ["photo.png is a file", "expected a folder"],
    ),
    "output of a name too long": (lambda kit: edit(kit, kit.inverted, "a cat", "-o", LONG + ".png"), ["too long"]),
    "inversion of a name too long": (
        lambda kit: (*invert(kit, kit.image), "-o", LONG + ".safetensors"),
        ["too long"],
    ),
    "a name too long to read": (lambda _: ("show", LONG), ["too long"]),
    "a model of a name too long": (lambda kit: invert(kit, kit.image, model=Path(LONG)), ["no model"]),
    "a model whose name looks like markup": (
        lambda kit: invert(kit, kit.image, model=Path("models/[/v2]/x")),
        ["models/[/v2]/x"],
    ),
    "a guidance that only ddim has": (
        lambda kit: (*invert(kit, kit.image), "--guidance", 1),
        ["guidance=1", "--method ddim"],
    ),
    "one file for two edits": (
        lambda kit: edit(kit, kit.inverted, "a cat", "a dog", "-o", "x.png"),
        ["x.png", "folder"],
    ),
    **{
        f"size {name}, {command.__name__}": (lambda kit, size=size, of=command: of(kit, "--size", size), words)
        for command in (drawn, inverted)
        for name, size, words in [
            ("that is none", "large", ["large", "128x192"]),
            ("of not-a-number", "nanxnan", ["nanxnan", "128x192"]),
            ("of nothing", "0x64", ["size=0", "at least 8"]),
            ("below a cell", "64x7", ["size=7", "at least 8"]),
            ("in other digits", "٦٤x٦٤", ["--size", "as in 128x192"]),
            ("of more than any memory", "99999x99999", ["99999x99999", "16777216"]),
            ("of thousands of digits", "9" * 5000 + "x64", ["999", "128x192"]),
        ]
    },
    **{
        f"prompt {name}": (lambda kit, prompt=prompt: generate(kit, prompt), words)
        for name, prompt, words in [
            ("of punctuation", "?!", ["?!", "at least one word"]),
            ("of an underscore", "_", ["at least one word"]),
            ("of an emoji", "🦄", ["at least one word"]),
            ("of a family of emoji", "👩‍🚀 👍🏽", ["at least one word"]),
            ("of 5,000 words", "word " * 5000, ["25000 characters", "10000"]),
            ("of as many words as are looked at", "wordy " * 1666, ["tokens", "do not fit"]),
            ("of 10 MB", "word " * 2_000_000, ["10000000 characters"]),
            ("of 10 MB of blanks", " " * 10_000_000, ["10000000 characters"]),
            ("that is not UTF-8", "a c\udce9t", ["udce9", "not UTF-8"]),
            ("with a NUL", "a c\0t", ["x00", "NUL"]),
            ("with a bell", "a c\at", ["x07", "control character"]),
        ]
    },
    "several unknown words": (
        lambda _: ("generate", "a zebra riding a unicycle on grass"),
        ["'zebra', nor 'riding', 'unicycle',"],
    ),
    "an emoji on the embedded model": (lambda _: ("generate", "🦄"), ["at least one word"]),
    "an emoji beside words on the embedded model": (lambda _: ("generate", "a red 🦄"), ["'🦄'", "words.txt"]),
    "an emoji that a model was not taught": (
        lambda kit: invert(kit, kit.image, "a red ball ♥", changed_model(kit, "taught", teach_words)),
        ["'♥'", "words.txt"],
    ),
    **{
        f"name {name}": (arguments, words)
        for name, arguments, words in [
            ("with a dash", lambda kit: ("invert", "-dash.png", "a cat", "--model", kit.tiny), ["./-dash.png", "--"]),
            ("with two dashes", lambda _: ("show", "--dash.safetensors"), ["./--dash.safetensors"]),
            ("with a dash, there", lambda _: ("show", there("-file")), ["./-file"]),
            ("not UTF-8", lambda kit: invert(kit, Path("caf\udce9.png")), ["caf", "not UTF-8"]),
            ("not UTF-8 to write", lambda kit: (*invert(kit, kit.image), "-o", "\udce9.safetensors"), ["not UTF-8"]),
            ("not UTF-8 after --", lambda _: ("show", "--", "caf\udce9"), ["not UTF-8"]),
            ("of a model not UTF-8", lambda kit: invert(kit, kit.image, model=Path("\udce9")), ["not UTF-8"]),
            ("with a NUL", lambda _: ("show", "a\0b"), ["NUL"]),
            ("without end", lambda _: ("show", "x" * 10**7), ["10000000 characters"]),
        ]
    },
    **{
        f"training into {name}": (lambda kit, folder=folder: ("train", folder(kit)), words)
        for name, folder, words in [
            ("the root", lambda _: "/", ["/", "Give it a name"]),
            ("the system's own", lambda _: "/proc", ["/proc"]),
            ("a folder with other things", lambda kit: kit.image.parent, ["photo.png", "new folder"]),
            ("a file", lambda kit: kit.image, ["is a file"]),
        ]
    },
    "training with its work in the root": (lambda _: ("train", "new", "--work", "/"), ["work: /"]),
    **{
        f"{option} {value}": (lambda kit, more=(option, value): edit(kit, kit.inverted, "a cat", *more), words)
        for option, value, words in [
            ("--cross", "nan", ["nan", "share"]),
            ("--self", "inf", ["inf", "share"]),
            ("--weight", "cat=nan", ["nan", "-4 to 10"]),
            ("--weight", "cat=inf", ["inf", "-4 to 10"]),
        ]
    },
    "a sweep over not-a-number": (
        lambda kit: ("sweep", kit.inverted, "a cat", "--model", kit.tiny, "--over", "self=0,nan"),
        ["nan", "share"],
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
    data = {"invert": (kit.image, "a cat"), "edit": (kit.inverted, "a cat"), "generate": ("a cat",)}.get(command, ())
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


def test_a_name_with_a_dash_works_after_two(kit, run, run_json, here):
    shutil.copy(kit.image, here / "-dash.png")
    result = run("invert", "--model", kit.tiny, "--steps", 1, "--", "-dash.png", "a cat")
    assert result.exit_code == 0, result.output
    assert "nulltext edit ./-dash.safetensors" in result.stdout
    assert run_json("show", "./-dash.safetensors")["prompt"] == "a cat"


def test_a_prompt_may_have_lines_and_emoji(kit, run_json):
    prompt = "a cat\nbeside a 🦄"
    made = run_json("generate", prompt, "--model", kit.tiny, "--steps", 1)
    assert made["prompt"] == prompt


def test_debug_shows_where(kit, run):
    result = run(*invert(kit, kit.folder / "nowhere.png"), "--debug")
    assert result.exception is not None
    assert "nowhere.png" in str(result.exception)


def test_an_unforeseen_error_is_a_sentence_too(kit, run, monkeypatch):
    import nulltext.images

    def fail(*_args: object, **_settings: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setitem(vars(nulltext), "open_image", fail)
    result = run(*invert(kit, kit.image))
    assert result.exit_code == 1
    assert "RuntimeError: out of luck" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_leaves_nothing_behind(kit, here, environment):
    """No file may grow past 500 bytes: the same refusal, in the same place, as a disk with no more room."""
    result = subprocess.run(
        in_one_process([invert(kit, kit.image), edit(kit, kit.inverted)], code=2),
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )
    assert result.returncode == 0, result.stderr
    assert [report.count("could not write") for report in result.stderr.split("\f")] == [1, 1, 0]
    assert "Traceback" not in result.stderr
    assert result.stdout == "\f\f"  # nothing of either
    assert list(here.iterdir()) == []
