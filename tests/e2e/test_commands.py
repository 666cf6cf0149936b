"""What each command does when all is well."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin
from safetensors.torch import load_file, save_file

from nulltext import Inversion
from nulltext.cli.outputs import edit_paths, image_path, slug, write_image
from nulltext.errors import OutputWriteError
from nulltext.web.recipes import png

QUICK = ("--method", "null-text", "--steps", 2, "--inner-steps", 1)


def test_invert_writes_a_file_and_says_what_to_do_next(run, here, image_file, tiny):
    result = run("invert", image_file, "a red ball", "--model", tiny, *QUICK)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in here.iterdir()) == ["photo.safetensors"]
    assert "PSNR" in result.stdout
    assert "Next: nulltext edit photo.safetensors" in result.stdout
    assert Inversion.load("photo.safetensors").prompt == "a red ball"


def test_invert_json(run_json, image_file, tiny):
    record = run_json("invert", image_file, "a red ball", "--model", tiny, *QUICK, "-o", "out.safetensors")
    inversion = Inversion.load(record["file"])
    assert record["psnr"] == pytest.approx(inversion.scores.psnr)
    assert record["gap_to_vae"] == pytest.approx(inversion.scores.vae_psnr - inversion.scores.psnr)
    assert record["settings"]["steps"] == len(inversion.schedule) == 2
    assert record["seconds"] > 0
    assert (record["device"], record["dtype"]) == ("cpu", "float32")


def test_invert_by_ddim_needs_no_guidance(run_json, image_file, tiny):
    record = run_json("invert", image_file, "a red ball", "--model", tiny, "--method", "ddim", "--steps", 2)
    assert record["guidance"] == 1
    assert Inversion.load(record["file"]).replay.nulls is None


def test_the_models_own_guidance_is_taken_where_none_is_given(run_json, here, image_file, tiny):
    recommending = shutil.copytree(tiny, here / "model")
    weights = recommending / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(weights), weights, metadata={"format": "pt", "recommended_guidance": "4.0"})
    for model, args, guidance in (
        (tiny, (), 7.5),
        (recommending, (), 4),
        (recommending, ("--method", "null-text", "--inner-steps", 1), 4),
        (recommending, ("--method", "null-text", "--inner-steps", 1, "--preset", "paper"), 4),
        (recommending, ("--guidance", 3), 3),
        (recommending, ("--method", "ddim"), 1),
    ):
        record = run_json("invert", image_file, "a red ball", "--model", model, "--steps", 1, *args, "--force")
        assert record["guidance"] == guidance
    assert run_json("generate", "a red ball", "--model", recommending, "--steps", 1)["guidance"] == 4


def test_invert_at_a_size_and_edit_at_the_photographs(run_json, here, image_file, tiny):
    made = run_json("invert", image_file, "a red ball", "--model", tiny, *QUICK, "--size", "64x130")
    assert Inversion.load(made["file"]).frame.fitted == (64, 128)
    (edit,) = run_json("edit", made["file"], "a cat", "--model", tiny)["edits"]
    assert Image.open(edit["path"]).copy().size == (96, 80)


def test_invert_with_the_constants_of_the_paper(run_json, image_file, tiny):
    record = run_json("invert", image_file, "a red ball", "--model", tiny, *QUICK, "--preset", "paper")
    assert record["settings"]["descent"]["decay"] == 0


def test_edit_writes_one_image_a_prompt_of_the_images_size(run, here, inverted, tiny):
    result = run("edit", inverted, "a blue ball", "a cat", "--model", tiny)
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert [path.name for path in paths] == ["photo-a-blue-ball.png", "photo-a-cat.png"]
    assert {Image.open(path).copy().size for path in paths} == {(96, 80)}


def test_edit_into_one_file_and_the_reconstruction_into_another(run_json, here, inverted, tiny):
    record = run_json(
        "edit", inverted, "a cat", "--model", tiny, "-o", "cat.jpg", "--reconstruction", "deep/er/check.png"
    )
    assert record["edits"] == [{"prompt": "a cat", "path": "cat.jpg", "kind": "refine"}]
    assert record["source_prompt"] == "a red ball"
    with Image.open("cat.jpg") as jpeg:
        assert isinstance(jpeg, JpegImagePlugin.JpegImageFile)
        assert max(jpeg.quantization[0]) <= 15  # quality 95; at Pillow's 75 it is 61
        assert JpegImagePlugin.get_sampling(jpeg) == 0  # colours as sharp as brightness
    assert Image.open(record["reconstruction"]).copy().size == (96, 80)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".tif", ".tiff", ".bmp"])
def test_every_format_that_is_taken_can_be_written(suffix, here, image):
    path = here / "deep" / f"a{suffix}"
    write_image(image_path(path), image, force=False)
    written = Image.open(path).convert("RGB")
    assert np.abs(np.asarray(written).astype(int) - np.asarray(image)).mean() < 2


def test_an_image_too_large_for_its_format(here):
    with pytest.raises(OutputWriteError, match=r"20000 x 1, as WEBP.*Take \.png"):
        write_image(here / "a.webp", Image.new("RGB", (20_000, 1)), force=False)
    assert list(here.iterdir()) == []


def test_edit_into_a_folder(run, here, inverted, tiny):
    assert run("edit", inverted, "a cat", "a dog", "--model", tiny, "-o", "edits").exit_code == 0
    assert sorted(path.name for path in (here / "edits").iterdir()) == ["a-cat.png", "a-dog.png"]


def test_a_folder_named_scenes_is_not_the_embedded_model(run, run_json, here, inverted, image_file, tiny):
    shutil.copytree(tiny, "scenes")
    record = run_json("invert", image_file, "a cat", "--model", "./scenes", *QUICK)
    assert record["model"] == "./scenes"
    refused = run("edit", record["file"], "a dog")
    assert refused.exit_code == 2
    assert "--model" in refused.stderr
    assert run("edit", record["file"], "a dog", "--model", "./scenes").exit_code == 0
    refused = run("edit", record["file"], "a blue ball", "--model", "scenes")
    assert refused.exit_code == 2
    assert "made with ./scenes" in refused.stderr


def test_an_edited_image_of_the_app_says_how_it_was_made(run, run_json):
    recipe = {"version": "1", "prompts": ["a cat", "a dog"], "settings": {"cross_attention": 0.8}}
    Path("edited.png").write_bytes(png(Image.new("RGB", (8, 8)), recipe))
    assert run_json("show", "edited.png") == recipe
    assert "cross_attention 0.8" in run("show", "edited.png").stdout
    assert "expected an inversion file" in run("show", "edited.png", "--image", "a.png").output
    Path("plain.png").write_bytes(png(Image.new("RGB", (8, 8))))
    assert run("show", "plain.png").exit_code != 0


def test_show(run, run_json, inverted):
    text = run("show", inverted).stdout
    assert "a red ball" in text
    assert "dB" in text
    record = run_json("show", inverted, "--image", "source.png")
    inversion = Inversion.load(inverted)
    assert record["prompt"] == inversion.prompt
    assert record["psnr"] == pytest.approx(inversion.scores.psnr)
    assert (record["width"], record["height"]) == (96, 80)
    assert (record["fitted_width"], record["fitted_height"]) == (64, 64)
    assert Image.open("source.png").copy().size == (96, 80)


def test_a_v_model_and_a_padded_image_in_bfloat16_under_names_with_spaces_and_accents(
    run, run_json, here, image, folder
):
    model = shutil.copytree(folder("v_prediction"), here / "mon modèle v")
    (here / "été 2026").mkdir()
    image.save("été 2026/ein süßer Hund.png")
    settings = ("--model", model, "--dtype", "bfloat16", "--device", "cpu")
    args = ("invert", "été 2026/ein süßer Hund.png", "a dog on grass", *settings, "--fit", "pad", *QUICK)
    record = run_json(*args)
    assert (record["file"], record["dtype"]) == ("ein süßer Hund.safetensors", "bfloat16")
    assert "Next: nulltext edit 'ein süßer Hund.safetensors'" in run(*args, "--force").stdout
    edited = run_json("edit", record["file"], "a cat on grass", *settings, "-o", "sorties d'été/")
    (written,) = (Path(each["path"]) for each in edited["edits"])
    assert written == Path("sorties d'été/a-cat-on-grass.png")
    assert Image.open(written).copy().size == image.size
    shown = run_json("show", record["file"], "--image", "quelle.png")
    assert (shown["prompt"], shown["model"]) == ("a dog on grass", "mon modèle v")
    assert (shown["fitted_width"], shown["fitted_height"]) == (64, 64)
    source = np.asarray(Image.open("quelle.png")).astype(int)
    assert np.abs(source - np.asarray(image)).max() <= 6  # all of it, nothing cropped: scaled down and up again


def test_generate_is_repeatable_and_takes_a_size(run_json, tiny):
    args = ("generate", "a cat", "--model", tiny, "--steps", 2, "--size", "64x96", "--seed", 3)
    first, second = run_json(*args, "-o", "one.png"), run_json(*args, "-o", "two.png")
    assert (first["width"], first["height"], first["seed"]) == (96, 64, 3)
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    assert Image.open(second["path"]).copy().size == (96, 64)


@pytest.mark.parametrize("command", ["invert", "edit", "generate", "show"])
def test_nothing_is_overwritten_without_force(command, run, here, image_file, inverted, tiny):
    target = here / ("out.safetensors" if command == "invert" else "out.png")
    target.write_text("precious")
    args = {
        "invert": (image_file, "a cat", "--model", tiny, *QUICK, "-o", target),
        "edit": (inverted, "a cat", "--model", tiny, "-o", target),
        "generate": ("a cat", "--model", tiny, "--steps", 2, "-o", target),
        "show": (inverted, "--image", target),
    }[command]
    refused = run(command, *args)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert target.read_text() == "precious"
    assert run(command, *args, "--force").exit_code == 0
    assert target.read_bytes() != b"precious"


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_any_seed_draws_something(seed, run, tiny):
    result = run("generate", "a cat", "--model", tiny, "--steps", 1, "--seed", seed)
    assert result.exit_code == 0, result.output


def test_version(run):
    from nulltext import __version__

    assert run("--version").stdout.strip() == f"nulltext {__version__}"


def test_slugs():
    assert slug("A café, at night!") == "a-café-at-night"
    assert slug("?!") == "image"
    assert len(slug("word " * 40)) <= 60


def test_prompts_that_make_the_same_name_do_not_collide():
    paths = edit_paths(["a cat", "a cat!", "A cat"], None, "photo")
    assert len(set(paths)) == 3


def test_json_has_no_infinity(capsys):
    from nulltext.cli.terminal import print_json

    print_json({"psnr": float("inf"), "nested": [{"loss": float("nan")}], "text": "∅"})
    assert json.loads(capsys.readouterr().out) == {"psnr": None, "nested": [{"loss": None}], "text": "∅"}


def test_a_direct_inversion_in_low_memory(run_json, image_file, tiny, here):
    record = run_json("invert", image_file, "a red ball", "--model", tiny, "--steps", 3, "--low-memory")
    assert record["psnr"] == record["vae_psnr"]
    assert record["settings"]["fixed_point"] == {"iterations": 1, "tolerance": 0.0}
    edited = run_json("edit", record["file"], "a blue ball", "--model", tiny, "--low-memory")
    assert Path(edited["edits"][0]["path"]).is_file()


def test_a_compiled_inversion(run_json, image_file, tiny, here, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda forward, **_: compiled.append(forward) or forward)
    record = run_json("invert", image_file, "a red ball", "--model", tiny, "--steps", 3, "--compiled")
    assert len(compiled) == 1
    assert record["psnr"] == record["vae_psnr"]


def test_a_negative_prompt_stays_with_the_file(run, run_json, here, image_file, tiny):
    invert = ("invert", image_file, "a red ball", "--model", tiny, "--steps", 2, "--negative-prompt", "a dog")
    assert run_json(*invert)["negative_prompt"] == "a dog"
    assert run_json("show", "photo.safetensors")["negative_prompt"] == "a dog"
    assert "negative prompt" in run("show", "photo.safetensors").stdout
    edit = ("edit", "photo.safetensors", "a blue ball", "--model", tiny, "--negative-prompt", "a cat", "-o", "a.png")
    assert run_json(*edit)["negative_prompt"] == "a cat"
    refused = run("edit", "photo.safetensors", "a cat", "--editor", "vqgan-clip", "--negative-prompt", "a", "-m", tiny)
    assert "got --negative-prompt, which vqgan-clip does not have" in refused.stderr
    generated = run_json("generate", "a red ball", "--model", tiny, "--steps", 2, "--negative-prompt", "a dog")
    assert generated["negative_prompt"] == "a dog"


def test_weights_in_a_prompt_are_hinted_at(run, tiny):
    result = run("generate", "a (red ball:1.3)", "--model", tiny, "--steps", 1, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["prompt"] == "a (red ball:1.3)"
    assert result.stderr.count("has '(red ball:1.3)', which is read as it stands") == 1


def test_a_lora_of_the_inversion_is_asked_for_again(run, run_json, here, image_file, tiny):
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{layer}.lora_A.weight": torch.ones(1, 64), f"{layer}.lora_B.weight": torch.ones(64, 1)}
    save_file(tensors, "a.safetensors")
    lora = ("--lora", "a.safetensors=0.5")
    refused = run("invert", image_file, "a red ball", "--model", tiny, "--steps", 2, "--lora", "a.safetensors=much")
    assert "expected FILE or FILE=WEIGHT" in refused.stderr
    run_json("invert", image_file, "a red ball", "--model", tiny, "--steps", 2, *lora)
    (added,) = run_json("show", "photo.safetensors")["additions"]
    assert (added["kind"], added["name"], added["weight"]) == ("lora", "a.safetensors", 0.5)
    assert "with --lora a.safetensors=0.5" in " ".join(run("show", "photo.safetensors").stdout.split())
    edit = ("edit", "photo.safetensors", "a blue ball", "--model", tiny, "-o", "b.png")
    refused = run(*edit)
    assert "was made with --lora a.safetensors=0.5" in refused.stderr
    assert "Give that again: --lora PATH=0.5." in refused.stderr
    assert run(*edit, *lora).exit_code == 0


def test_what_a_crop_leaves_out_is_said(run, image_file, tiny):
    said = "Of the image's 96 x 80 pixels the middle 80 x 80 are taken"
    for more, there in (((), True), (("--fit", "pad"), False), (("--size", "56x72"), False)):
        result = run("invert", image_file, "a dog", "--model", tiny, *QUICK, "--force", "-o", "a.safetensors", *more)
        assert result.exit_code == 0, result.output
        assert (said in result.stderr) is there
    assert (
        "--size 56x72, or --fit pad, takes all of it"
        in run("invert", image_file, "a dog", "--model", tiny, *QUICK, "--force", "-o", "a.safetensors").stderr
    )
