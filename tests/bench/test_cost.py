from pathlib import Path

import pytest
import torch

from nulltext import DDIM, NullText, reconstruct
from nulltext.bench.cost import measured
from nulltext.errors import Cancelled
from nulltext.inversion.stopping import DescentSchedule
from nulltext.metrics import Missing

PROMPT = "a red ball on grass"
NEVER_DONE = DescentSchedule(learning_rate=1e-2, decay=0.0, tolerance=0.0, tolerance_growth=0.0)


def hooks(model):
    return [
        hook
        for layer in model.denoiser.modules()
        for hooks in (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)
        for hook in hooks.values()
    ]


def test_null_text_inversion_is_counted_exactly(model, source_image):
    steps, inner = 3, 4
    method = NullText(steps=steps, inner_steps=inner, descent=NEVER_DONE)
    inversion, cost = measured(model, lambda: method(model, source_image, PROMPT))
    # Each step: one on the way up; then one for the prompt, one an inner step, and one to go on with.
    assert cost.forwards == steps * (1 + 1 + inner + 1)
    assert cost.backwards == steps * inner
    assert inversion.method == "NullText"
    assert 0 < cost.seconds < 60
    assert not hooks(model)


def test_each_sample_of_a_batch_counts(model, source_image):
    inversion, cost = measured(model, lambda: DDIM(steps=2, guidance=1.0)(model, source_image, PROMPT))
    single = cost.forwards
    _, cost = measured(model, lambda: reconstruct(model, inversion))
    assert (single, cost.forwards) == (2 + 2, 2)
    guided = NullText(steps=2, inner_steps=1)(model, source_image, PROMPT)
    _, cost = measured(model, lambda: reconstruct(model, guided))
    assert (cost.forwards, cost.backwards) == (2 * 2, 0)


def test_only_gradients_that_flow_are_counted(model):
    x, text = torch.randn(2, 4, 8, 8), model.embed(["a cat", "a dog"])
    text.text.requires_grad_()

    def work():
        with torch.enable_grad():
            model.predict(x, 1.0, text)  # that could have been followed by a gradient, and is not
            answer = model.predict(x, 1.0, text)
            answer.sum().backward(retain_graph=True)
            answer.sum().backward()
            return model.predict(x, 1.0, text)

    late, cost = measured(model, work)
    assert (cost.forwards, cost.backwards) == (6, 4)
    assert not late._backward_hooks, "what comes afterwards is no business of the count"


def test_work_that_raises_leaves_no_hook(model, source_image):
    def stop(_event):
        raise Cancelled

    with pytest.raises(Cancelled):
        measured(model, lambda: NullText(steps=2, inner_steps=1)(model, source_image, PROMPT, stop))
    assert not hooks(model)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux says what a process had at most")
def test_memory_is_the_most_there_was_during_the_work(model):
    megabyte = 2**20
    _, nothing = measured(model, lambda: None)
    _, much = measured(model, lambda: torch.ones(256 * megabyte, dtype=torch.uint8).sum())
    _, after = measured(model, lambda: None)
    before, most, later = (cost.peak_bytes for cost in (nothing, much, after))
    assert isinstance(before, int)
    assert isinstance(most, int)
    assert isinstance(later, int)
    assert most - before > 200 * megabyte
    assert most - later > 200 * megabyte, "what an earlier piece of work took is forgotten"


def test_memory_is_missing_where_the_system_keeps_no_such_figure(model, monkeypatch, tmp_path):
    monkeypatch.setattr("nulltext.bench.cost._CLEAR", tmp_path / "no" / "clear_refs")
    result, cost = measured(model, lambda: 5)
    assert result == 5
    assert isinstance(cost.peak_bytes, Missing)


@pytest.mark.cuda
def test_memory_on_a_gpu_is_what_torch_allocated_there(folder, real_gpu):
    from nulltext.models.loading import load

    model = load(folder("epsilon"), device=real_gpu)
    _, nothing = measured(model, lambda: None)
    _, much = measured(model, lambda: torch.ones(2**28, dtype=torch.uint8, device=real_gpu).sum().item())
    before, most = nothing.peak_bytes, much.peak_bytes
    assert isinstance(before, int)
    assert isinstance(most, int)
    assert most - before >= 2**28
