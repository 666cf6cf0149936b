"""The full-size architectures with random weights on a GPU: seconds and memory, in one call of some minutes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast, final

import torch

from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.bench.cost import NO_EARLY_STOP, measured, measured_batch
from nulltext.bench.result import Result
from nulltext.bench.speed.arithmetic import called, flops, product_rate
from nulltext.bench.study import Setting
from nulltext.diffusion.sharing import descend
from nulltext.inversion.many import inverting
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model
from nulltext.models.compiling import is_compiled
from nulltext.models.loading import choose_device
from nulltext.models.memory import predicted_peak, saved_bytes
from nulltext.models.random_weights import random_model
from nulltext.progress import OnProgress, Progress, silent

DTYPES = ("bfloat16", "float32")
SDXL_SIDE = 1024


@final
@dataclass(frozen=True, eq=False)
class FullSizeFigures(Result):
    """What `measure_full_size` returns, for whoever prints it."""

    figures: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.figures)

    def shown(self) -> Iterator[str]:
        """A line for each figure."""
        return (f"{name}: {value}" for name, value in _flat(self.figures))


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A record within records as one list, its names joined."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{prefix}{name}, ")
        else:
            yield f"{prefix}{name}", value


def study(_: None, setting: Setting) -> FullSizeFigures:
    """`nulltext bench full-size`, which makes its models itself."""
    device, own = choose_device(setting.own["device"]), setting.own
    return FullSizeFigures(
        measure_full_size(
            lambda dtype: random_model(own["family"], device=device, dtype=dtype, compiled=own["compiled"]),
            lambda: random_model("sdxl", device=device, dtype=torch.bfloat16),
            steps=setting.steps,
            inner_steps=setting.inner_steps,
            batch=setting.count(own["batch"]),
            on_progress=setting.on_progress,
        )
    )


def measure_full_size(
    make: Callable[[str], Model],
    sdxl: Callable[[], Model],
    *,
    steps: int = 50,
    inner_steps: int = 10,
    batch: int = 16,
    sdxl_side: int = SDXL_SIDE,
    on_progress: OnProgress = silent,
) -> dict[str, Any]:
    """Times null-text inversion without early stop, and direct inversion, of one image and of many at once.

    Args:
        make: Makes the model in a precision.
        sdxl: Makes Stable Diffusion XL, whose UNet is measured at an image of `sdxl_side`.
        steps: T.
        inner_steps: N.
        batch: Images at once.
        sdxl_side: Pixels.
        on_progress: Called for every measurement.

    Returns:
        By precision: seconds an image, peak memory, what of the product's rate is reached; and the memory of SDXL.
        Bytes; memory is missing (None) where the system does not tell it.
    """
    done, total = 0, 2 * len(DTYPES) + 1
    found: dict[str, Any] = {"steps": steps, "inner_steps": inner_steps, "batch": batch}
    for dtype in DTYPES:
        model = make(dtype)
        null_text = NullText(steps=steps, inner_steps=inner_steps, guidance=7.5, descent=NO_EARLY_STOP)
        direct = DirectInversion(steps=steps, guidance=7.5)
        about: dict[str, Any] = {"device": called(model.device), "product_tflops": product_rate(model)}
        about["compiled"] = is_compiled(model)
        about["saved_bytes"], about["predicted_peak_bytes"] = saved_bytes(model), predicted_peak(model, 1)
        for name, inverter in (("null_text", null_text), ("direct", direct)):
            about[name] = _timed(model, inverter, batch, about["product_tflops"])
            done += 1
            on_progress(Progress("measure", done, total))
        found[dtype] = about
        del model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    found["sdxl_unet"] = _sdxl(sdxl(), sdxl_side)
    on_progress(Progress("measure", total, total))
    return found


def _timed(model: Model, inverter: NullText | DirectInversion, batch: int, rate: float) -> Mapping[str, Any]:
    forward, backward = flops(model)
    scenes = [scene_image(scene, model) for scene in held_out_scenes(batch)]
    if model.device.type == "cuda" or is_compiled(model):  # what the first use costs, of one and of many
        short = replace(inverter, steps=2)
        short(model, *scenes[0])
        measured_batch(model, [inverting(model, short, *scene) for scene in scenes], batch)
    _, one = measured(model, lambda: inverter(model, *scenes[0]))
    many = [cost for _, cost in measured_batch(model, [inverting(model, inverter, *s) for s in scenes], batch)]
    each = sum(cost.seconds for cost in many) / batch
    needed = (one.forwards * forward + one.backwards * backward) / 1e12
    return {
        "seconds": one.seconds,
        "seconds_in_batch": each,
        "forwards": one.forwards,
        "backwards": one.backwards,
        "tera_flop": needed,
        "floor_share": needed / rate / one.seconds,
        "floor_share_in_batch": needed / rate / each,
        "peak_bytes": one.peak,
        "peak_bytes_in_batch": many[0].peak,
    }


def _sdxl(model: Model, side: int) -> Mapping[str, Any]:
    x = torch.zeros(1, model.latent_channels, side // model.scale, side // model.scale, device=model.device)
    cuda = model.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(model.device)
    descend(model, x, 1.0, model.null((side, side)), lambda output: output.square().mean())
    return {
        "parameters": sum(weight.numel() for weight in model.denoiser.parameters()),
        "side": side,
        "dtype": str(model.dtype),
        "peak_bytes": torch.cuda.max_memory_allocated(model.device) if cuda else None,
    }
