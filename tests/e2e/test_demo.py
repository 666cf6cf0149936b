"""The demo, on the embedded model in a few steps."""

import pytest
from PIL import Image

from nulltext import Inversion, load
from nulltext.cli.demo import EDITS, edited_scenes
from nulltext.scenes.captions import caption
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene

QUICK = ("--steps", 2, "--inner-steps", 1)


def test_demo_writes_an_inversion_file_for_each_image_and_one_contact_sheet(run_json, here):
    record = run_json("demo", "--images", 2, *QUICK)
    written = sorted(path.name for path in (here / "nulltext-demo").iterdir())
    assert written == ["contact-sheet.png", "image-1.safetensors", "image-2.safetensors"]
    sheet = Image.open(record["contact_sheet"]).copy()
    assert sheet.width > 7 * 256
    assert sheet.height > 2 * 256
    for image in record["images"]:
        inversion = Inversion.load(image["file"])
        assert inversion.prompt == image["prompt"]
        assert inversion.scores.vae_psnr == pytest.approx(image["vae_db"], abs=1e-3)
        assert inversion.guidance == load().guidance
        assert len(set(image["edits"]) | {image["prompt"]}) == 3


def test_at_the_models_own_guidance_one_inversion_is_enough(run_json):
    own = run_json("demo", "--images", 1, *QUICK, "--guidance", load().guidance)["images"][0]
    assert Inversion.load(own["file"]).scores.psnr == pytest.approx(own["nulltext_db"], abs=1e-3)


def test_demo_prints_a_table_and_does_not_overwrite(run, here):
    first = run("demo", "--images", 1, *QUICK)
    assert first.exit_code == 0, first.output
    for word in ("round trip", "DDIM", "null-text", "seconds", "contact-sheet.png"):
        assert word in first.stdout
    second = run("demo", "--images", 1, *QUICK)
    assert second.exit_code == 2
    assert "--force" in second.stderr


def test_any_seed_has_images(run_json):
    record = run_json("demo", "--images", 1, "--steps", 1, "--inner-steps", 1, "--seed", 2**63 - 1)
    assert len(record["images"]) == 1


def attributes(scene: Scene) -> dict[str, object]:
    (thing,) = scene.things
    return {**vars(scene), **vars(thing), "things": None}


@pytest.mark.parametrize("kinds", EDITS)
@pytest.mark.parametrize("seed", HELD_OUT_SEEDS[:4])
def test_edits_change_one_word_each(kinds, seed):
    scene = sample_scene(seed, things=1, style="photo")
    for after, kind in zip(edited_scenes(scene, kinds, seed), kinds, strict=True):
        before, then = attributes(scene), attributes(after)
        assert {name for name in before if before[name] != then[name]} == {kind}
        assert caption(after) != caption(scene)
