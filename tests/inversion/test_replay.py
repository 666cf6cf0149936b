"""How the source branch is sampled again, for all the methods that there are and for those that are to come."""

from dataclasses import dataclass, replace

import pytest
import torch

from nulltext import DDIM, Inversion, Inverter, PromptSwap, PromptToPrompt, Replay, generate_inversion, reconstruct
from nulltext.bench.cost import measured
from nulltext.diffusion.levels import combine
from nulltext.errors import MismatchError, SettingError
from nulltext.inversion.problem import Solution
from nulltext.inversion.reconstruct import replay
from nulltext.inversion.replay import ReplayForm

PROMPT, TARGET = "a red ball on grass", "a dog on grass"


@dataclass(frozen=True, kw_only=True)
class IndependentNoise(Inverter):
    """The image under a noise of its own at every level: arXiv 2304.06140, eq. 6."""

    eta: float = 1.0
    source_guidance: float | None = 1.0

    def solve(self, problem):
        generator, z0 = torch.Generator().manual_seed(0), problem.z0
        levels = [interval.noisy for interval in problem.schedule]
        noisy = [combine(z0, torch.randn(z0.shape, generator=generator), level) for level in levels]
        again = Replay(corrected="all", eta=self.eta, source_guidance=self.source_guidance)
        return Solution(torch.cat([*noisy, z0]), again)


@pytest.fixture(scope="module")
def independent(any_model, source_image):
    return IndependentNoise(steps=4, guidance=3.0)(any_model, source_image, PROMPT)


def test_independent_noise_is_sampled_again_exactly(any_model, independent):
    """The seam of edit-friendly inversion: where the source is off, steps that leave room for noise get it back."""
    rows = []
    model, pivot = any_model, independent.pivot
    latents = replay(model, independent, [PROMPT, TARGET], guidance=1.0, after=lambda _, x: rows.append(x) or x)
    for i, x in enumerate(rows, start=1):
        assert torch.equal(x[:1], pivot[i : i + 1])
        torch.testing.assert_close(x[1:2], pivot[i : i + 1], rtol=0, atol=1e-5)
    assert (latents[2:] - pivot[-1:]).abs().max() > 1e-2
    edit = PromptSwap()(model, independent, [PROMPT, TARGET])
    torch.testing.assert_close(edit.source, reconstruct(model, independent), rtol=0, atol=1e-4)
    # Not so where nothing is corrected.
    drifting = replay(model, replace(independent, replay=Replay()), guidance=1.0)
    assert (drifting - pivot[-1:]).abs().max() > 1e-2


def test_a_trajectory_of_the_models_own_leaves_nothing_to_correct(any_model):
    generated = generate_inversion(any_model, PROMPT, steps=3)
    plain = PromptSwap()(any_model, generated, TARGET)
    corrected = replace(generated, replay=Replay(corrected="all"))
    torch.testing.assert_close(PromptSwap()(any_model, corrected, TARGET).pixels, plain.pixels, rtol=0, atol=2e-4)


def test_the_source_may_have_a_guidance_of_its_own(any_model, source_image):
    plain = DDIM(steps=3)(any_model, source_image, PROMPT)
    apart = replace(plain, replay=Replay(source_guidance=1.0), guidance=5.0)
    source, edit = replay(any_model, apart, [TARGET])
    torch.testing.assert_close(source, replay(any_model, plain, guidance=1.0)[0], rtol=0, atol=2e-4)
    torch.testing.assert_close(edit, replay(any_model, plain, [TARGET], guidance=5.0)[1], rtol=0, atol=2e-4)
    assert torch.equal(reconstruct(any_model, apart), reconstruct(any_model, plain, 1.0))


def test_embeddings_of_the_source_bind_the_edits_guidance_unless_the_source_has_its_own(any_model, source_image):
    plain = DDIM(steps=1)(any_model, source_image, PROMPT)
    cond = any_model.embed([PROMPT]).text[0]
    with pytest.raises(MismatchError, match="made for 1"):
        replace(plain, replay=Replay(cond=cond)).check(any_model, 4.0)
    assert replace(plain, replay=Replay(cond=cond, source_guidance=1.0)).check(any_model, 4.0) == 4.0


