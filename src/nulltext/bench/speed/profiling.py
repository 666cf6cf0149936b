"""Where the time of one inner step of null-text inversion goes, kernel by kernel."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch.profiler import ProfilerActivity, profile

from nulltext.diffusion.sharing import descend
from nulltext.inversion.solvers import Adam
from nulltext.models.base import Model

KINDS: Final[Mapping[str, str]] = {
    "attention": r"flash|fmha|attention|sdpa|softmax",
    "convolution": r"conv|fprop|dgrad|wgrad|cudnn|im2col",
    "matrix product": r"gemm|nvjet|cublas|cutlass|addmm|aten::b?mm|matmul|linear",
    "normalisation": r"norm|welford|rowwisemoments|triton_(red|per)",
    "copy": r"memcpy|memset|copy|cat|clone|nchw|nhwc",
    "elementwise": r"elementwise|triton_poi|silu|gelu|mul|add|div|sub|fill|adam|multi_tensor|pow|mean",
}
"""Kinds of kernels by what their names have, the first that fits."""
STEPS, LISTED = 3, 15


def kind_of(kernel: str) -> str:
    """What a kernel is for, by its name."""
    return next((kind for kind, names in KINDS.items() if re.search(names, kernel.lower())), "other")


def profile_descent(model: Model, batch: int) -> dict[str, Any]:
    """Forward, backward and Adam's step of so many images, each at a time of the schedule.

    Returns:
        Milliseconds of a step by the clock and by kernels, the share of each kind of kernel in these, the share of the
        clock in which none ran, and the kernels that take the most. On a CPU operations stand in the kernels' place.
    """
    cuda = model.device.type == "cuda"
    height, width = model.default_size
    x = torch.randn(batch, model.latent_channels, height // model.scale, width // model.scale).to(model.device)
    null = model.null().expand(batch)
    adam = Adam(null.text, 1e-2)

    def steps(count: int) -> float:
        _wait(model)
        start, own = time.perf_counter(), null
        for _ in range(count):
            _, gradient = descend(model, x, 500.0, own, lambda output: output.square().mean())
            own = own.with_text(adam.move(gradient))
        _wait(model)
        return (time.perf_counter() - start) / count

    steps(2)
    seconds = steps(STEPS)
    activities = [ProfilerActivity.CUDA] if cuda else [ProfilerActivity.CPU]
    with profile(activities=activities, acc_events=True) as profiler:
        steps(STEPS)
    return {"batch": batch, "step_ms": 1e3 * seconds} | _shares(profiler, seconds, cuda=cuda)


def _shares(profiler: Any, seconds: float, *, cuda: bool) -> dict[str, Any]:  # noqa: ANN401  torch leaves it open
    """Of what a profiler has seen of `STEPS` steps, each of so many seconds without it."""
    kernels, counts = defaultdict[str, float](float), defaultdict[str, int](int)
    spans: list[tuple[float, float]] = []
    for event in profiler.events():
        if cuda and ("CUDA" not in str(event.device_type) or event.is_user_annotation):  # which spans other kernels
            continue
        own = event.time_range.elapsed_us() if cuda else event.self_cpu_time_total
        kernels[event.name] += own / 1e3 / STEPS
        counts[event.name] += 1
        spans.append((event.time_range.start, event.time_range.end))
    busy, kinds = sum(kernels.values()), defaultdict[str, float](float)
    for name, took in kernels.items():
        kinds[kind_of(name)] += took
    most = sorted(kernels, key=lambda name: -kernels[name])[:LISTED]
    covered = _covered(spans) / 1e3 / STEPS
    return {
        "kernels_ms": busy,
        "kernels": sum(counts.values()) / STEPS,
        "shares": {kind: took / busy for kind, took in sorted(kinds.items(), key=lambda pair: -pair[1])},
        "idle_share": max(0.0, 1 - covered / (1e3 * seconds)) if cuda else None,
        "most_ms": {name[:100]: kernels[name] for name in most},
        "most_counts": {name[:100]: counts[name] / STEPS for name in most},
    }


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long any of them was going on."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
