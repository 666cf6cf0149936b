import shutil

import pytest
import torch
from diffusers.models.upsampling import Upsample2D

import nulltext
from nulltext.attention.control import Control
from nulltext.attention.steering import Steering
from nulltext.errors import CompilationError
from nulltext.models import compiling
from nulltext.models.compiling import compile_denoiser, is_compiled
from nulltext.models.unoptimised import unoptimised


def question(model, batch=1, seed=0):
    x = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    return x.to(model.device), 500.0, model.embed(["a red ball"] * batch)


def gradient(model, batch=1):
    x, t, text = question(model, batch)
    text.text.requires_grad_()
    (found,) = torch.autograd.grad(model.predict(x, t, text).square().mean(), text.text)
    return found


@pytest.fixture
def other(folder):
    """A model of its own, to be compiled."""
    return nulltext.load(folder("epsilon"), device="cpu")


@pytest.fixture
def compiler(monkeypatch):
    """Puts something quick in the compiler's place: what it makes of a forward."""

    def use(made):
        monkeypatch.setattr(torch, "compile", lambda forward, **_: made(forward))

    use(lambda forward: forward)
    return use


def tenth_too_large(forward):
    def run(*args):
        output = forward(*args)
        output.sample = output.sample * 1.1
        return output

    return run


def test_the_network_is_compiled_and_its_answers_stay(other, model):
    graphs = []

    def traced(graph, inputs):
        """A backend that runs the graph as it is."""
        graphs.append(graph)
        return graph.forward

    assert not is_compiled(other)
    compile_denoiser(other, backend=traced)
    assert is_compiled(other)
    torch.testing.assert_close(gradient(other), gradient(model), rtol=1e-4, atol=1e-9)
    x, _, text = question(other)
    counts = []
    with torch.no_grad():
        for t in (1.0, 2.0, 500.0):
            torch.testing.assert_close(other.predict(x, t, text), model.predict(x, t, text))
            counts.append(len(graphs))
    assert len(set(counts)) == 1, "a time was compiled in"


