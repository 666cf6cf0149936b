"""What has to hold on a GPU as well. Nothing here runs without one, but for NULLTEXT_TEST_DEVICE=cpu."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import nulltext
from nulltext import (
    DDIM,
    Blend,
    DirectInversion,
    Inversion,
    NegativePrompt,
    NullText,
    PromptToPrompt,
)
from nulltext.attention.control import Attention
from nulltext.attention.sites import Site
from nulltext.attention.steering import Steering
from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.bench.speed import full_size
from nulltext.bench.speed.full_size_parts import PARTS, Bench
from nulltext.diffusion.sharing import descend
from nulltext.editing.table import EDITORS
from nulltext.errors import DivergedError, EmptyMaskError, OutOfMemoryError
from nulltext.inversion.table import INVERTERS
from nulltext.models.clip import Clip
from nulltext.models.loading import load
from nulltext.models.memory import images_at_once
from nulltext.scenes.renderer import render
from nulltext.training.checkpoint import read_stamp
from nulltext.training.recipe import STAGES, Recipe, run

pytestmark = pytest.mark.cuda
PROMPT, TARGET, LONGER = "a red ball on grass", "a blue ball on grass", "a red ball on grass of cat"
NEAR = {"float32": 1e-2, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 0.12}
"""By how much of their length numbers may differ from the CPU's in float32, where convolutions are in TF32 at best."""
METHODS = {
    "ddim": DDIM(steps=4),
    "direct": DirectInversion(steps=4),
    "negative prompt": NegativePrompt(steps=4),
    "null-text": NullText(steps=4, inner_steps=3),
}
EDITS = {
    "replace": (PromptToPrompt(kind="replace", blend=Blend("ball", "ball", pixels=False)), TARGET),
    "refine": (
        PromptToPrompt(kind="refine", blend=Blend("ball", threshold=0.1, mask=Image.new("L", (96, 80), 255))),
        LONGER,
    ),
    "reweight": (PromptToPrompt(reweight={"ball": 3.0}, maps=True), PROMPT),
}
QUICK = {"steps": 2, "inner_steps": 1, "samples": 1, "iterations": 2, "views": 2, "cutouts": 2}


@pytest.fixture(params=list(NEAR))
def dtype(request: pytest.FixtureRequest, gpu: str) -> Iterator[str]:
    """Every precision; TF32 holds for the process, and is taken back."""
    if request.param == "tf32" and gpu == "cpu":
        pytest.skip("a CPU has no TF32")
    before = torch.get_float32_matmul_precision()
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def exact() -> Iterator[None]:
    """Convolutions in float32 to the last bit."""
    cudnn: Any = torch.backends.cudnn
    own = cudnn.conv
    before, own.fp32_precision = own.fp32_precision, "ieee"
    yield
    own.fp32_precision = before


def off(found: Tensor, expected: Tensor) -> float:
    """How far numbers are from others, as a share of these."""
    assert found.isfinite().all()
    return ((found.cpu().double() - expected.double()).norm() / expected.double().norm()).item()


def test_the_renderer_draws_the_same_image(gpu: str) -> None:
    scenes = held_out_scenes(16)
    here, there = render(scenes), render(scenes, device=gpu)
    for a, b in ((here.pixels, there.pixels.cpu()), (here.masks, there.masks.cpu())):
        assert (a - b).abs().mean() < 1e-3
    # Where a ray only just meets an edge, the last bit of a product decides whether it does.
    assert ((here.pixels - there.pixels.cpu()).abs() > 1e-2).float().mean() < 1e-3


def test_null_text_inversion_in_half_precision_loses_no_numbers(gpu: str) -> None:
    model = load(device=gpu, dtype="float16")
    source_image, prompt = scene_image(held_out_scenes(1)[0], model)
    inversion = NullText(steps=10, inner_steps=5)(model, source_image, prompt)
    assert inversion.replay.nulls is not None
    assert inversion.replay.nulls.dtype == inversion.pivot.dtype == torch.float32
    assert inversion.replay.nulls.isfinite().all()
    assert inversion.pivot.isfinite().all()
    image = nulltext.reconstruct(model, inversion)
    assert image.isfinite().all()
    on_the_cpu = NullText(steps=10, inner_steps=5)(load(device="cpu"), source_image, prompt)
    assert inversion.scores.psnr == pytest.approx(on_the_cpu.scores.psnr, abs=0.5)


