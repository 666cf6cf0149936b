"""The full-size architectures with random weights on a GPU: seconds and memory, in one call of some minutes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from nulltext.bench.cost import measured, measured_together
from nulltext.bench.pictures import held_out_scenes, scene_photo
from nulltext.bench.reconstruction import NO_EARLY_STOP
from nulltext.bench.speed import called, flops, product_rate
from nulltext.diffusion.sharing import descend
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.together import inverting
from nulltext.metrics import Missing
from nulltext.models.base import Model
from nulltext.models.compiling import is_compiled
from nulltext.models.memory import predicted_peak, saved_bytes
from nulltext.models.random_weights import SDXLDenoiser
from nulltext.progress import OnProgress, Progress, silent

DTYPES = ("bfloat16", "float32")
SDXL_SIDE = 1024


def measure_full_size(
    make: Callable[[str], Model],
    sdxl: Callable[[], SDXLDenoiser],
    *,
    steps: int = 50,
    inner_steps: int = 10,
    batch: int = 16,
    sdxl_side: int = SDXL_SIDE,
    on_progress: OnProgress = silent,
) -> dict[str, Any]:
    """Times null-text inversion without early stop, and direct inversion, of one picture and of many at once.

    Args:
        make: Makes the model in a precision.
        sdxl: Makes the UNet of Stable Diffusion XL.
        steps: T.
        inner_steps: N.
        batch: Pictures at once.
        sdxl_side: Of the picture that the latter is measured at, pixels.
        on_progress: Told of every measurement.

    Returns:
        By precision: seconds a picture, peak memory, what of the product's rate is reached; and the memory of SDXL.
        Bytes; memory is missing (None) where the system does not tell it.
    """
    done, total = 0, 2 * len(DTYPES) + 1
    found: dict[str, Any] = {"steps": steps, "inner_steps": inner_steps, "batch": batch}
    for dtype in DTYPES:
        model = make(dtype)
        null_text = NullText(steps=steps, inner_steps=inner_steps, guidance=7.5, constants=NO_EARLY_STOP)
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
    scenes = [scene_photo(scene, model) for scene in held_out_scenes(batch)]
    if model.device.type == "cuda" or is_compiled(model):  # what the first use costs, of one and of many
        short = replace(inverter, steps=2)
        short(model, *scenes[0])
        measured_together(model, [inverting(model, short, *scene) for scene in scenes], batch)
    _, one = measured(model, lambda: inverter(model, *scenes[0]))
    many = [cost for _, cost in measured_together(model, [inverting(model, inverter, *s) for s in scenes], batch)]
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
        "peak_bytes": None if isinstance(one.peak_bytes, Missing) else one.peak_bytes,
        "peak_bytes_in_batch": None if isinstance(many[0].peak_bytes, Missing) else many[0].peak_bytes,
    }


def _sdxl(denoiser: SDXLDenoiser, side: int) -> Mapping[str, Any]:
    x, conditioning = denoiser.question(side)
    cuda = denoiser.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(denoiser.device)
    descend(denoiser, x, 1.0, conditioning, lambda output: output.square().mean())
    return {
        "parameters": sum(weight.numel() for weight in denoiser.network.parameters()),
        "side": side,
        "dtype": str(denoiser.dtype),
        "peak_bytes": torch.cuda.max_memory_allocated(denoiser.device) if cuda else None,
    }
