"""The figures of the embedded model, and the judges they rest on."""

import dataclasses
from pathlib import Path

import pytest
import torch

from nulltext.bench.embedded_model import ModelFigures, measure_model, near_miss_picked, unet_forward_ms
from nulltext.judges import HEADS, Judges, JudgesNetwork, words_of
from nulltext.models.base import Model
from nulltext.models.clip import Clip
from nulltext.models.embedded import FOLDER, JUDGES
from nulltext.models.loading import load
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene


def test_every_figure_is_measured(embedded: Model) -> None:
    figures = measure_model(embedded, limit=2, steps=2)
    assert figures.pictures == figures.generated == 2
    for field in dataclasses.fields(ModelFigures):
        value = getattr(figures, field.name)
        assert value >= 0, field.name
        if field.name.endswith("accuracy"):
            assert value <= 1, field.name
    assert figures.vae_psnr_scenes > 20
    assert figures.vae_psnr_photos > 17


def test_the_judges_read_renders() -> None:
    scenes = [sample_scene(HELD_OUT_SEEDS[50_000 + n], things=1) for n in range(64)]
    answers = Judges.load().read(render(scenes).pixels)
    for head in HEADS:
        right = sum(answer[head] == words_of(scene)[head] for answer, scene in zip(answers, scenes, strict=True))
        assert right >= 0.95 * len(scenes), head


def test_the_judges_read_a_mirror_image_alike() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(3, 3, 128, 128) * 2 - 1
    judges = Judges(JudgesNetwork())
    assert judges.read(pixels) == judges.read(pixels.flip(-1))


def test_the_judges_are_small_and_come_back_from_their_file(tmp_path: Path) -> None:
    assert JUDGES.stat().st_size <= 3e6
    torch.manual_seed(0)
    judges = Judges(JudgesNetwork())
    judges.save(tmp_path / "judges.safetensors")
    pixels = torch.rand(3, 3, 96, 160) * 2 - 1
    assert Judges.load(tmp_path / "judges.safetensors").read(pixels) == judges.read(pixels)


def test_clip_tells_the_prompts_of_different_scenes_apart() -> None:
    clip = Clip.load()
    scenes = [sample_scene(HELD_OUT_SEEDS[60_000 + n]) for n in range(32)]
    likeness = clip.images(render(scenes).pixels) @ clip.texts([caption(scene) for scene in scenes]).T
    right = (likeness.argmax(1) == torch.arange(len(scenes))).float().mean()
    assert right >= 30 / len(scenes)  # chance is 1


def test_clip_picks_prompts_by_the_image() -> None:
    clip = Clip.load()
    scenes = [sample_scene(HELD_OUT_SEEDS[60_000 + n]) for n in range(12)]  # of several things as well
    images = render(scenes).pixels
    picked = sum(near_miss_picked(clip, scene, images[n][None], n) for n, scene in enumerate(scenes))
    blind = sum(near_miss_picked(clip, scene, torch.zeros(1, 3, 128, 128), n) for n, scene in enumerate(scenes))
    assert picked >= 10
    assert blind <= 2


def test_the_embedded_checkpoint_is_small() -> None:
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size <= 60e6


@pytest.mark.slow  # it takes a moment only, but wants the machine for itself
def test_a_forward_is_quick() -> None:
    assert unet_forward_ms(load("scenes", device="cpu", dtype="float32")) <= 45
