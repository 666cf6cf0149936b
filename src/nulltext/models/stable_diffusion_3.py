"""Stable Diffusion 3 and 3.5: Esser et al., arXiv 2403.03206."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

import diffusers
import transformers

from nulltext.errors import ModelLoadError
from nulltext.models.build import Build
from nulltext.models.joint_text import T5_ROWS, JointEncoder
from nulltext.models.joint_transformer import JointTransformer, check_fit
from nulltext.models.kl_autoencoder import KLAutoencoder, check_scaling
from nulltext.models.latent_model import LatentModel
from nulltext.models.parts import Inventory, Parts
from nulltext.models.schedulers import SCHEDULER, flow_config, read_scheduler
from nulltext.models.t5 import ready_t5
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.tokenizers import read_clip_tokenizer, read_t5_tokenizer

_PARTS: Final = Inventory(
    {
        "transformer": ("transformer", diffusers.SD3Transformer2DModel),
        "vae": ("vae", diffusers.AutoencoderKL),
        "text_encoder": ("text_encoder", transformers.CLIPTextModelWithProjection),
        "text_encoder_2": ("text_encoder_2", transformers.CLIPTextModelWithProjection),
        "text_encoder_3": ("text_encoder_3", transformers.T5EncoderModel),
    },
    {
        "tokenizer": ("tokenizer", read_clip_tokenizer),
        "tokenizer_2": ("tokenizer_2", read_clip_tokenizer),
        "tokenizer_3": ("tokenizer_3", read_t5_tokenizer),
        "scheduler_config": ("scheduler", read_scheduler),
    },
)
_T5: Final = ("text_encoder_3", "tokenizer_3")


@final
class StableDiffusion3:
    """The adapter of ``StableDiffusion3Pipeline``, see `nulltext.models.families.Adapter`."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format; without T5 where the folder has neither it nor its tokenizer."""
        lacking = [part for part in _T5 if not (folder / part).is_dir()]
        if len(lacking) == 1:
            (there,) = set(_T5) - set(lacking)
            raise ModelLoadError(
                f"{folder} is incomplete: it has {there}, but lacks {lacking[0]}. Fetch the model again, or remove "
                f"{there} to do without T5."
            )
        return inventory(t5=not lacking).read(folder, index)

    @staticmethod
    def from_parts(parts: Parts, build: Build) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        config, t5 = parts.transformer.config, getattr(parts, _T5[0], None)
        clips = parts.text_encoder.config, parts.text_encoder_2.config
        check_fit(
            config,
            parts.vae.config,
            build.called,
            clips=sum(clip.hidden_size for clip in clips),
            t5=[] if t5 is None else [t5.config.d_model],
            pooled=sum(clip.projection_dim for clip in clips),
        )
        check_scaling(parts.vae.config, build.called)
        scheduler = flow_config(parts.scheduler_config, f"{build.called}/{SCHEDULER}")
        return LatentModel(
            family="StableDiffusion3 without T5" if t5 is None else "StableDiffusion3",
            identity=build.identity,
            device=build.device,
            text=_encoder(parts, build),
            autoencoder=KLAutoencoder.ready(parts.vae, build),
            unet=JointTransformer.counting(parts.transformer, build, T5_ROWS if t5 is None else 1),
            scheduler_config=scheduler,
            recommended=build.best(7.0),
            quantised=build.quantised,
            patch=config.patch_size,
        )


def inventory(*, t5: bool) -> Inventory:
    """What such a checkpoint holds, with T5 or without."""
    return _PARTS if t5 else _PARTS.without(*_T5)


def _encoder(parts: Parts, build: Build) -> JointEncoder:
    """The text encoders."""
    clips = (
        PromptEncoder.ready(parts.text_encoder, parts.tokenizer, build, build.words(parts.tokenizer)),
        PromptEncoder.ready(parts.text_encoder_2, parts.tokenizer_2, build, part="text_encoder_2"),
    )
    t5 = None
    if _T5[0] in vars(parts):
        t5 = ready_t5(parts.text_encoder_3, parts.tokenizer_3, build, part=_T5[0], rows=T5_ROWS)
    return JointEncoder.ready(clips, t5, parts.transformer.config.joint_attention_dim)
