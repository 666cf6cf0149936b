"""DeepFloyd IF, its stage I: images of 64 x 64 pixels and no autoencoder (github.com/deep-floyd/IF).

It is built as Imagen is: Saharia et al., arXiv 2205.11487. The stages behind it draw a larger image anew, from noise
and the small one: what they add is theirs, and not the photograph's, and none of it is inverted.
"""

from collections.abc import Mapping
from typing import Any, Final, final

import diffusers
import transformers

from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import UnsupportedPipelineError
from nulltext.models.build import Build
from nulltext.models.deepfloyd_text import LowerCaseReader
from nulltext.models.latent_model import LatentModel
from nulltext.models.parts import Inventory, Parts
from nulltext.models.pixels import PixelSpace
from nulltext.models.schedulers import SCHEDULER, ddim_config, read_scheduler
from nulltext.models.t5 import ready_t5
from nulltext.models.tokenizers import read_t5_tokenizer
from nulltext.models.unet import UNet, halved_by

_PARTS: Final = Inventory(
    {
        "unet": ("unet", diffusers.UNet2DConditionModel),
        "text_encoder": ("text_encoder", transformers.T5EncoderModel),
    },
    {"tokenizer": ("tokenizer", read_t5_tokenizer), "scheduler_config": ("scheduler", read_scheduler)},
)
ROWS: Final = 77
"""The rows of an embedding, as the pipeline has them: what the denoiser was trained with."""
_GUIDANCE: Final = 7.0
"""The pipeline's."""
_PIXELS: Final = 3
_BOUNDS: Final = ("thresholding", "clip_sample")
"""What keeps a scheduler's guesses of the image within bounds; the first goes before the second."""


@final
class DeepFloyd:
    """The adapter of ``IFPipeline``, see `nulltext.models.families.Adapter`."""

    read: Final = _PARTS.read

    @staticmethod
    def from_parts(parts: Parts, build: Build) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        config = parts.unet.config
        check_fit(config, parts.text_encoder.config.d_model, build.called)
        asked = ddim_config(parts.scheduler_config, f"{build.called}/{SCHEDULER}")
        scheduler: Mapping[str, Any] = {**asked, **dict.fromkeys(_BOUNDS, False)}
        ScheduleConfig.read(scheduler)
        left = next((f" without {name}" for name in _BOUNDS if asked[name]), "")
        t5 = ready_t5(parts.text_encoder, parts.tokenizer, build, build.words(parts.tokenizer), rows=ROWS)
        return LatentModel(
            family=f"DeepFloyd IF, stage I{left}",
            identity=build.identity,
            device=build.device,
            text=LowerCaseReader(t5=t5),
            autoencoder=PixelSpace(device=build.device, where=build.where),
            unet=UNet.ready(parts.unet, build, scheduler["prediction_type"]),
            scheduler_config=scheduler,
            recommended=build.best(_GUIDANCE),
            quantised=build.quantised,
            patch=halved_by(config),
        )


def check_fit(unet: Any, width: int, model: str) -> None:  # noqa: ANN401  diffusers carries no types
    """Makes sure that a UNet is that of a stage I, made for its text encoder.

    Args:
        unet: Its config.
        width: D, of the text embeddings.
        model: What to call it in errors.

    Raises:
        UnsupportedPipelineError: It is not.
    """
    if unet.class_embed_type is not None or unet.in_channels != _PIXELS:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser takes {unet.in_channels} channels and has class_embed_type="
            f"{unet.class_embed_type!r}; expected {_PIXELS} and None, those of DeepFloyd IF's stage I. An upsampler "
            "(stage II) draws an image anew and cannot be used."
        )
    if unet.out_channels not in {_PIXELS, 2 * _PIXELS} or unet.sample_size is None:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser gives {unet.out_channels} channels and has sample_size={unet.sample_size!r}; "
            f"expected {_PIXELS}, or as many of a variance besides, and a size such as 64. Fetch the model again."
        )
    if unet.addition_embed_type != "text" or unet.encoder_hid_dim_type not in {None, "text_proj"}:
        raise UnsupportedPipelineError(
            f"{model}: unet/config.json has addition_embed_type={unet.addition_embed_type!r} and encoder_hid_dim_type="
            f"{unet.encoder_hid_dim_type!r}; expected 'text' and 'text_proj'. It is another kind of pipeline's: put "
            "in its place the checkpoint's own."
        )
    takes = unet.cross_attention_dim if unet.encoder_hid_dim is None else unet.encoder_hid_dim
    if takes != width:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser expects text embeddings of width {takes}, the text encoder gives {width}; expected "
            "a checkpoint with its own text encoder."
        )
