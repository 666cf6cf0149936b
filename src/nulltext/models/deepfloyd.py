"""DeepFloyd IF, its stage I: images of 64 x 64 pixels and no autoencoder (github.com/deep-floyd/IF).

It is built as Imagen is: Saharia et al., arXiv 2205.11487. The stages behind it draw a larger image anew, from noise
and the small one: what they add is theirs, and not the photograph's, and none of it is inverted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers

from nulltext.diffusion.schedule import ScheduleConfig
from nulltext.errors import UnsupportedPipelineError
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.deepfloyd_text import LowerCaseReader
from nulltext.models.latent_model import LatentModel
from nulltext.models.layout import layout_for
from nulltext.models.offload import Offload
from nulltext.models.parts import (
    SCHEDULER,
    check_classes,
    check_encoder,
    ddim_config,
    read_networks,
    read_scheduler,
)
from nulltext.models.pixels import PixelSpace
from nulltext.models.recommended import Recommended
from nulltext.models.t5 import precision_of_t5, read_t5_tokenizer
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.unet import UNet
from nulltext.models.word_list import TaughtWords

ROWS: Final = 77
"""The rows of an embedding, as the pipeline has them: what the denoiser was trained with."""
_GUIDANCE: Final = 7.0
"""The pipeline's."""
_PIXELS: Final = 3
_BOUNDS: Final = ("thresholding", "clip_sample")
"""What keeps a scheduler's guesses of the image within bounds; the first goes before the second."""


@final
@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint is made of.

    Attributes:
        unet: ``UNet2DConditionModel``.
        text_encoder: ``T5EncoderModel``.
        tokenizer: Its tokenizer.
        scheduler_config: The config of any scheduler.
    """

    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]


@final
class DeepFloyd:
    """The adapter of ``IFPipeline``, see `nulltext.models.families.Adapter`."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format."""
        check_classes(folder, {"unet": "UNet2DConditionModel"})
        check_encoder(folder, index, "text_encoder", "T5EncoderModel")
        tokenizer = read_t5_tokenizer(folder / "tokenizer")
        networks = {
            "unet": ("unet", diffusers.UNet2DConditionModel),
            "text_encoder": ("text_encoder", transformers.T5EncoderModel),
        }
        return Parts(**read_networks(folder, networks), tokenizer=tokenizer, scheduler_config=read_scheduler(folder))

    @staticmethod
    def from_parts(
        parts: Parts,
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recommended: Recommended | None = None,
        quantised: Autoencoder | None = None,
        word_list: Path | None = None,
        low_memory: bool = False,
    ) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        called, config = identity.id, parts.unet.config
        check_fit(config, parts.text_encoder.config.d_model, called)
        asked = ddim_config(parts.scheduler_config, f"{called}/{SCHEDULER}")
        scheduler: Mapping[str, Any] = {**asked, **dict.fromkeys(_BOUNDS, False)}
        ScheduleConfig.read(scheduler)
        left = next((f" without {name}" for name in _BOUNDS if asked[name]), "")
        offload = Offload(device, low_memory)
        t5 = PromptEncoder.ready(
            parts.text_encoder,
            parts.tokenizer,
            offload,
            called,
            None if word_list is None else TaughtWords.read(word_list, parts.tokenizer),
            most=ROWS,
            dtype=precision_of_t5(dtype),
        )
        return LatentModel(
            family=f"DeepFloyd IF, stage I{left}",
            identity=identity,
            device=device,
            text=LowerCaseReader(t5=t5),
            autoencoder=PixelSpace(device=device, where=f"in {dtype} with {called}"),
            unet=UNet.ready(
                parts.unet,
                device=device,
                dtype=dtype,
                layout=layout_for(device, dtype),
                prediction=scheduler["prediction_type"],
                low_memory=low_memory,
            ),
            scheduler_config=scheduler,
            recommended=recommended or Recommended(guidance=_GUIDANCE),
            quantised=quantised,
            patch=2 ** (len(config.block_out_channels) - 1),  # an odd number of cells is not doubled back
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
