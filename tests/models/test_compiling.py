import shutil

import pytest
import torch

import nulltext
from nulltext.errors import CompilationError
from nulltext.models.compiling import REGIONS, compile_regions


def gradient(model):
    text = model.embed(["a red ball"]).requires_grad_()
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(model.predict(x, 500, text).square().mean(), text)
    return found


def compiled(model):
    return [module for module in model.denoiser.modules() if module._compiled_call_impl is not None]


def traced(graph, inputs):
    """A backend that runs the graph as it is."""
    return graph.forward


def wrong(graph, inputs):
    """A backend whose results are a tenth too large."""

    def run(*args):
        return tuple(out * 1.1 if isinstance(out, torch.Tensor) else out for out in graph.forward(*args))

    return run


def test_regions_are_compiled_and_the_gradient_stays(folder, model):
    other = nulltext.load(folder("epsilon"), device="cpu")
    compile_regions(other, backend=traced)
    assert compiled(other)
    assert all(isinstance(module, REGIONS) for module in compiled(other))
    torch.testing.assert_close(gradient(other), gradient(model), rtol=1e-4, atol=1e-9)


def test_a_wrong_gradient_is_found_and_nothing_is_left_compiled(folder, model):
    other = nulltext.load(folder("epsilon"), device="cpu")
    with pytest.raises(CompilationError, match=r"% off; expected at most"):
        compile_regions(other, backend=wrong)
    assert compiled(other) == []
    torch.testing.assert_close(gradient(other), gradient(model), rtol=1e-4, atol=1e-9)


def test_what_does_not_compile_is_left_as_it_was(folder):
    def broken(graph, inputs):
        raise ValueError("no compiler here")

    other = nulltext.load(folder("epsilon"), device="cpu")
    with pytest.raises(CompilationError, match="no compiler here"):
        compile_regions(other, backend=broken)
    assert compiled(other) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_with_the_real_compiler(folder, model):
    other = nulltext.load(folder("epsilon"), device="cpu", compiled=True)
    torch.testing.assert_close(gradient(other), gradient(model), rtol=1e-3, atol=1e-9)
