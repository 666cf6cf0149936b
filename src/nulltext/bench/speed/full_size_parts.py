"""The parts of `nulltext bench full-size`, in the order in which they are measured: what takes least comes first."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, Final, final

import torch
from PIL import Image

from nulltext.bench.cost import NO_EARLY_STOP, Cost, measured, measured_batch
from nulltext.bench.speed.arithmetic import called, flops, product_rate
from nulltext.bench.speed.profiling import profile_descent
from nulltext.bench.speed.transcription import Transcription
from nulltext.diffusion.sharing import descend
from nulltext.editing.blend import Blend
from nulltext.editing.many import edit_many
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.images import SourceImage, open_image
from nulltext.inversion.many import invert_many, inverting
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.architectures import Name
from nulltext.models.base import Model
from nulltext.models.compiling import compile_denoiser, is_compiled
from nulltext.models.memory import predicted_peak, saved_bytes
from nulltext.models.random_weights import random_model
from nulltext.progress import Progress

PROMPT, TARGET, GUIDANCE = "a photo of a cat on grass", "a photo of a dog on grass", 7.5
EDITOR: Final = PromptToPrompt(kind="replace", blend=Blend("cat", "dog"))
REPEATS, LONG = 3, 6.0
"""How often a run is repeated, unless it takes more seconds: then its steps say how much it varies."""

Tell = Callable[[str, Any], None]
"""(name of a figure, figure): keeps it at once."""


@final
@dataclass(eq=False, kw_only=True)
class Bench:
    """What is measured.

    Attributes:
        family: The architecture of all parts but those that have one as their name.
        device: Where.
        steps: T.
        inner_steps: N.
        few: So many of T steps are taken where all would take long, and are scaled up.
        batch: Images at once.
        tiny: Whether the networks are tiny: then its code alone is tried.
        rates: Of products of matrices, TFLOP/s, by precision.
    """

    family: Name
    device: torch.device
    steps: int
    inner_steps: int
    few: int
    batch: int
    tiny: bool = False
    rates: dict[str, float] = field(default_factory=dict[str, float])
    _made: dict[str, Model] = field(default_factory=dict[str, Model])

    def about(self) -> dict[str, Any]:
        """How it is measured, for the record."""
        names = ("family", "steps", "inner_steps", "few", "batch", "tiny")
        return {name: getattr(self, name) for name in names} | {
            "device": called(self.device),
            "torch": torch.__version__,
        }

    def model(self, family: Name | None = None, dtype: str = "bfloat16") -> Model:
        """A model of random weights. One is there at a time."""
        name = f"{family or self.family} {dtype}"
        if name not in self._made:
            self.release()
            self._made[name] = random_model(family or self.family, device=self.device, dtype=dtype, tiny=self.tiny)
        return self._made[name]

    def release(self) -> None:
        """Frees the memory of the model that is there."""
        self._made.clear()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def rate(self, model: Model) -> float:
        """The rate of a product of matrices in a model's precision."""
        name = str(model.dtype).removeprefix("torch.")
        if name not in self.rates:
            self.rates[name] = product_rate(model)
        return self.rates[name]


def photograph(model: Model, number: int = 0) -> SourceImage:
    """An image of the model's size: noise, of which random weights know as much as of any other."""
    height, width = model.default_size
    return open_image(Image.effect_noise((width, height), 60 + number).convert("RGB"), model)


def products(bench: Bench, tell: Tell) -> None:
    """What the device does of a product of matrices, in each precision; in TF32 where it has that."""
    model = bench.model()
    tell("bfloat16", bench.rate(model))
    tell("float32", product_rate(model, dtype=torch.float32))
    if bench.device.type == "cuda":
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        try:
            tell("tf32", product_rate(model, dtype=torch.float32))
        finally:
            torch.backends.cuda.matmul.fp32_precision = before


def plain(bench: Bench, tell: Tell) -> None:
    """Null-text inversion as it is written, in few steps: of one image, and of many at once."""
    model = bench.model()
    tell("saved_bytes", saved_bytes(model))
    tell("predicted_peak_bytes", predicted_peak(model, 1))
    tell("null_text", _null_text(bench, model, steps=bench.few))
    tell("null_text_in_batch", _null_text(bench, model, steps=bench.few, batch=bench.batch))


