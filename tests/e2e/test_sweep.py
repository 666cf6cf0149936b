"""`nulltext sweep`: one edit under many settings, in one image."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from nulltext import PromptToPrompt, contact_sheet
from nulltext.cli.sweep import vary


@pytest.fixture
def inverted(here, cat):
    """A copy in the current folder."""
    return shutil.copy(cat, here / cat.name).name


LEFT = ["--cross 0.8, published for Stable Diffusion", "--self 0.4, published for Stable Diffusion"]


def test_a_sweep_is_one_image_of_a_grid(run_json, run, here, inverted, tiny):
    options = ("--model", tiny, "--over", "self=0,0.5,1", "--over", "weight:dog=1,3", "--batch", 4)
    record = run_json("sweep", inverted, "a red dog", *options)
    assert record["path"] == "photo-a-red-dog-sweep.png"
    assert record["kind"] == "replace"
    assert record["empty_masks"] == []
    assert record["settings"][1] == {"self": 0.0, "weight:dog": 3.0}
    assert len(record["settings"]) == 6
    sheet = Image.open(record["path"]).copy()
    assert sheet.width > 3 * 192
    assert sheet.height > 3 * 160
    again = run("sweep", inverted, "a red dog", *options)
    assert again.exit_code == 2
    assert "--force" in again.stderr


def test_a_sweep_cell_is_the_edit_of_these_settings(any_model, image):
    from nulltext import DDIM, open_image

    inversion = DDIM(steps=3)(any_model, open_image(image, any_model), "a red cat")
    editors = [vary(PromptToPrompt(), {"cross": 0.3, "self": share}) for share in (0.0, 1.0)]
    batched = PromptToPrompt().each(any_model, inversion, [("a red dog", each) for each in editors])
    for index, editor in enumerate(editors):
        single = editor(any_model, inversion, "a red dog")
        torch.testing.assert_close(batched.pixels[index : index + 1], single.pixels, rtol=1e-3, atol=1e-3)
    assert (batched.pixels[0] - batched.pixels[1]).abs().max() > 1e-3


def test_a_share_of_all_words_leaves_those_of_single_words():
    editor = vary(PromptToPrompt(cross_attention={"": 0.6, "dog": 0.2}), {"cross": 0.4})
    assert editor.shares == {"": 0.4, "dog": 0.2}


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_sweep_leaves_out_weights_where_they_cannot_act(run_json, inverted, tiny, editors, batch):
    record = run_json(
        *("sweep", inverted, "a red dog", "--model", tiny, "--batch", batch, "--weight", "red=2"),
        *("--cross", "red=1", "--over", "cross=0,0.8", "--over", "weight:dog=1,3"),
    )
    assert len(record["settings"]) == 4
    assert [editor.reweight for editor in editors] == [
        {"red": 2.0}, {"red": 2.0}, {"red": 2.0, "dog": 1.0}, {"red": 2.0, "dog": 3.0},
    ]  # fmt: skip


def test_a_weight_that_can_act_nowhere_in_a_sweep_is_an_error(run, here, inverted, tiny):
    options = ("--cross", "dog=0", "--weight", "dog=2", "--over", "cross=0,0.8")
    result = run("sweep", inverted, "a red dog", "--model", tiny, *options)
    assert result.exit_code == 2
    assert "reweight acts in the steps" in result.stderr
    assert [path.name for path in here.iterdir()] == [inverted]


@pytest.fixture
def cells(monkeypatch):
    """The cells of the contact sheets drawn while the test runs, row by row."""
    used = []
    render_sheet = contact_sheet.contact_sheet

    def spy(headings, rows, **settings):
        used.extend(rows)
        return render_sheet(headings, rows, **settings)

    monkeypatch.setattr(contact_sheet, "contact_sheet", spy)
    return used


@pytest.mark.parametrize("batch", [1, 8])
def test_points_with_an_empty_mask_are_blank_and_the_others_drawn(run, run_json, inverted, tiny, cells, batch):
    # each place has some share of the word, so that nothing is left to change at a threshold of 0
    options = ("--model", tiny, "--keep-out", "cat", "--over", "self=0,1", "--over", "threshold=0,0.98")
    record = run_json("sweep", inverted, "a red dog", *options, "--batch", batch, "-o", "sheet.png")
    assert record["empty_masks"] == [{"self": 0.0, "threshold": 0.0}, {"self": 1.0, "threshold": 0.0}]
    texts = [[cell.text for cell in row] for row in cells]
    assert texts == [
        ["a red cat", "self 0  threshold 0  mask empty", "self 0  threshold 0.98"],
        ["", "self 1  threshold 0  mask empty", "self 1  threshold 0.98"],
    ]
    for row in cells:
        assert row[1].image.getextrema() == ((255, 255),) * 3
        assert min(low for low, _ in row[2].image.getextrema()) < 255
    run("edit", inverted, "a red dog", "--model", tiny, "--keep-out", "cat", "--threshold", "0.98", "--self", "1")
    single = np.asarray(Image.open("photo-a-red-dog.png"), dtype=float)
    np.testing.assert_allclose(np.asarray(cells[1][2].image, dtype=float), single, atol=1)


def test_a_sweep_says_its_kind_and_which_masks_are_empty(run, inverted, tiny):
    options = ("--model", tiny, "--keep-out", "cat", "--over", "threshold=0,0.98")
    result = run("sweep", inverted, "a dog", *options)
    assert result.stdout.split() == ["photo-a-dog-sweep.png"]
    kind, *left, empty = result.stderr.splitlines()
    assert left == LEFT
    assert kind == "refine: a dog"
    assert empty.startswith("threshold 0: the mask of 'a dog' is empty")


def test_a_sweep_of_nothing_but_empty_masks_is_an_error(run, here, inverted, tiny):
    options = ("--keep-out", "cat", "--over", "threshold=0,0.001")
    result = run("sweep", inverted, "a red dog", "--model", tiny, *options)
    assert result.exit_code == 2
    assert "is empty" in result.stderr
    assert [path.name for path in here.iterdir()] == [inverted]


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
