"""The whole recipe on a handful of pictures: a checkpoint that loads, and that a second run goes on from."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

from nulltext.errors import SettingError
from nulltext.judges import Judges
from nulltext.models.clip import Clip
from nulltext.models.loading import load
from nulltext.scenes.captions import vocabulary
from nulltext.training import odds
from nulltext.training.clip import build_tokenizer
from nulltext.training.data import render_shards, shard_scenes, to_bytes, to_pixels
from nulltext.training.recipe import STAGES, Recipe, read_stamp, run, stamp

WEIGHTS = "diffusion_pytorch_model.safetensors"
TINY = Recipe(pictures=128, seconds=dict.fromkeys(STAGES, 0.1))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    run(TINY, folder / "model", work=folder / "work")
    return folder / "model"


def test_diffusers_loads_the_folder_unchanged(checkpoint: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(checkpoint)
    assert pipeline.vae_scale_factor == 8
    assert pipeline.unet.config.sample_size == 16
    assert pipeline.scheduler.config.steps_offset == 1
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline("a photo of a red ball on grass at night", num_inference_steps=2, output_type="pt").images
    assert pictures.shape == (1, 3, 128, 128)


def test_the_package_loads_it_and_all_that_ships_beside_it(checkpoint: Path) -> None:
    model = load(checkpoint)
    assert model.default_size == (128, 128)
    assert (checkpoint / "words.txt").read_text().split() == vocabulary()
    clip = Clip.load(checkpoint / "clip")
    pixels = torch.zeros(2, 3, 128, 128)
    assert clip.images(pixels).shape == (2, 128)
    torch.testing.assert_close(clip.texts(["a red ball"]).norm(dim=1), torch.ones(1))
    assert set(Judges.load(checkpoint / "judges.safetensors").read(pixels)[0]) >= {"shape", "color", "ground"}


def test_the_text_tower_is_the_clips_own(checkpoint: Path) -> None:
    model, clip = load(checkpoint), Clip.load(checkpoint / "clip")
    tokens = clip.tokenizer(["a red ball"], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states = clip.model.text_model(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(model.embed(["a red ball"]), states, atol=1e-4, rtol=0)


def test_weights_are_half_precision_and_carry_their_recipe(checkpoint: Path) -> None:
    paths = sorted(checkpoint.rglob("*.safetensors"))
    assert len(paths) == 5
    assert sum(path.stat().st_size for path in paths) <= 60e6
    for path in paths:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            assert metadata["format"] == "pt"
            assert json.loads(metadata["recipe"])["pictures"] == 128
            assert all(file.get_tensor(name).dtype != torch.float32 for name in file.keys())  # noqa: SIM118  no mapping
    stamp(checkpoint, {"scores": {"vae_psnr_scenes": 12.5}})
    assert read_stamp(checkpoint)["scores"] == {"vae_psnr_scenes": 12.5}
    assert "recipe" in read_stamp(checkpoint)


def test_a_second_run_goes_on_from_the_first(checkpoint: Path) -> None:
    run(TINY, checkpoint.with_name("again"), work=checkpoint.with_name("work"))
    for part in ("unet", "vae"):
        again, first = (load_file(root / part / WEIGHTS) for root in (checkpoint.with_name("again"), checkpoint))
        assert all(torch.equal(again[name], first[name]) for name in first)


def test_a_run_can_start_from_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    none = Recipe(pictures=128, seconds=dict.fromkeys(STAGES, 0.0), start="model")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "pictures").symlink_to(checkpoint.with_name("work") / "pictures")
    run(none, tmp_path / "model", work=tmp_path / "work", start=checkpoint)
    for part in ("unet", "vae"):
        started, source = (load_file(root / part / WEIGHTS) for root in (tmp_path / "model", checkpoint))
        assert all(torch.equal(started[name], source[name]) for name in source)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SettingError, match="holds other files"):
        run(TINY, tmp_path, work=tmp_path / "work")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_missing_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="expected autoencoder"):
        run(Recipe(seconds={"clip": 1.0}), tmp_path / "model", work=tmp_path / "work")


def test_shards_are_rendered_once(tmp_path: Path) -> None:
    (path,) = render_shards(tmp_path, 1, size=32, workers=1)
    written = path.stat().st_mtime_ns
    assert render_shards(tmp_path, 1, size=32, workers=1) == [path]
    assert path.stat().st_mtime_ns == written
    assert len(shard_scenes(3, 10)) == 10


def test_bytes_and_pixels() -> None:
    stored = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_pixels(stored)), stored)


def test_pictures_that_are_no_scenes() -> None:
    drawn = odds.draw(8, 32, seed=0)
    assert drawn.shape == (8, 3, 32, 32)
    assert drawn.abs().amax() <= 1
    assert torch.equal(drawn, odds.draw(8, 32, seed=0))
    assert drawn.std(dim=(1, 2, 3)).amin() > 0.01


def test_every_word_is_one_token() -> None:
    tokenizer = build_tokenizer()
    for word in vocabulary():
        assert len(tokenizer(word).input_ids) == 3, word
