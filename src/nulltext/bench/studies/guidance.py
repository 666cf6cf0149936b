"""Guidance on the way to noise, and on the way back: which of the four combinations reconstruct, and why."""

from collections.abc import Sequence

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.study import Setting, Study
from nulltext.bench.table import SOURCE
from nulltext.inversion.methods.ddim import DDIM
from nulltext.models.base import Model


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """DDIM inversion at w = 1 and at the full scale, each reconstructed at w = 1 and at the full scale."""
    weights = (1.0, setting.weight(model))
    return [
        Candidate(
            name=f"inverted at w={there:g}, drawn at w={back:g}",
            inverter=always(DDIM(steps=setting.steps, guidance=there)),
            editor=None,
            guidance=back,
        )
        for there in weights
        for back in weights
    ]


STUDY = Study(
    name="guidance",
    title="Guidance in inversion and in sampling",
    candidates=candidates,
    columns=(
        "psnr_source",
        "ssim_source",
        "clip_image_source",
        "noise_mean",
        "noise_variance",
        "noise_kurtosis",
        "noise_correlation",
    ),
    measured=SOURCE,
)
