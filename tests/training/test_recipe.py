"""The whole recipe on a handful of images: a checkpoint that loads, and that a second run goes on from."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

from nulltext import __version__
from nulltext.bench.embedded_model import ModelFigures
from nulltext.errors import ModelNotFoundError, OutputWriteError, SettingError
from nulltext.judges import Judges
from nulltext.models.clip import Clip
from nulltext.models.embedded import FOLDER
from nulltext.models.loading import load
from nulltext.models.recommended import FILE
from nulltext.models.weights import recommended_in
from nulltext.scenes.captions import vocabulary
from nulltext.training import odds
from nulltext.training.checkpoint import FILES, read_stamp
from nulltext.training.clip import build_tokenizer
from nulltext.training.recipe import RECOMMENDED, STAGES, Recipe, run
from nulltext.training.recipe import _latents as latents_of

WEIGHTS = "diffusion_pytorch_model.safetensors"
TINY = Recipe(images=128, seconds=dict.fromkeys(STAGES, 0.1))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    run(TINY, folder / "model", work=folder / "work")
    return folder / "model"


@pytest.fixture(scope="module", params=["trained", "embedded"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    """One that was trained here and now, and the one that ships."""
    return FOLDER if request.param == "embedded" else request.getfixturevalue("trained")


def test_diffusers_loads_the_folder_unchanged(checkpoint: Path) -> None:
    pipeline: Any = StableDiffusionPipeline.from_pretrained(checkpoint)
    assert pipeline.vae_scale_factor == 8
    assert pipeline.unet.config.sample_size == 16
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline("a photo of a red ball on grass at night", num_inference_steps=2, output_type="pt").images
    assert images.shape == (1, 3, 128, 128)


def test_the_schedule_is_stable_diffusions(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "scheduler" / "scheduler_config.json").read_text())
    assert config["_class_name"] == "DDIMScheduler"
    assert config["beta_schedule"] == "scaled_linear"
    assert (config["beta_start"], config["beta_end"], config["num_train_timesteps"]) == (0.00085, 0.012, 1000)
    assert config["prediction_type"] == "epsilon"
    assert config["steps_offset"] == 1
    assert config["set_alpha_to_one"] is config["clip_sample"] is False


def test_the_package_loads_it_and_all_that_ships_beside_it(checkpoint: Path) -> None:
    # What a training recommends stands in its weights; the embedded ones are older than that.
    assert {path.name for path in checkpoint.iterdir()} | {FILE} == FILES
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
    torch.testing.assert_close(model.embed(["a red ball"]).text, states, atol=1e-4, rtol=0)


def test_weights_are_half_precision_and_carry_their_recipe(checkpoint: Path) -> None:
    paths = sorted(checkpoint.rglob("*.safetensors"))
    assert len(paths) == 5
    assert (checkpoint / "judges.safetensors").stat().st_size <= 3e6
    assert sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) <= 60e6
    for path in paths:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            assert metadata["format"] == "pt"
            assert set(json.loads(metadata["recipe"])["seconds"]) == set(STAGES)
            tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118  no mapping
        assert all(tensor.dtype != torch.float32 for tensor in tensors)
        assert all(tensor.isfinite().all() for tensor in tensors)


def test_the_embedded_checkpoint_carries_its_scores() -> None:
    stamped: Any = read_stamp(FOLDER)
    scores = ModelFigures(**stamped["scores"])
    assert 29 < scores.vae_psnr_scenes < 31
    assert scores.judges_accuracy > 0.95
    shares = [value for name, value in asdict(scores).items() if name.endswith("_accuracy")]
    assert len(shares) == 6
    assert all(0.85 < share <= 1 for share in shares)


def test_a_checkpoint_says_what_it_was_made_from(trained: Path) -> None:
    assert read_stamp(trained) == {
        "recipe": {**asdict(TINY), "start": "random", "version": __version__},
        "recommended": RECOMMENDED,
    }
    recommended = recommended_in(trained)
    assert (recommended.own, recommended.self_attention) == (RECOMMENDED.keys(), 0.8)


def test_a_second_run_goes_on_from_the_first(trained: Path) -> None:
    run(TINY, trained.with_name("again"), work=trained.with_name("work"))
    for part in ("unet", "vae"):
        again, first = (load_file(root / part / WEIGHTS) for root in (trained.with_name("again"), trained))
        assert all(torch.equal(again[name], first[name]) for name in first)


def test_a_run_can_start_from_a_checkpoint(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Recipe(images=128, seconds=dict.fromkeys(STAGES, 0.0) | {"judges": 0.1, "clip": 0.1})
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "images").symlink_to(trained.with_name("work") / "images")
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    run(quick, Path(), work=tmp_path / "work", start=trained)
    for part in ("unet", "vae"):
        started, source = (load_file(root / part / WEIGHTS) for root in (tmp_path / "model", trained))
        assert all(torch.equal(started[name], source[name]) for name in source)
    # A UNet that has no time keeps the text states it knows; the vision tower trains on.
    started, source = (load_file(root / "clip" / "model.safetensors") for root in (tmp_path / "model", trained))
    moved = {name for name in source if not torch.equal(started[name], source[name])}
    assert any(name.startswith("vision_model") for name in moved)
    assert not any(name.startswith("text_model") for name in moved)
    tokenizers = [(root / "tokenizer" / "tokenizer_config.json").read_text() for root in (tmp_path / "model", trained)]
    assert tokenizers[0] == tokenizers[1]
    assert read_stamp(tmp_path / "model")["recommended"] == RECOMMENDED
    recipe: Any = read_stamp(tmp_path / "model")["recipe"]
    assert recipe["start"] == {"name": "model", "recipe": read_stamp(trained)["recipe"]}
    with pytest.raises(SettingError, match="begun with the weights"):
        run(quick, tmp_path / "other", work=tmp_path / "work", start=FOLDER)


@pytest.mark.parametrize(("change", "got"), [({"seed": 1}, "seed 1"), ({"images": 256}, "256 images")])
def test_the_work_folder_of_another_recipe_is_not_gone_on_from(
    trained: Path, tmp_path: Path, change: dict[str, int], got: str
) -> None:
    with pytest.raises(SettingError, match=rf"begun with random weights, 128 images and seed 0; got .*{got}"):
        run(replace(TINY, **change), tmp_path / "model", work=trained.with_name("work"))
    assert len(list((trained.with_name("work") / "images").iterdir())) == 1, "complained after the rendering"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SettingError, match=r"holds thesis\.txt"):
        run(TINY, tmp_path, work=tmp_path / "work")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_stable_diffusion_is_left_alone(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    copy = shutil.copytree(folder("epsilon"), tmp_path / "model")
    before = sorted(copy.rglob("*"))
    with pytest.raises(SettingError, match="no part of a checkpoint that was trained here"):
        run(TINY, copy, work=tmp_path / "work")
    assert sorted(copy.rglob("*")) == before


def test_a_file_of_somebody_else_in_an_earlier_checkpoint_is_left_alone(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "model")
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(SettingError, match=r"holds notes\.txt"):
        run(TINY, copy, work=tmp_path / "work")


def test_all_that_would_fail_after_hours_fails_at_once(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    (tmp_path / "file").write_bytes(b"")
    for bad in (tmp_path / "file", tmp_path / "file" / "model", tmp_path / ("x" * 300)):
        with pytest.raises(OutputWriteError, match="cannot write"):
            run(TINY, bad, work=tmp_path / "work")
    with pytest.raises(OutputWriteError, match="is a file"):
        run(TINY, tmp_path / "model", work=tmp_path / "file" / "work")
    with pytest.raises(SettingError, match="will be replaced"):
        run(TINY, tmp_path / "model", work=tmp_path / "model" / "work")
    for bad in (tmp_path / "nowhere", folder("epsilon")):
        with pytest.raises(ModelNotFoundError, match="no checkpoint of this recipe"):
            run(TINY, tmp_path / "model", work=tmp_path / "work", start=bad)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="expected autoencoder"):
        run(Recipe(seconds={"clip": 1.0}), tmp_path / "model", work=tmp_path / "work")


def test_images_that_are_no_scenes() -> None:
    samples = odds.draw(8, 32, seed=0)
    assert samples.shape == (8, 3, 32, 32)
    assert samples.abs().amax() <= 1
    assert torch.equal(samples, odds.draw(8, 32, seed=0))
    assert samples.std(dim=(1, 2, 3)).amin() > 0.01


def test_every_word_is_one_token() -> None:
    tokenizer = build_tokenizer()
    for word in vocabulary():
        assert len(tokenizer(word).input_ids) == 3, word


def test_latents_are_kept_by_the_images_and_checked(tmp_path: Path) -> None:
    vae = AutoencoderKL(
        block_out_channels=(8,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        norm_num_groups=4,
    )
    vae.requires_grad_(requires_grad=False)
    path, device = tmp_path / "latents.safetensors", torch.device("cpu")
    one, other = (torch.full((2, 3, 16, 16), value, dtype=torch.uint8) for value in (10, 200))
    first = latents_of(vae, one, path, device)
    whole = path.read_bytes()
    assert torch.equal(latents_of(vae, one, path, device), first)
    assert not torch.equal(latents_of(vae, other, path, device), first)  # as many images, but others
    for damaged in (whole[:-10], whole[:-1] + bytes([whole[-1] ^ 1]), b"hello", b""):
        path.write_bytes(damaged)
        assert torch.equal(latents_of(vae, one, path, device), first)
        assert path.read_bytes() != damaged