@pytest.mark.parametrize("corrected", ["source", "all"])
def test_a_corrected_source_costs_no_evaluation(model, source_image, corrected):
    inversion = replace(DDIM(steps=2)(model, source_image, PROMPT), replay=Replay(corrected=corrected))
    image, cost = measured(model, lambda: reconstruct(model, inversion, 4.0))
    assert cost.forwards == 0
    torch.testing.assert_close(image, model.decode(inversion.pivot[-1:]), rtol=0, atol=1e-6)
    _, cost = measured(model, lambda: IndependentNoise(steps=3)(model, source_image, PROMPT))
    assert cost.forwards == 0


class Hearing:
    """Notes the steps that it is told of, and changes nothing."""

    def __init__(self):
        self.steps = set()

    def wants(self, site, step):
        self.steps.add(step)
        return True

    def __call__(self, attention, site, step):
        return attention


def test_skipped_steps_are_not_taken_and_the_others_keep_their_numbers(model, source_image):
    whole = IndependentNoise(steps=4, guidance=3.0)(model, source_image, PROMPT)
    skipping = replace(whole, replay=replace(whole.replay, skip=0.5))
    control, events, done = Hearing(), [], []

    def after(step, x):
        done.append(step)
        assert torch.equal(x[:1], skipping.pivot[step : step + 1])
        return x

    def work():
        return replay(model, skipping, [TARGET], control=control, after=after, on_progress=events.append)

    latents, cost = measured(model, work)
    assert cost.forwards == 2 * 4
    assert (control.steps, done) == ({2, 3}, [3, 4])
    assert [(event.step, event.total) for event in events] == [(1, 2), (2, 2)]
    assert (latents[1:] - replay(model, whole, [TARGET])[1:]).abs().max() > 1e-3


def test_which_rows_are_corrected():
    pivot, x = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    assert Replay().after(pivot, 0, x) is x
    corrected = Replay(corrected="source").after(pivot, 0, x)
    assert torch.equal(corrected, torch.cat([pivot[1:2], x[1:]]))
    friendly = Replay(corrected="all").after(pivot, 1, x)
    assert torch.equal(friendly[:1], pivot[2:])
    torch.testing.assert_close(friendly[1:] - x[1:], (pivot[2:] - x[:1]).expand(2, -1, -1, -1))


def test_holding_the_source_leaves_edits_that_are_corrected_as_they_are(any_model, independent):
    plain, corrected = (
        PromptToPrompt(correct_source=correct)(any_model, independent, TARGET).pixels for correct in (False, True)
    )
    assert torch.equal(plain, corrected)


def test_it_comes_back_from_the_file(independent, tmp_path):
    back = Inversion.load(independent.save(tmp_path / "a.safetensors"))
    assert back.replay.record() == {"corrected": "all", "eta": 1.0, "source_guidance": 1.0}
    assert back.replay.form == ReplayForm(corrected="all", eta=True, source_guidance=True)
    assert torch.equal(back.pivot, independent.pivot)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"eta": 0.5}, "eta=0.5 with corrected='nobody'.*expected 'all'"),
        ({"eta": 0.5, "corrected": "source"}, "would lack the noise"),
        ({"eta": 1.5, "corrected": "all"}, "eta=1.5; expected a finite number from 0 to 1"),
        ({"source_guidance": float("nan")}, "source_guidance"),
        ({"skip": 1.5}, "skip=1.5; expected a finite number from 0 to 1"),
    ],
)
def test_settings_out_of_range(settings, named):
    with pytest.raises(SettingError, match=named):
        Replay(**settings)


def test_another_word_for_who_is_corrected():
    one = Replay()
    object.__setattr__(one, "corrected", "everybody")  # the constructor of these tests checks its types before
    with pytest.raises(SettingError, match="corrected='everybody'; expected nobody, source, all"):
        one.__post_init__()
