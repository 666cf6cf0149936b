import json
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import nulltext
from nulltext import NullText
from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.bench.speed.arithmetic import flops
from nulltext.bench.speed.figures import plot
from nulltext.bench.speed.speed import growth, measure_speed
from nulltext.bench.speed.transcription import Transcription
from nulltext.bench.studies.methods import front, inverters
from nulltext.models.unoptimised import unoptimised

KEYS = (
    "parity_ratio",
    "parity_psnr_delta_db",
    "batch2_ratio",
    "fast_ratio",
    "fast_batch2_ratio",
    "fast_psnr_delta_db",
    "floor_share",
)


@pytest.fixture
def scenes(embedded):
    return embedded


def test_the_transcription_ends_where_null_text_inversion_does(scenes):
    """The same answer, in the time that the published code takes: what parity means."""
    source_image, prompt = scene_image(held_out_scenes(1)[0], scenes)
    settings = {"steps": 5, "inner_steps": 3, "guidance": 7.5}
    output = Transcription.of(scenes, **settings)(source_image, prompt)
    method = NullText(**settings)
    inversion = method(scenes, source_image, prompt)
    ended = nulltext.reconstruct(scenes, inversion)
    torch.testing.assert_close(scenes.decode(output), ended, rtol=0, atol=1e-3)
    assert nulltext.psnr(scenes.decode(output), source_image.pixels) == pytest.approx(inversion.scores.psnr, abs=0.05)


def test_the_transcription_leaves_the_model_alone_and_works_as_published(model):
    before = dict(model.denoiser.attn_processors)
    plain: Any = unoptimised(model.denoiser)
    assert all(weight.requires_grad for weight in plain.parameters())
    assert not any(weight.requires_grad for weight in model.denoiser.parameters())
    assert {type(processor).__name__ for processor in plain.attn_processors.values()} == {"AttnProcessor"}
    assert all(model.denoiser.attn_processors[name] is processor for name, processor in before.items())


def test_every_figure_is_there_and_can_be_written(scenes):
    events = []
    figures = measure_speed(
        scenes, rounds=1, batch=2, steps=3, inner_steps=1, guidance=7.5, grow=False, on_progress=events.append
    )
    record = json.loads(json.dumps(figures.record()))
    assert all(isinstance(record[key], float) for key in KEYS)
    assert list(record)[: len(KEYS)] == list(KEYS)
    assert abs(record["parity_psnr_delta_db"]) < 0.05
    assert 0 < record["floor_share"] < 1
    assert set(record["ways"]) == {
        "transcription", "null-text", "direct inversion", "null-text, batches of 2", "direct inversion, batches of 2"
    }  # fmt: skip
    # 3 to invert, 3 for the prompt, 3 forwards and 3 backwards, and of the last step 2 or, ours, 1
    assert record["ways"]["transcription"]["evaluations"] == 3 + 3 + 6 + 2 * 3
    assert record["ways"]["null-text"]["evaluations"] == 3 + 3 + 6 + 3
    assert [(event.step, event.total) for event in events] == [(done, 5) for done in range(6)]
    assert record["growth"] == []


def test_growth_by_one_setting_at_a_time(scenes):
    found = growth(scenes, 7.5, [(1, 1, 1, 1), (1, 1, 1, 2), (2, 1, 1, 1), (1, 1, 2, 1)], rounds=2)
    assert [(one.steps, one.inner_steps, one.side, one.batch) for one in found] == [
        (1, 1, 128, 1), (1, 1, 128, 2), (2, 1, 128, 1), (1, 1, 256, 1)
    ]  # fmt: skip
    assert all(one.seconds > 0 for one in found)
    assert "<svg" in plot(found)


def test_operations_are_counted_once(model):
    """Forward, and back to the embedding alone: less than twice the forward, since the weights are frozen."""
    forward, backward = flops(model)
    height, width = model.default_size
    x = torch.zeros(1, 4, height // model.scale, width // model.scale)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.predict(x, 1.0, model.null())
    assert forward == pytest.approx(counter.get_total_flops(), rel=0.05)  # attention is counted as its kernel does
    assert 0.5 * forward < backward < 1.5 * forward


def test_the_front_is_what_nothing_is_better_than():
    points = [(100.0, 1.0), (50.0, 2.0), (200.0, 3.0), (200.0, 2.5), (300.0, 3.0)]
    assert front(points) == [(50.0, 2.0), (200.0, 3.0)]


def test_every_method_compared_inverts(model, source_image):
    for name, inverter in inverters(3, 1, 3.0).items():
        inversion = inverter(model, source_image, "a red ball on grass")
        assert inversion.pivot.isfinite().all(), name
