"""The full-size architectures with random weights: their speed and memory can be measured without a download."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from nulltext.attention.steering import steered
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import SettingError
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.compiling import compile_denoiser
from nulltext.models.loading import choose_device
from nulltext.models.parts import Parts
from nulltext.models.precision import choose_dtype
from nulltext.models.quiet import quiet
from nulltext.models.stable_diffusion import StableDiffusion
from nulltext.types import Latents, Times

Family = Literal["sd15", "sd21", "sdxl"]

TEXT_LENGTH = 77
_TIME_IDS = 6
"""Sizes that SDXL is told: of the original, of the crop, of the target."""
_LEVELS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_UNET = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}
_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}


@final
@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What of a family's configs differs from the defaults.

    Attributes:
        unet: Of ``UNet2DConditionModel``.
        text: Of ``CLIPTextConfig``.
        scheduler: The class of its scheduler.
        levels: That one's settings.
        parameters: How many weights the UNet has.
    """

    unet: Mapping[str, Any]
    text: Mapping[str, Any]
    scheduler: type[Any]
    levels: Mapping[str, Any]
    parameters: int


SDXL_UNET: Mapping[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_POOLED = ("addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim")

ARCHITECTURES: Mapping[Family, Architecture] = {
    "sd15": Architecture(
        unet=_UNET | {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        text={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "hidden_act": "quick_gelu",
        },
        scheduler=diffusers.PNDMScheduler,
        levels=_LEVELS | {"skip_prk_steps": True, "set_alpha_to_one": False},
        parameters=859_520_964,
    ),
    "sd21": Architecture(
        unet=_UNET
        | {
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        text={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "hidden_act": "gelu",
        },
        scheduler=diffusers.DDIMScheduler,
        levels=_LEVELS | {"prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": False},
        parameters=865_910_724,
    ),
    "sdxl": Architecture(
        unet={name: value for name, value in SDXL_UNET.items() if name not in _POOLED},
        text={
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 12,
            "num_attention_heads": 32,
            "hidden_act": "gelu",
        },
        scheduler=diffusers.DDIMScheduler,
        levels=_LEVELS | {"clip_sample": False, "set_alpha_to_one": False},
        parameters=2_562_218_244,
    ),
}
"""SDXL is its UNet without the layer for pooled text and sizes (0.2 % of its weights), behind one text encoder, as wide
as its two."""


def random_model(
    family: Family,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    low_memory: bool = False,
    compiled: bool = False,
) -> Model:
    """A model of a family's full size with random weights; what it draws is noise.

    Args:
        family: "sd15" for Stable Diffusion 1.5, 512 pixels on a side, "sd21" for 2.1, 768 pixels, "sdxl" for XL, 1024.
        device: Where to compute; a CUDA device if there is one, else the CPU.
        dtype: The denoiser's precision; float16 on CUDA, else float32.
        low_memory: See `nulltext.load`.
        compiled: See `nulltext.load`.

    Raises:
        SettingError: A device or precision that does not exist here.
        CompilationError: `compiled` is on, and the gradient would be another.
    """
    found = choose_device(device)
    identity = ModelIdentity(f"{family}, random weights", "random")
    model = StableDiffusion.from_parts(
        Parts.of(random_pipeline(family)),
        identity,
        device=found,
        dtype=choose_dtype(dtype, found),
        low_memory=low_memory,
    )
    if compiled:
        compile_denoiser(model)
    return model


def random_pipeline(family: Family) -> "diffusers.StableDiffusionPipeline":
    """A pipeline of the real classes at a family's full size, its random weights in bfloat16."""
    architecture, tokenizer = ARCHITECTURES[family], byte_tokenizer(TEXT_LENGTH)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # half the memory while they are drawn
    try:
        with quiet():
            unet = diffusers.UNet2DConditionModel(**architecture.unet)
            vae = diffusers.AutoencoderKL(**_VAE)
            text_encoder = CLIPTextModel(CLIPTextConfig(**_text_settings(tokenizer), **architecture.text))
    finally:
        torch.set_default_dtype(before)
    made: dict[str, Any] = {
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": architecture.scheduler(**architecture.levels),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    with quiet():
        return diffusers.StableDiffusionPipeline(**made)


@final
class SDXLDenoiser:
    """The UNet of Stable Diffusion XL with random weights, for its speed and memory: it has no text encoders.

    Attributes:
        network: ``UNet2DConditionModel``.
        device: Where.
        dtype: Its precision.
    """

    prediction: Prediction = "epsilon"

    def __init__(self, *, device: torch.device, dtype: torch.dtype, settings: Mapping[str, Any] | None = None) -> None:
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with quiet(), device:
                network: Any = diffusers.UNet2DConditionModel(**(settings or SDXL_UNET))
        finally:
            torch.set_default_dtype(before)
        self.network, self.device, self.dtype = network.requires_grad_(requires_grad=False).eval(), device, dtype

    def question(self, side: int) -> tuple[Latents, Conditioning]:
        """Latents and what it is told besides, as it takes them; pooled text and sizes are zeros.

        Args:
            side: Of the image, in pixels.
        """
        config = self.network.config
        pooled = config.projection_class_embeddings_input_dim - _TIME_IDS * config.addition_time_embed_dim
        return torch.zeros(1, 4, side // 8, side // 8, device=self.device), Conditioning(
            text=torch.zeros(1, TEXT_LENGTH, config.cross_attention_dim, device=self.device),
            pooled=torch.zeros(1, pooled, device=self.device),
            extras={"time_ids": torch.zeros(1, _TIME_IDS, device=self.device)},
        )

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """The network's output, see `nulltext.models.base.Model.predict`."""
        if conditioning.pooled is None:
            raise SettingError("got a conditioning without pooled text; expected one as `question` makes it.")
        beside = {
            "text_embeds": conditioning.pooled.to(self.dtype),
            "time_ids": conditioning.extras["time_ids"].to(self.dtype),
        }
        with steered(self.network, attention):
            answer = self.network(x.to(self.dtype), t, conditioning.text.to(self.dtype), added_cond_kwargs=beside)
        return answer.sample.float()


def _text_settings(tokenizer: CLIPTokenizer) -> dict[str, Any]:
    return {
        "vocab_size": 49408,
        "max_position_embeddings": TEXT_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def byte_tokenizer(length: int) -> CLIPTokenizer:
    """CLIP's byte-level tokenizer with every byte known and nothing merged: one token a letter.

    Args:
        length: The tokens of an embedding.
    """
    letters = [chr(i) for i in [*range(33, 127), *range(161, 173), *range(174, 256)]] + [
        chr(256 + i) for i in range(68)
    ]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=length)