def test_a_wrong_gradient_is_found_and_nothing_is_left_compiled(other, model, compiler):
    compiler(tenth_too_large)
    with pytest.raises(CompilationError, match=r"epsilon\d on cpu: .* a gradient 10 % off .* Use it as it is"):
        compile_denoiser(other)
    assert not is_compiled(other)
    assert all(module.interpolate for module in other.denoiser.modules() if isinstance(module, Upsample2D))
    torch.testing.assert_close(gradient(other), gradient(model), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_wrong_gradient_is_found_below_float32(folder, compiler, dtype):
    rounded = nulltext.load(folder("epsilon"), device="cpu", dtype=dtype)
    compile_denoiser(rounded)
    gradient(rounded)
    compiler(tenth_too_large)
    rounded = nulltext.load(folder("epsilon"), device="cpu", dtype=dtype)
    with pytest.raises(CompilationError, match=r"a gradient \d+(\.\d)? % off"):
        compile_denoiser(rounded)


def test_a_wrong_output_is_found_where_the_gradient_is_right(other, compiler):
    def of_output(forward):
        return lambda *given: forward(*given) if torch.is_grad_enabled() else tenth_too_large(forward)(*given)

    compiler(of_output)
    with pytest.raises(CompilationError, match=r"an output or a gradient 10 % off"):
        compile_denoiser(other)
    assert not is_compiled(other)


def test_every_new_shape_is_compared(other, model, compiler):
    compiler(lambda forward: lambda x, *more: (tenth_too_large(forward) if len(x) > 1 else forward)(x, *more))
    compile_denoiser(other)
    gradient(other)
    with pytest.raises(CompilationError, match=r"for latents of \[3, 4, 8, 8\]"):
        gradient(other, 3)
    assert not is_compiled(other)
    torch.testing.assert_close(gradient(other, 3), gradient(model, 3), rtol=0, atol=0)


def test_what_does_not_compile_is_left_as_it_was(other):
    def broken(graph, inputs):
        raise ValueError("no compiler here")

    with pytest.raises(CompilationError, match="no compiler here"):
        compile_denoiser(other, backend=broken)
    assert not is_compiled(other)


def test_answers_are_not_overwritten_by_those_that_follow(other, compiler):
    """A recorded graph writes into the same memory each time."""

    def recorded(forward):
        kept = {}

        def run(*args):
            output = forward(*args)
            if not output.sample.requires_grad:
                output.sample = kept.setdefault("sample", torch.empty_like(output.sample)).copy_(output.sample)
            return output

        return run

    compiler(recorded)
    compile_denoiser(other)
    with torch.no_grad():
        first = other.predict(*question(other, seed=1))
        before = first.clone()
        other.predict(*question(other, seed=2))
    torch.testing.assert_close(first, before, rtol=0, atol=0)


class Nothing(Control):
    """Wants every site and changes none."""

    def wants(self, site, step):
        return True

    def __call__(self, attention, site, step):
        attention.probs()
        return attention


def test_controlled_attention_runs_as_it_is_written(other, model, compiler):
    runs = []

    def counted(forward):
        def run(*args):
            runs.append(len(args[0]))
            return forward(*args)

        return run

    compiler(counted)
    compile_denoiser(other)
    other.predict(*question(other))  # compared at this shape from here on
    runs.clear()
    steered = Steering(Nothing(), prompts=1, latent_size=(8, 8)).at(0)
    for plan, compiled in (((), 1), ([(1, None)], 1), ([(1, steered)], 0), ((), 1)):
        torch.testing.assert_close(other.predict(*question(other), plan), model.predict(*question(model)))
        assert len(runs) == compiled
        assert is_compiled(other)
        runs.clear()


def test_the_plain_copy_is_not_compiled(other, model, compiler):
    compile_denoiser(other)
    plain = unoptimised(other.denoiser)
    assert is_compiled(other)
    assert "forward" not in plain.__dict__
    x, t, text = question(model)
    torch.testing.assert_close(plain(x, t, text.text).sample, model.predict(x, t, text))


@pytest.mark.parametrize("size", [None, (7, 10), (8, 10)])
def test_repeating_is_nearest_neighbour_upsampling(other, compiler, size):
    (upsampler, *_) = [module for module in other.denoiser.modules() if isinstance(module, Upsample2D)]
    x = torch.randn(2, upsampler.channels, 4, 5, generator=torch.Generator().manual_seed(0))
    before = upsampler(x, size)
    compile_denoiser(other)
    torch.testing.assert_close(upsampler(x, size), before, rtol=0, atol=0)
    torch.testing.assert_close(upsampler(x, output_size=size), before, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_with_the_real_compiler(folder, model):
    other = nulltext.load(folder("epsilon"), device="cpu", compiled=True)
    for batch in (1, 2):
        torch.testing.assert_close(gradient(other, batch), gradient(model, batch), rtol=1e-3, atol=1e-9)


@pytest.fixture
def graded(monkeypatch):
    """Compiles as for CUDA: without a gradient, too, the graph with one answers."""
    made = compiling._Compiled.__init__

    def init(self, *settings):
        made(self, *settings)
        self._always_graded = True

    monkeypatch.setattr(compiling._Compiled, "__init__", init)


@pytest.mark.usefixtures("graded")
def test_one_graph_answers_with_and_without_a_gradient(other, model, compiler):
    asked = []

    def noting(forward):
        def run(sample, timestep, text):
            asked.append(text.requires_grad and torch.is_grad_enabled())
            return forward(sample, timestep, text)

        return run

    compiler(noting)
    compile_denoiser(other)
    x, t, text = question(other)
    for enabled in (False, True):
        with torch.set_grad_enabled(enabled):
            found = other.predict(x, t, text)
        assert not found.requires_grad
        torch.testing.assert_close(found, model.predict(x, t, text))
    torch.testing.assert_close(gradient(other), gradient(model), rtol=1e-3, atol=1e-9)
    assert set(asked) == {True}


@pytest.mark.cuda
@pytest.mark.filterwarnings("default")  # a compiler warns of whatever it likes
def test_recorded_on_a_gpu(folder, source_image, real_gpu):
    """With CUDA graphs, in bfloat16: output, gradient, and whole inversions, alone and in a batch."""
    plain, other = (
        nulltext.load(folder("epsilon"), device=real_gpu, dtype="bfloat16", compiled=on) for on in (False, True)
    )

    def off(found, expected):
        return ((found - expected).norm() / expected.norm()).item()

    for batch in (1, 2):
        assert off(gradient(other, batch), gradient(plain, batch)) < 0.05
    with torch.no_grad():
        first = other.predict(*question(other, seed=1))
        other.predict(*question(other, seed=2))
        assert off(first, plain.predict(*question(plain, seed=1))) < 0.02
    inverter = nulltext.NullText(steps=3, inner_steps=3)
    alone, expected = (inverter(model, source_image, "a red ball") for model in (other, plain))
    assert off(alone.pivot, expected.pivot) < 0.05
    assert off(nulltext.replay(other, alone), nulltext.replay(plain, expected)) < 0.05
    jobs = [(source_image, "a red ball")] * 2
    for _, together in nulltext.invert_many(other, inverter, jobs, at_once=2):
        assert off(together.pivot, expected.pivot) < 0.05
    assert is_compiled(other)
