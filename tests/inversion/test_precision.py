"""Half-precision weights with embeddings, loss and optimiser in float32."""

import dataclasses

import pytest
import torch

import nulltext
from nulltext import DescentSchedule, NullText
from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.inversion.problem import Problem
from nulltext.inversion.stopping import Stopping, rounding_noise
from nulltext.models.precision import TF32_ROUNDING, rounding_of
from nulltext.progress import silent

PROMPT = "a red ball on grass"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_no_numbers_lost_and_no_black_image(folder, source_image, prediction, dtype):
    model = nulltext.load(folder(prediction), device="cpu", dtype=dtype)
    inversion = NullText(steps=5, inner_steps=5)(model, source_image, PROMPT)
    assert inversion.replay.nulls.dtype == inversion.pivot.dtype == torch.float32
    assert inversion.replay.nulls.isfinite().all()
    moved = (inversion.replay.nulls - model.null().text.cpu()).abs().amax((1, 2))
    assert (moved > 1e-3).all(), "a gradient was flushed to zero"
    image = nulltext.reconstruct(model, inversion)
    assert image.isfinite().all()
    assert image.std() > 0.05


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_optimises_about_as_well_as_in_float32(folder, source_image, dtype):
    scores, losses = [], []
    for precision in ("float32", dtype):
        model = nulltext.load(folder("epsilon"), device="cpu", dtype=precision)
        events = []
        scores.append(NullText(steps=5, inner_steps=5)(model, source_image, PROMPT, events.append).scores.psnr)
        losses.append([event.loss for event in events if event.phase == "optimise"])
    assert scores[1] == pytest.approx(scores[0], abs=0.3)
    assert sum(losses[1]) <= 1.5 * sum(losses[0])


def test_nothing_is_burnt_on_what_the_precision_cannot_tell(folder, source_image, passes_with_gradient):
    """With a tolerance far below bfloat16's rounding, steps end where that rounding is all that is left."""
    tight = DescentSchedule(learning_rate=1e-3, decay=0.0, tolerance=1e-12, tolerance_growth=0.0)
    taken = {}
    for dtype in ("float32", "bfloat16"):
        model = nulltext.load(folder("v_prediction"), device="cpu", dtype=dtype)
        with passes_with_gradient(model) as batches, torch.no_grad():
            problem = nearly_solved(model, source_image)
            method(tight).solve(problem)
        taken[dtype] = len(batches)
    assert taken["bfloat16"] < taken["float32"] == 12
    z = problem.z0
    assert Stopping(problem, tight, z).below(0, lambda output: output) > 1e-12
    assert Stopping(problem, tight, z).below(0) == 1e-12
    assert Stopping(problem, dataclasses.replace(tight, tolerance=0.0), z).below(0, lambda output: output) == 0


def nearly_solved(model, source_image):
    """An image whose optimisation starts from the prompt's embedding: on a solved pivot hardly an error is left."""
    cond = model.embed([PROMPT])
    return Problem(
        denoiser=model,
        schedule=model.schedule(4),
        z0=model.encode(source_image.pixels),
        cond=cond,
        null=cond,
        w=3.0,
        rounding=rounding_of(model),
        on_progress=silent,
    )


def method(descent):
    solved = FixedPoint(iterations=20)
    return NullText(steps=4, inner_steps=3, guidance=3.0, descent=descent, fixed_point=solved)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_noise_measured_is_that_of_the_rounding(folder, dtype):
    """Against the difference to float32."""
    exact, rounded = (nulltext.load(folder("epsilon"), device="cpu", dtype=each) for each in ("float32", dtype))
    z, text = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), exact.embed([PROMPT])
    noise = rounding_noise(rounded, z, 500.0, text, rounding_of(rounded))
    with torch.no_grad():
        true = rounded.predict(z, 500.0, text) - exact.predict(z, 500.0, text)
    assert 1 / 3 < noise.square().mean() / true.square().mean() < 3


def tf32(x):
    """Numbers as tensor cores take them: a mantissa of 10 bits, rounded to nearest. Gradients pass as they are."""
    with torch.no_grad():
        rounded = ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
    return x + (rounded - x).detach()


@pytest.fixture
def in_tf32(folder, monkeypatch):
    """A model of float32 weights that computes its products as a GPU would in TF32."""
    monkeypatch.setattr("nulltext.models.precision._has_tf32", lambda _device: True)
    model = nulltext.load(folder("epsilon"), device="cpu", dtype="float32")
    for module in model.denoiser.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.weight.data = tf32(module.weight.data)
            module.register_forward_pre_hook(lambda _module, given: tuple(map(tf32, given)))
    return model


def test_the_noise_of_tf32_is_measured_too(folder, in_tf32):
    assert rounding_of(in_tf32) == TF32_ROUNDING
    exact = nulltext.load(folder("epsilon"), device="cpu")
    z, text = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), exact.embed([PROMPT])
    noise = rounding_noise(in_tf32, z, 500.0, text, rounding_of(in_tf32))
    with torch.no_grad():
        true = in_tf32.predict(z, 500.0, text) - exact.predict(z, 500.0, text)
    assert 1 / 3 < noise.square().mean() / true.square().mean() < 3


def test_tf32_stops_where_its_rounding_is_all_that_is_left(in_tf32, source_image, passes_with_gradient, monkeypatch):
    tight = DescentSchedule(learning_rate=1e-3, decay=0.0, tolerance=1e-14, tolerance_growth=0.0)
    with passes_with_gradient(in_tf32) as batches, torch.no_grad():
        method(tight).solve(nearly_solved(in_tf32, source_image))
    monkeypatch.setattr("nulltext.models.precision._has_tf32", lambda _device: False)
    with passes_with_gradient(in_tf32) as unmeasured, torch.no_grad():
        method(tight).solve(nearly_solved(in_tf32, source_image))
    assert len(batches) < len(unmeasured) == 12


@pytest.mark.slow
def test_all_precisions_agree_on_64_images():
    """On the embedded model, whose images say more than those of random weights."""
    method, scores = NullText(steps=10, inner_steps=2, guidance=7.5), {}
    for dtype in ("float32", "bfloat16", "float16"):
        model = nulltext.load(device="cpu", dtype=dtype)
        source_images = (scene_image(scene, model) for scene in held_out_scenes(64))
        made = dict(nulltext.invert_many(model, method, source_images, at_once=8))
        assert all(one.replay.nulls.isfinite().all() and one.pivot.isfinite().all() for one in made.values())
        scores[dtype] = [made[index].scores.psnr for index in range(64)]
    for dtype in ("bfloat16", "float16"):
        assert scores[dtype] == pytest.approx(scores["float32"], abs=0.3), dtype