@pytest.mark.parametrize("method", METHODS)
def test_an_inversion_is_near_the_cpus(
    folder: Any, model: Any, source_image: Any, dtype: str, method: str, gpu: str
) -> None:
    there, inverter = load(folder("epsilon"), device=gpu, dtype=dtype), METHODS[method]
    found, expected = (inverter(each, source_image, PROMPT) for each in (there, model))
    assert found.pivot.device.type == "cpu"
    assert found.pivot.dtype == torch.float32
    assert off(found.pivot, expected.pivot) < NEAR[dtype]
    if found.replay.nulls is not None:
        assert found.replay.nulls.isfinite().all()
        assert found.replay.nulls.std() > 0
    assert off(nulltext.replay(there, found), nulltext.replay(model, expected)) < NEAR[dtype]
    assert found.scores.psnr == pytest.approx(expected.scores.psnr, abs=0.5)


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_is_near_the_cpus(
    folder: Any, model: Any, source_image: Any, dtype: str, kind: str, gpu: str, tmp_path: Path
) -> None:
    there, (editor, target) = load(folder("epsilon"), device=gpu, dtype=dtype), EDITS[kind]
    inversion = METHODS["direct"](there, source_image, PROMPT)
    kept = Inversion.load(inversion.save(tmp_path / "ball.safetensors"))
    assert torch.equal(kept.pivot, inversion.pivot)
    found, expected = (editor(each, kept, target) for each in (there, model))
    assert found.pixels.device.type == "cpu"
    assert (found.pixels - found.source).abs().max() > 1e-3
    # A cell at a mask's threshold may fall to either side.
    assert (found.pixels - expected.pixels).abs().median() < NEAR[dtype]
    assert off(found.source, expected.source) < NEAR[dtype]
    if found.masks is not None and expected.masks is not None:
        assert (found.masks != expected.masks).float().mean() < 0.1
    if found.maps is not None and expected.maps is not None:
        assert off(found.maps.maps, expected.maps.maps) < NEAR[dtype]


@pytest.mark.usefixtures("exact")
def test_a_batch_is_as_one_at_a_time(folder: Any, image: Any, gpu: str) -> None:
    there, inverter = load(folder("epsilon"), device=gpu, dtype="float32"), METHODS["null-text"]
    sources = [nulltext.open_image(image.rotate(90 * turn), there) for turn in range(4)]
    jobs = [
        (source, prompt)
        for source, prompt in zip(sources, (PROMPT, TARGET, "a cat ball on grass", "a dog ball on red"), strict=True)
    ]
    together = dict(nulltext.invert_many(there, inverter, jobs, at_once=4))
    alone = {index: inverter(there, *job) for index, job in enumerate(jobs)}
    for index, each in alone.items():
        assert off(together[index].pivot, each.pivot) < 1e-4
        assert off(nulltext.replay(there, together[index]), nulltext.replay(there, each)) < 1e-3
    edits = [(EDITS["replace"][0], each, TARGET) for each in alone.values()]
    beside = dict(nulltext.edit_many(there, edits, at_once=4))
    for index, (editor, inversion, target) in enumerate(edits):
        assert (beside[index].pixels - editor(there, inversion, target).pixels).abs().median() < 1e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_steered_attention_in_half_precision_is_the_plain_one(folder: Any, dtype: str, gpu: str) -> None:
    class Nothing:
        """Wants every site, asks for its probabilities, and changes none."""

        def wants(self, site: Site, step: int) -> bool:
            return True

        def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
            for branch in attention.branches:
                attention = attention.with_probs(attention.probs(branch), branch)
            return attention

    there = load(folder("epsilon"), device=gpu, dtype=dtype)
    told, x = there.embed([PROMPT, TARGET] * 2), torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    steered = Steering(Nothing(), prompts=2, latent_size=(8, 8)).at(0)
    with torch.no_grad():
        plain, own = (there.predict(x.to(gpu), 500.0, told, plan) for plan in ((), [(4, steered)]))
    assert off(own, plain.cpu()) < NEAR[dtype] / 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_gradient_in_half_precision_is_near_the_cpus(folder: Any, model: Any, dtype: str, gpu: str) -> None:
    there, x = load(folder("epsilon"), device=gpu, dtype=dtype), torch.randn(1, 4, 8, 8)
    found, expected = (
        descend(each, x.to(each.device), 500.0, each.null(), lambda output: 1e-3 * output.square().mean())
        for each in (there, model)
    )
    assert found[1].device.type == gpu
    assert off(found[1], expected[1]) < 2 * NEAR[dtype]


@pytest.mark.parametrize("word", INVERTERS)
def test_every_inverter_runs(folder: Any, source_image: Any, word: str, gpu: str) -> None:
    there, made = load(folder("epsilon"), device=gpu), INVERTERS[word].load()
    inverter = made(**{each.name: QUICK[each.name] for each in fields(made) if each.name in QUICK})
    inversion = inverter(there, source_image, PROMPT)
    assert inversion.pivot.isfinite().all()
    assert nulltext.reconstruct(there, inversion).isfinite().all()


