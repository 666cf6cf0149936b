from typing import Any

import pytest
import torch

from nulltext import DDIM
from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import denoise
from nulltext.diffusion.sampling import ddim_inversion, sample
from nulltext.errors import SettingError

PROMPT = "a red ball on grass"


class Counted:
    """A model whose evaluations are counted."""

    def __init__(self, model):
        self.model, self.prediction, self.evaluations = model, model.prediction, 0

    def predict(self, x, t, text, attention=()):
        self.evaluations += len(x)
        return self.model.predict(x, t, text)


def inverted(model, source_image, steps, fixed_point, guidance=1.0, prompt=PROMPT):
    counted: Any = Counted(model)
    guided = Guided(counted, model.embed([prompt]), guidance)
    schedule, null = model.schedule(steps), model.null()
    z0 = model.encode(source_image.pixels)
    return ddim_inversion(guided, schedule, z0, null, fixed_point=fixed_point), counted.evaluations


# What is predicted and how it is guided are apart from each other, and from the solving.
@pytest.mark.parametrize(("any_model", "guidance"), [("epsilon", 2.0), ("v_prediction", 1.0)], indirect=["any_model"])
def test_a_solved_step_is_the_samplers_step_inverted(any_model, source_image, guidance):
    pivot, _ = inverted(any_model, source_image, 10, FixedPoint(iterations=30), guidance)
    guided, null = Guided(any_model, any_model.embed([PROMPT]), guidance), any_model.null()
    for z, cleaner, interval in zip(pivot[:-1], pivot[1:], any_model.schedule(10), strict=True):
        with torch.no_grad():
            output = guided.predict(z[None], interval.t, null)
        torch.testing.assert_close(
            denoise(z[None], output, interval, any_model.prediction)[0], cleaner, rtol=0, atol=1e-4
        )


def test_one_iteration_costs_as_much_as_none_and_leads_back_better(embedded):
    """On a trained model: the eps of an untrained one jumps from step to step."""
    model = embedded
    source_image, prompt = scene_image(next(iter(held_out_scenes(1))), model)
    schedule, null = model.schedule(10), model.null()
    guided = Guided(model, model.embed([prompt]), 1.0)
    off = {}
    for iterations in (0, 1, 2):
        fixed_point = FixedPoint(iterations=iterations) if iterations else None
        pivot, evaluations = inverted(model, source_image, 10, fixed_point, prompt=prompt)
        assert evaluations == {0: 10, 1: 11, 2: 21}[iterations]
        output = sample(guided, schedule, pivot[:1], [null] * 10)
        off[iterations] = (output - pivot[-1:]).square().mean().item()
    assert off[1] < off[0] / 10
    assert off[2] < off[1] / 2


def test_stops_where_an_iteration_moves_nothing(model, source_image):
    _, all_of_them = inverted(model, source_image, 10, FixedPoint(iterations=5))
    assert all_of_them == 51
    _, some = inverted(model, source_image, 10, FixedPoint(iterations=5, tolerance=1e-3))
    assert 11 < some < 51
    _, least = inverted(model, source_image, 10, FixedPoint(iterations=5, tolerance=1e3))
    assert least == 11


def test_in_a_record(model, source_image):
    inversion = DDIM(steps=4, fixed_point=FixedPoint(iterations=2))(model, source_image, PROMPT)
    assert inversion.settings["fixed_point"] == {"iterations": 2, "tolerance": 0.0}


def test_bad_settings():
    with pytest.raises(SettingError, match="iterations=0"):
        FixedPoint(iterations=0)
    with pytest.raises(SettingError, match="tolerance=-1"):
        FixedPoint(tolerance=-1.0)