def edit(bench: Bench, tell: Tell) -> None:
    """Direct inversion and an edit with local blend, from pixels to pixels: of one image, and of many at once."""
    model = bench.model()
    source, direct = photograph(model), DirectInversion(steps=bench.steps, guidance=GUIDANCE)
    short = replace(direct, steps=2)
    EDITOR(model, short(model, source, PROMPT), TARGET)  # what the first use costs
    tell("both", _repeated(model, lambda: EDITOR(model, direct(model, source, PROMPT), TARGET)))
    tell("inversion", _repeated(model, lambda: direct(model, source, PROMPT)))
    sources = [photograph(model, number) for number in range(bench.batch)]

    def many(inverter: DirectInversion) -> None:
        jobs = [(image, PROMPT) for image in sources]
        inverted = [made for _, made in invert_many(model, inverter, jobs, at_once=bench.batch)]
        list(edit_many(model, [(EDITOR, made, TARGET) for made in inverted], at_once=bench.batch))

    many(short)
    cost = _repeated(model, lambda: many(direct))
    tell("both_in_batch", cost | {"seconds_an_image": cost["seconds"] / bench.batch})


def published(bench: Bench, tell: Tell) -> None:
    """The published code's loop, in few steps, in float32 as it was, and in bfloat16."""
    for dtype in ("float32", "bfloat16"):
        model = bench.model(dtype=dtype)
        loop = Transcription.of(
            model, steps=bench.few, inner_steps=bench.inner_steps, guidance=GUIDANCE, descent=NO_EARLY_STOP
        )
        source = photograph(model)
        replace(loop, steps=1, inner_steps=1)(source, PROMPT)
        _, cost = measured(model, partial(loop, source, PROMPT), network=loop.unet)
        tell(dtype, _scaled(bench, cost, bench.few) | {"peak_bytes": cost.peak})


def compiled(bench: Bench, tell: Tell) -> None:
    """The compiled network: null-text inversion of one image in all steps, and the edit of one."""
    model = bench.model()
    start = time.perf_counter()
    if not is_compiled(model):
        compile_denoiser(model)
    descend(model, _zeros(model), 1.0, model.null(), lambda output: output.square().mean())
    tell("compile_seconds", time.perf_counter() - start)
    tell("null_text", _null_text(bench, model, steps=bench.steps))
    source, direct = photograph(model), DirectInversion(steps=bench.steps, guidance=GUIDANCE)
    tell("edit", _repeated(model, lambda: EDITOR(model, direct(model, source, PROMPT), TARGET)))
    tell("inversion", _repeated(model, lambda: direct(model, source, PROMPT)))
    tell("profile", profile_descent(model, 1))


def compiled_batch(bench: Bench, tell: Tell) -> None:
    """The compiled network with many images at once: null-text inversion in few steps, direct inversion in all."""
    model = bench.model()
    if not is_compiled(model):
        compile_denoiser(model)
    start, null = time.perf_counter(), model.null().expand(bench.batch)
    descend(model, _zeros(model, bench.batch), 1.0, null, lambda output: output.square().mean())
    tell("compile_seconds", time.perf_counter() - start)
    tell("null_text", _null_text(bench, model, steps=bench.few, batch=bench.batch))
    direct = DirectInversion(steps=bench.steps, guidance=GUIDANCE)
    works = [inverting(model, direct, photograph(model, number), PROMPT) for number in range(bench.batch)]
    costs = [cost for _, cost in measured_batch(model, works, bench.batch)]
    tell("direct", {"seconds_an_image": sum(cost.seconds for cost in costs) / bench.batch, "peak_bytes": costs[0].peak})
    tell("profile", profile_descent(model, bench.batch))


def profile(bench: Bench, tell: Tell) -> None:
    """Where the time of an inner step goes, of one image and of many at once."""
    model = bench.model()
    tell("one", profile_descent(model, 1))
    tell("batch", profile_descent(model, bench.batch))