@pytest.mark.parametrize("word", sorted(EDITORS.keys() - {"inpaint", "text-diff"}))  # which are for other checkpoints
def test_every_editor_runs(folder: Any, source_image: Any, word: str, gpu: str) -> None:
    there, made = load(folder("epsilon"), device=gpu), EDITORS[word].load()()
    inversion = METHODS["ddim"](there, source_image, PROMPT)
    own: dict[str, Any] = {each.name: QUICK[each.name] for each in fields(made) if each.name in QUICK}
    if any(each.name == "mask" for each in fields(made)):
        own["mask"] = Image.new("L", (96, 80), 255)
    if any(each.name == "clip" for each in fields(made)):
        own["clip"] = Clip.load()
    try:
        edit = replace(made, **own)(there, inversion, TARGET)
    except (DivergedError, EmptyMaskError):  # what untrained weights come to
        return
    assert edit.pixels.device.type == "cpu"
    assert edit.pixels.isfinite().all()


def test_clip_says_the_same(gpu: str) -> None:
    scenes = held_out_scenes(4)
    pixels, here, there = render(scenes).pixels, Clip.load(), Clip.load()
    network: Any = there.model
    network.to(gpu)
    assert off(there.images(pixels), here.images(pixels)) < NEAR["float32"]
    assert off(there.texts([PROMPT, TARGET]), here.texts([PROMPT, TARGET])) < NEAR["float32"]


def test_the_autoencoder_there_and_back(embedded: Any, gpu: str) -> None:
    source, _ = scene_image(held_out_scenes(1)[0], embedded)
    there = load(device=gpu)
    images = [each.decode(each.encode(source.pixels)).cpu() for each in (there, embedded)]
    assert off(*images) < NEAR["float32"]


def test_too_little_memory_is_said_in_a_sentence(folder: Any, image: Any, real_gpu: str) -> None:
    there = load(folder("epsilon"), device=real_gpu, dtype="float32")
    small, large = (nulltext.open_image(image, there, size=(side, side)) for side in (64, 1024))
    inverter = NullText(steps=1, inner_steps=1)
    inverter(there, small, PROMPT)
    torch.cuda.empty_cache()
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**25) / whole)
    try:
        with pytest.raises(
            OutOfMemoryError, match=r"memory of cuda\S* does not suffice for one image with .* Load the model"
        ):
            inverter(there, large, PROMPT)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert inverter(there, small, PROMPT).pivot.isfinite().all()


def test_memory_that_torch_keeps_counts_as_free(folder: Any, real_gpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = load(folder("epsilon"), device=real_gpu)
    torch.empty(2**28, dtype=torch.uint8, device=real_gpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 2**36))
    assert images_at_once(there) > 1


def test_low_memory_computes_there_and_waits_here(folder: Any, source_image: Any, gpu: str) -> None:
    there = load(folder("epsilon"), device=gpu, low_memory=True)
    inversion = METHODS["null-text"](there, source_image, PROMPT)
    assert EDITS["replace"][0](there, inversion, TARGET).pixels.isfinite().all()


def test_the_speed_at_full_size_is_measured_in_parts(gpu: str) -> None:
    """With tiny networks, and but for the compiled parts."""
    bench = Bench(family="sd15", device=torch.device(gpu), steps=2, inner_steps=1, few=2, batch=2, tiny=True)
    parts = [name for name in PARTS if not name.startswith("compiled")]
    found = full_size.measure_full_size(bench, parts)
    assert not full_size.FullSizeFigures(found).complaint()
    assert (found["plain"]["null_text"]["peak_bytes"] or 0) > 0


def test_a_recipe_trains_there_and_goes_on_here(tmp_path: Path, gpu: str) -> None:
    there = Recipe(images=128, seconds=dict.fromkeys(STAGES, 1.0), device=gpu)
    run(there, tmp_path / "model", work=tmp_path / "work")
    stamped: Any = read_stamp(tmp_path / "model")
    assert stamped["recipe"]["device"] == gpu
    for device in (gpu, "cpu"):
        images = nulltext.generate(load(tmp_path / "model", device=device), ["a photo of a red ball"], steps=2)
        assert images.isfinite().all()
    here = Recipe(images=128, seconds=dict.fromkeys(STAGES, 1.5))
    run(here, tmp_path / "further", work=tmp_path / "work")
    further: Any = read_stamp(tmp_path / "further")
    assert further["recipe"]["device"] == "cpu"
