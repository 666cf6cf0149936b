"""The options of Prompt-to-Prompt on the command line."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nulltext import Blend, ModelIdentity, PromptToPrompt
from nulltext.cli.show import begin_with
from nulltext.models import embedded, weights
from nulltext.models.recommended import FILE, Recommended
from nulltext.models.weights import recommended_in


@pytest.fixture
def inverted(here, cat):
    """A copy in the current folder."""
    return shutil.copy(cat, here / cat.name).name


OPTIONS = (
    *("--cross", "0.7", "--cross", "dog=0.2-0.6", "--self", "0.5", "--self-tokens", "16", "--kind", "refine"),
    *("--weight", "dog=2", "--blend", "cat:dog", "--mask", "mask.png", "--keep-out", "red"),
    *("--threshold", "0.99", "--blend-start", "0.3"),
)
SETTINGS = PromptToPrompt(
    cross_attention={"": 0.7, "dog": (0.2, 0.6)},
    self_attention=0.5,
    most_tokens=16,
    kind="refine",
    reweight={"dog": 2.0},
    blend=Blend(source=["cat"], target=["dog"], keep_out=("red",), mask=Path("mask.png"), threshold=0.99, start=0.3),
)
"""What `OPTIONS` say; all of it is other than the defaults."""


def test_every_option_at_once(run_json, here, inverted, tiny, image, editors):
    Image.new("L", image.size, 255).save("mask.png")
    record = run_json(
        *("edit", inverted, "a red dog", "a big red dog", "--model", tiny, "-o", "out", "--maps", "--chain"),
        *("--guidance", "7.5", "--reconstruction", "check.png", *OPTIONS),
    )
    assert editors == [replace(SETTINGS, chain=True, maps=True, guidance=7.5)] * 2
    assert [edit["kind"] for edit in record["edits"]] == ["refine", "refine"]
    assert record["masks"] == ["out/a-red-dog-mask.png", "out/a-big-red-dog-mask.png"]
    assert record["maps"] == "out/photo-maps.png"
    assert Image.open(record["masks"][0]).copy().size == image.size
    assert Image.open(record["masks"][0]).copy().mode == "L"
    assert Image.open(record["maps"]).copy().width > 4 * 160
    assert {path.name for path in Path("out").iterdir()} == {
        "a-red-dog.png", "a-big-red-dog.png", "a-red-dog-mask.png", "a-big-red-dog-mask.png", "photo-maps.png",
    }  # fmt: skip


def test_every_option_reaches_every_point_of_a_sweep(run_json, here, inverted, tiny, image, editors):
    Image.new("L", image.size, 255).save("mask.png")
    run_json("sweep", inverted, "a red dog", "--model", tiny, "--over", "self=0,1", *OPTIONS)
    assert editors == [replace(SETTINGS, self_attention=share) for share in (0.0, 1.0)]


def test_without_options_the_settings_are_the_defaults(run, inverted, tiny, editors):
    assert run("edit", inverted, "a red dog", "--model", tiny).exit_code == 0
    assert run("sweep", inverted, "a red dog", "--model", tiny, "--over", "self=0.8").exit_code == 0
    assert editors == [PromptToPrompt(), PromptToPrompt(cross_attention=0.8, self_attention=0.8)]


def test_masks_and_maps_are_written_only_when_asked_for(run_json, here, inverted, tiny):
    record = run_json("edit", inverted, "a red dog", "--model", tiny, "--blend", "cat:dog", "-o", "dog.png")
    assert record["masks"] == []
    assert record["maps"] is None
    assert {path.name for path in here.iterdir()} == {inverted, "dog.png"}


def test_a_drawn_mask_and_words_to_keep_out_bound_the_change(run, here, inverted, tiny, image):
    half = Image.new("L", image.size)
    half.paste(255, (0, 0, 48, 80))
    half.save("half.png")
    common = ("edit", inverted, "a red dog", "--model", tiny, "--maps", "--blend-start", "0")
    assert run(*common, "--mask", "half.png", "-o", "drawn.png").exit_code == 0
    assert run(*common, "--keep-out", "cat", "--threshold", "0.98", "-o", "kept.png").exit_code == 0
    assert (
        run(*common, "--keep-out", "cat", "--threshold", "0.98", "--mask", "half.png", "-o", "both.png").exit_code == 0
    )
    by_mask, kept, both = (
        np.asarray(Image.open(f"{name}-mask.png")).astype(float) / 255 for name in ("drawn", "kept", "both")
    )
    assert by_mask[:, 24].min() == 1
    assert by_mask[:, 72].max() == 0
    assert 0 < kept.mean() < 1
    np.testing.assert_array_equal(both, np.minimum(by_mask, kept))


def test_it_says_which_kind_it_took_and_prints_only_paths(run, inverted, tiny):
    result = run("edit", inverted, "a red dog", "a dog", "--model", tiny)
    assert result.stdout.split() == ["photo-a-red-dog.png", "photo-a-dog.png"]
    assert result.stderr.splitlines() == ["replace: a red dog", "refine: a dog", *LEFT]


LEFT = ["--cross 0.8, published for Stable Diffusion", "--self 0.4, published for Stable Diffusion"]


@pytest.mark.parametrize("command", [("edit",), ("sweep", "--over", "weight:dog=1,2")], ids=lambda command: command[0])
def test_what_is_left_to_the_model_is_said_with_its_reason(run, run_json, here, inverted, tiny, command):
    name, *over = command
    recommending = shutil.copytree(tiny, here / "mine")
    given = (name, inverted, "a red dog", *over, "--model", recommending)
    assert run(*given).stderr.splitlines()[-2:] == LEFT
    (recommending / FILE).write_text('{"self_attention": 0.6}')
    left_to_the_model = run_json(*given, "--blend", "cat:dog", "--force")["left_to_the_model"]
    assert left_to_the_model["--self"] == "0.6, recommended by the model 'mine'"
    assert left_to_the_model["--threshold"] == "0.3, published for Stable Diffusion"
    assert "--self" not in run_json(*given, "--self", "0.1", "--force")["left_to_the_model"]


def test_an_edit_records_the_settings_that_were_in_force(run_json, inverted, tiny):
    given = ("edit", inverted, "a red dog", "--model", tiny, "--force")
    assert run_json(*given)["settings"] == [{"cross": 0.8, "self": 0.4, "threshold": None}]
    one = run_json(*given, "--cross", "dog=0.1", "--blend", "cat:dog", "--self", "0.2-0.3")["settings"]
    assert one == [{"cross": {"": 0.8, "dog": 0.1}, "self": [0.2, 0.3], "threshold": 0.3}]
    assert run_json(*given, "--editor", "prompt-swap")["settings"] == [
        {"guidance": 7.5, "negative_prompt": "", "rule": {"name": "classifier-free", "settings": {}}}
    ]


def test_the_help_says_what_is_in_force_and_why(run):
    """The figures there are those of the embedded model, and the published ones."""
    embedded_ones, published = recommended_in(embedded.FOLDER), Recommended()
    left_to_the_model = " ".join(run("edit", "--editor", "prompt-to-prompt", "--help").stdout.replace("│", " ").split())
    for name in ("cross_attention", "self_attention", "threshold"):
        scenes, other = getattr(embedded_ones, name), getattr(published, name)
        assert (
            f"the model recommends: {scenes:g} the embedded one; others, unless they say so themselves, {other:g} as "
            "published for Stable Diffusion"
        ) in left_to_the_model


def test_show_says_what_edits_begin_with(run, run_json, inverted):
    settings = run_json("show", inverted)["edits_begin_with"]
    assert settings["--self"].startswith("0.4, published for Stable Diffusion, unless '")
    assert "0.4, published for Stable Diffusion" in " ".join(run("show", inverted).stdout.split())
    assert begin_with(ModelIdentity("scenes", weights.digest(weights.files(embedded.FOLDER), embedded.FOLDER))) == {
        "--cross": "0.8, recommended by the model 'scenes'",
        "--self": "0.8, recommended by the model 'scenes'",
        "--threshold": "0.3, recommended by the model 'scenes'",
    }


def test_prompt_swap_leaves_attention_alone(run_json, inverted, tiny):
    record = run_json("edit", inverted, "a red dog", "--model", tiny, "--editor", "prompt-swap")
    assert record["edits"][0]["kind"] == record["editor"] == "prompt-swap"


@pytest.mark.parametrize(
    "options",
    [
        ["--cross", "0.5"],
        ["--self", "0.5"],
        ["--self-tokens", "64"],
        ["--kind", "replace"],
        ["--weight", "dog=2"],
        ["--blend", "cat:dog"],
        ["--mask", "mask.png"],
        ["--keep-out", "red"],
        ["--chain"],
        ["--maps"],
    ],
    ids=lambda options: options[0],
)
def test_an_editor_takes_no_options_of_another(run, here, inverted, tiny, options):
    refused = run("edit", inverted, "a red dog", "--model", tiny, "--editor", "prompt-swap", *options)
    assert refused.exit_code == 2
    assert (
        f"{options[0]} with --editor prompt-swap, which does not have it; it is an option of prompt-to-prompt"
        in refused.stderr
    )
    assert [path.name for path in here.iterdir()] == [inverted]


def test_in_a_chain_each_prompt_is_matched_with_the_one_before(run_json, inverted, tiny):
    prompts = ("a big red dog", "a big blue dog", "a blue dog")
    apart = run_json("edit", inverted, *prompts, "--model", tiny, "-o", "apart")
    chained = run_json("edit", inverted, *prompts, "--model", tiny, "--chain", "-o", "chained")
    assert [edit["kind"] for edit in apart["edits"]] == ["refine", "refine", "replace"]
    assert [edit["kind"] for edit in chained["edits"]] == ["refine", "replace", "refine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weight", "tiger=2"], "'tiger' is not in the prompt 'a red dog'"),
        (["--weight", "dog=twice"], "expected a word and a factor"),
        (["--weight", "2"], "expected a word and a factor"),
        (["--weight", "dog=11"], "from -4 to 10"),
        (["--cross", "most"], "expected a share of the steps"),
        (["--self", "0.8-0.2"], "start <= end"),
        (["--blend", "tiger:dog"], "'tiger' is not in the prompt 'a red cat'"),
        (["--threshold", "0.4"], "needs words, a mask, or both"),
        (["--mask", "none.png"], "there is no file none.png"),
        (["--kind", "replace"], "words"),
        (["--self-tokens", "0"], "Invalid value for '--self-tokens'"),
    ],
)
def test_options_that_make_no_sense(run, here, inverted, tiny, options, message):
    prompt = "a dog" if options[0] == "--kind" else "a red dog"
    result = run("edit", inverted, prompt, "--model", tiny, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in here.iterdir()] == [inverted]


def test_an_empty_mask_is_said(run, inverted, tiny, image):
    Image.new("L", image.size).save("black.png")
    result = run("edit", inverted, "a red dog", "--model", tiny, "--mask", "black.png")
    assert result.exit_code == 2
    assert "nothing white in it" in result.stderr


def test_a_generated_image_can_be_edited(run, run_json, here, tiny):
    record = run_json(
        "generate", "a red cat", "--model", tiny, "--steps", 3, "-o", "cat.png", "--save", "to/cat.safetensors"
    )
    assert record["file"] == "to/cat.safetensors"
    assert run("edit", record["file"], "a red dog", "--model", tiny, "-o", "dog.png").exit_code == 0
    assert Image.open("dog.png").copy().size == Image.open("cat.png").copy().size
    assert run("show", record["file"]).exit_code == 0
    refused = run(
        "generate", "a red cat", "--model", tiny, "--steps", 3, "-o", "new.png", "--save", "to/cat.safetensors"
    )
    assert refused.exit_code == 2
    assert not (here / "new.png").exists()
