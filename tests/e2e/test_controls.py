"""The options of Prompt-to-Prompt on the command line."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from nulltext.cli.controls import read_blend, read_cross, read_share, read_weights
from nulltext.errors import SettingError


@pytest.fixture
def inverted(run, photo, tiny):
    assert run("invert", photo, "a red cat", "--model", tiny, "--steps", 3, "--inner-steps", 1).exit_code == 0
    return "photo.safetensors"


def test_every_option_at_once(run_json, here, inverted, tiny, picture):
    mask = Image.new("L", picture.size, 255)
    mask.save("mask.png")
    record = run_json(
        *("edit", inverted, "a red dog", "a big red dog", "--model", tiny, "-o", "out", "--maps"),
        *("--cross", "0.8", "--cross", "dog=0.2-0.6", "--self", "0.4", "--weight", "dog=2", "--mask", "mask.png"),
        *("--blend", "cat:dog", "--threshold", "0.1", "--blend-start", "0.3", "--reconstruction", "check.png"),
    )
    assert [edit["kind"] for edit in record["edits"]] == ["replace", "refine"]
    assert record["masks"] == ["out/a-red-dog-mask.png", "out/a-big-red-dog-mask.png"]
    assert record["maps"] == "out/photo-maps.png"
    assert Image.open(record["masks"][0]).size == picture.size
    assert Image.open(record["masks"][0]).mode == "L"
    assert Image.open(record["maps"]).width > 4 * 160
    assert {path.name for path in Path("out").iterdir()} == {
        "a-red-dog.png", "a-big-red-dog.png", "a-red-dog-mask.png", "a-big-red-dog-mask.png", "photo-maps.png",
    }  # fmt: skip


def test_it_says_which_kind_it_took_and_prints_only_paths(run, inverted, tiny):
    result = run("edit", inverted, "a red dog", "a dog", "--model", tiny)
    assert result.stdout.split() == ["photo-a-red-dog.png", "photo-a-dog.png"]
    assert result.stderr.splitlines() == ["replace: a red dog", "refine: a dog"]


def test_plain_leaves_attention_alone(run_json, run, inverted, tiny):
    record = run_json("edit", inverted, "a red dog", "--model", tiny, "--plain")
    assert record["edits"][0]["kind"] == "plain"
    refused = run("edit", inverted, "a red dog", "--model", tiny, "--plain", "--cross", "0.5", "--force")
    assert refused.exit_code == 2
    assert "one or the other" in refused.stderr


def test_a_chain(run_json, inverted, tiny):
    record = run_json("edit", inverted, "a red dog", "a blue dog", "--model", tiny, "--chain", "-o", "chain")
    assert [edit["kind"] for edit in record["edits"]] == ["replace", "replace"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weight", "tiger=2"], "'tiger' is not in the caption 'a red dog'"),
        (["--weight", "dog=twice"], "expected a word and a factor"),
        (["--weight", "2"], "expected a word and a factor"),
        (["--weight", "dog=11"], "expected -4 to 10"),
        (["--cross", "most"], "expected a share of the steps"),
        (["--self", "0.8-0.2"], "start <= end"),
        (["--blend", "tiger:dog"], "'tiger' is not in the caption 'a red cat'"),
        (["--threshold", "0.4"], "no blend"),
        (["--mask", "none.png"], "there is no file none.png"),
        (["--kind", "replace"], "words"),
    ],
)
def test_options_that_make_no_sense(run, here, inverted, tiny, options, message):
    caption = "a dog" if options[0] == "--kind" else "a red dog"
    result = run("edit", inverted, caption, "--model", tiny, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in here.iterdir()] == [inverted]


def test_an_empty_mask_is_said(run, inverted, tiny, picture):
    Image.new("L", picture.size).save("black.png")
    result = run("edit", inverted, "a red dog", "--model", tiny, "--mask", "black.png")
    assert result.exit_code == 2
    assert "is empty" in result.stderr


@pytest.mark.parametrize(
    ("text", "share"), [("0.8", 0.8), (".8", 0.8), ("1", 1.0), ("0.2-0.8", (0.2, 0.8)), (" 0-1 ", (0.0, 1.0))]
)
def test_shares(text, share):
    assert read_share(text) == share


@pytest.mark.parametrize("text", ["", "-0.2", "0.2-", "a", "0.2:0.8", "80%"])
def test_no_shares(text):
    with pytest.raises(SettingError, match="expected a share"):
        read_share(text)


def test_words_with_numbers():
    assert read_cross(["0.8", "tiger=0.4", "hot dog=0.1-0.2"]) == {"": 0.8, "tiger": 0.4, "hot dog": (0.1, 0.2)}
    assert read_weights(["tiger=2", "t-shirt=-1.5"]) == {"tiger": 2.0, "t-shirt": -1.5}


def test_blends():
    assert read_blend(None) is None
    blend = read_blend("cat,big mouse:tiger", keep_out=["grass"], threshold=0.4)
    assert blend is not None
    assert (blend.source, blend.target) == (["cat", "big mouse"], ["tiger"])
    assert (blend.keep_out, blend.threshold, blend.start) == (("grass",), 0.4, 0.2)
    only = read_blend("cat")
    assert only is not None
    assert (only.source, only.target) == (["cat"], [])


def test_a_sweep_is_one_picture_of_a_grid(run_json, run, here, inverted, tiny):
    options = ("--model", tiny, "--over", "self=0,0.5,1", "--over", "weight:dog=1,3", "--batch", 4)
    record = run_json("sweep", inverted, "a red dog", *options)
    assert record["path"] == "photo-a-red-dog-sweep.png"
    assert record["settings"][1] == {"self": 0.0, "weight:dog": 3.0}
    assert len(record["settings"]) == 6
    sheet = Image.open(record["path"])
    assert sheet.width > 3 * 192
    assert sheet.height > 3 * 160
    again = run("sweep", inverted, "a red dog", *options)
    assert again.exit_code == 2
    assert "--force" in again.stderr


def test_a_sweep_cell_is_the_edit_of_these_settings(any_model, picture):
    from nulltext import DDIM, PromptToPrompt, open_image
    from nulltext.cli.sweep import vary
    from nulltext.editing.prompt_to_prompt import draw

    inversion = DDIM(steps=3)(any_model, open_image(picture, any_model), "a red cat")
    editors = [vary(PromptToPrompt(), {"cross": 0.3, "self": share}) for share in (0.0, 1.0)]
    together = draw(any_model, inversion, ["a red dog"] * 2, editors)
    for index, editor in enumerate(editors):
        alone = editor(any_model, inversion, "a red dog")
        torch.testing.assert_close(together.pixels[index : index + 1], alone.pixels, rtol=1e-3, atol=1e-3)
    assert (together.pixels[0] - together.pixels[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["self=a"], "expected one of cross, self"),
        (["colour=1,2"], "expected one of cross, self"),
        (["weight:=1"], "expected one of cross, self"),
        (["self=0,1", "self=0.5"], "two different ones"),
        (["self=0,1", "cross=0", "threshold=0.1"], "two different ones"),
        (["threshold=0.1,0.3"], "there is no blend to vary"),
        (["self=0,2"], "from 0 to 1"),
    ],
)
def test_sweeps_that_make_no_sense(run, here, inverted, tiny, over, message):
    options = [part for each in over for part in ("--over", each)]
    result = run("sweep", inverted, "a red dog", "--model", tiny, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in here.iterdir()] == [inverted]


def test_a_generated_picture_can_be_edited(run, run_json, here, tiny):
    record = run_json(
        "generate", "a red cat", "--model", tiny, "--steps", 3, "-o", "cat.png", "--save", "to/cat.safetensors"
    )
    assert record["file"] == "to/cat.safetensors"
    assert run("edit", record["file"], "a red dog", "--model", tiny, "-o", "dog.png").exit_code == 0
    assert Image.open("dog.png").size == Image.open("cat.png").size
    assert run("show", record["file"]).exit_code == 0
    refused = run(
        "generate", "a red cat", "--model", tiny, "--steps", 3, "-o", "new.png", "--save", "to/cat.safetensors"
    )
    assert refused.exit_code == 2
    assert not (here / "new.png").exists()