def large(family: Name, bench: Bench, tell: Tell) -> None:
    """A larger family: direct inversion and edit, and the memory of null-text inversion."""
    model = bench.model(family)
    tell("parameters", sum(weight.numel() for weight in model.denoiser.parameters()))
    tell("side", model.default_size[0])
    descent = partial(descend, model, _zeros(model), 1.0, model.null(), lambda output: output.square().mean())
    tell("descent", _repeated(model, descent))
    source = photograph(model)
    quick = NullText(steps=2, inner_steps=2, guidance=GUIDANCE, descent=NO_EARLY_STOP)
    _, cost = measured(model, lambda: quick(model, source, PROMPT))
    tell("null_text", _scaled(bench, cost, 2, inner_steps=2) | {"peak_bytes": cost.peak})
    direct = DirectInversion(steps=bench.few, guidance=GUIDANCE)
    EDITOR(model, replace(direct, steps=2)(model, source, PROMPT), TARGET)
    _, inverted = measured(model, lambda: direct(model, source, PROMPT))
    _, both = measured(model, lambda: EDITOR(model, direct(model, source, PROMPT), TARGET))
    tell("direct", _scaled(bench, inverted, bench.few) | {"peak_bytes": inverted.peak})
    tell("direct_and_edit", _scaled(bench, both, bench.few) | {"peak_bytes": both.peak})


PARTS: Final[Mapping[str, Callable[[Bench, Tell], None]]] = {
    "products": products,
    "plain": plain,
    "edit": edit,
    "published": published,
    "profile": profile,
    "compiled": compiled,
    "compiled-batch": compiled_batch,
    "sdxl": partial(large, "sdxl"),
    "sd35m": partial(large, "sd35m"),
}


def _zeros(model: Model, batch: int = 1) -> torch.Tensor:
    height, width = model.default_size
    shape = (batch, model.latent_channels, height // model.scale, width // model.scale)
    return torch.zeros(shape, device=model.device)


def _scaled(bench: Bench, cost: Cost, steps: int, *, inner_steps: int | None = None) -> dict[str, Any]:
    """The seconds of so many steps, and those of all T, as the steps make them."""
    taken = {"steps": steps} | ({} if inner_steps is None else {"inner_steps": inner_steps})
    return {"measured": taken, "seconds": cost.seconds, "seconds_of_all_steps": cost.seconds * bench.steps / steps}


def _repeated(model: Model, work: Callable[[], object]) -> dict[str, Any]:
    """The median of some runs with their spread, or one that takes long."""
    costs = [measured(model, work)[1]]
    while costs[0].seconds < LONG and len(costs) < REPEATS:
        costs.append(measured(model, work)[1])
    seconds = [cost.seconds for cost in costs]
    return {"seconds": median(seconds), "runs": seconds, "peak_bytes": costs[-1].peak}


def _null_text(bench: Bench, model: Model, *, steps: int, batch: int = 1) -> dict[str, Any]:
    """Null-text inversion in so many steps, of so many images at once."""
    inverter = NullText(steps=steps, inner_steps=bench.inner_steps, guidance=GUIDANCE, descent=NO_EARLY_STOP)
    sources, ended = [photograph(model, number) for number in range(batch)], list[float]()

    def note(event: Progress) -> None:
        if event.phase == "optimise":
            ended.append(time.perf_counter())

    def works(own: NullText) -> Sequence[Any]:
        first, *rest = sources
        return [inverting(model, own, first, PROMPT, note), *(inverting(model, own, one, PROMPT) for one in rest)]

    measured_batch(model, works(replace(inverter, steps=1, inner_steps=2)), batch)
    ended.clear()
    costs = [cost for _, cost in measured_batch(model, works(inverter), batch)]
    whole = replace(costs[0], seconds=sum(cost.seconds for cost in costs))
    forward, backward = flops(model)
    needed = sum(cost.forwards * forward + cost.backwards * backward for cost in costs) / 1e12
    each = [after - before for before, after in pairwise(ended)]
    return _scaled(bench, whole, steps) | {
        "seconds_an_image": whole.seconds * bench.steps / steps / batch,
        "step_seconds": {"median": median(each), "least": min(each), "most": max(each)} if each else None,
        "tera_flop": needed,
        "rate_share": needed / whole.seconds / bench.rate(model),
        "peak_bytes": whole.peak,
    }
