"""The full-size architectures of the families, by what of their configs differs from the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

Name = Literal["sd15", "sd21", "sdxl", "sd35m", "flux", "ldm"]
"""Of an architecture: Stable Diffusion 1.5, 2.1, XL and 3.5 medium, FLUX.1 dev, latent diffusion at 256 pixels."""
Config = Mapping[str, Any]
Networks = Mapping[str, tuple[str, Config]]


@final
@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A family's checkpoint without its weights.

    Attributes:
        pipeline: The class of its pipeline.
        networks: Of each network: "library:Class", and what of its config differs from the defaults; the denoiser's
            first.
        scheduler: The same of its scheduler, of diffusers.
        tokenizers: Of each tokenizer: the network that it is for.
        absent: Parts of its pipeline that are None.
        settings: Of its pipeline.
        side: Of its images, in pixels.
        parameters: How many weights its denoiser has.
        quick: What of the configs is smaller where it is drawn at random: text encoders of billions of weights read a
            prompt once, and are no part of what is measured.
        tiny: What of them is smaller where its code alone is of interest.
    """

    pipeline: str
    networks: Networks
    scheduler: tuple[str, Config]
    tokenizers: Mapping[str, str]
    absent: tuple[str, ...] = ()
    settings: Config = field(default_factory=dict[str, Any])
    side: int
    parameters: int
    quick: Mapping[str, Config] = field(default_factory=dict[str, Config])
    tiny: Mapping[str, Config]

    @property
    def denoiser(self) -> str:
        """The name of its denoiser."""
        return next(iter(self.networks))

    def at(self, name: str, *changes: Mapping[str, Config]) -> dict[str, Any]:
        """A network's config with some changes to it."""
        config = dict(self.networks[name][1])
        for change in changes:
            config |= change.get(name, {})
        return config


TEXT_LENGTH: Final = 77
_LEVELS: Config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_UNET: Config = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}
_VAE: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_VAE_16: Config = dict(_VAE) | {
    "latent_channels": 16,
    "sample_size": 1024,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
_AUTOENCODER: Final = "diffusers:AutoencoderKL"
_CLIP: Final = "transformers:CLIPTextModel"
_PROJECTED: Final = "transformers:CLIPTextModelWithProjection"
_T5: Final = "transformers:T5EncoderModel"
_CLIP_L: Config = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
_CLIP_G: Config = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_T5_XXL: Config = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_ff": 10240,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
_ONE_LAYER: Config = {"num_layers": 1}

_TINY_UNET: Config = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
_TINY_VAE: Config = {
    "block_out_channels": (8, 8, 16, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 64,
}
_TINY_CLIP: Config = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "projection_dim": 32,
}
_TINY_T5: Config = {"d_model": 64, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 2}
_TINY: Mapping[str, Config] = {
    "unet": dict(_TINY_UNET) | {"attention_head_dim": 8, "cross_attention_dim": 32},
    "vae": _TINY_VAE,
    "text_encoder": _TINY_CLIP,
}
_SD: Config = {
    "pipeline": "StableDiffusionPipeline",
    "tokenizers": {"tokenizer": "text_encoder"},
    "absent": ("safety_checker", "feature_extractor"),
    "settings": {"requires_safety_checker": False},
    "tiny": _TINY,
}

ARCHITECTURES: Final[Mapping[Name, Architecture]] = {
    "sd15": Architecture(
        **_SD,
        networks={
            "unet": (
                "diffusers:UNet2DConditionModel",
                dict(_UNET) | {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
            ),
            "vae": (_AUTOENCODER, _VAE),
            "text_encoder": (_CLIP, _CLIP_L),
        },
        scheduler=("PNDMScheduler", dict(_LEVELS) | {"skip_prk_steps": True, "set_alpha_to_one": False}),
        side=512,
        parameters=859_520_964,
    ),
    "sd21": Architecture(
        **_SD,
        networks={
            "unet": (
                "diffusers:UNet2DConditionModel",
                dict(_UNET)
                | {
                    "sample_size": 96,
                    "cross_attention_dim": 1024,
                    "attention_head_dim": (5, 10, 20, 20),
                    "use_linear_projection": True,
                },
            ),
            "vae": (_AUTOENCODER, _VAE),
            "text_encoder": (
                _CLIP,
                {
                    "vocab_size": 49408,
                    "hidden_size": 1024,
                    "intermediate_size": 4096,
                    "num_hidden_layers": 23,
                    "num_attention_heads": 16,
                    "hidden_act": "gelu",
                },
            ),
        },
        scheduler=(
            "DDIMScheduler",
            dict(_LEVELS) | {"prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": False},
        ),
        side=768,
        parameters=865_910_724,
    ),
    "sdxl": Architecture(
        pipeline="StableDiffusionXLPipeline",
        networks={
            "unet": (
                "diffusers:UNet2DConditionModel",
                {
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
                },
            ),
            "vae": (_AUTOENCODER, dict(_VAE) | {"sample_size": 1024, "scaling_factor": 0.13025}),
            "text_encoder": (_CLIP, _CLIP_L),
            "text_encoder_2": (_PROJECTED, _CLIP_G),
        },
        scheduler=("EulerDiscreteScheduler", _LEVELS),
        tokenizers={"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"},
        settings={"force_zeros_for_empty_prompt": True, "add_watermarker": False},
        side=1024,
        parameters=2_567_463_684,
        tiny=dict(_TINY)
        | {
            "unet": dict(_TINY_UNET)
            | {
                "attention_head_dim": (4, 8),
                "transformer_layers_per_block": (2, 1),
                "cross_attention_dim": 64,
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 80,
            },
            "text_encoder_2": _TINY_CLIP,
        },
    ),
    "sd35m": Architecture(
        pipeline="StableDiffusion3Pipeline",
        networks={
            "transformer": (
                "diffusers:SD3Transformer2DModel",
                {
                    "sample_size": 128,
                    "patch_size": 2,
                    "in_channels": 16,
                    "out_channels": 16,
                    "num_layers": 24,
                    "attention_head_dim": 64,
                    "num_attention_heads": 24,
                    "caption_projection_dim": 1536,
                    "joint_attention_dim": 4096,
                    "pooled_projection_dim": 2048,
                    "pos_embed_max_size": 384,
                    "dual_attention_layers": tuple(range(13)),
                    "qk_norm": "rms_norm",
                },
            ),
            "vae": (_AUTOENCODER, dict(_VAE_16) | {"scaling_factor": 1.5305, "shift_factor": 0.0609}),
            "text_encoder": (_PROJECTED, _CLIP_L),
            "text_encoder_2": (_PROJECTED, _CLIP_G),
            "text_encoder_3": (_T5, _T5_XXL),
        },
        scheduler=("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
        tokenizers={
            "tokenizer": "text_encoder",
            "tokenizer_2": "text_encoder_2",
            "tokenizer_3": "text_encoder_3",
        },
        side=1024,
        parameters=2_243_171_520,
        quick={"text_encoder_3": _ONE_LAYER},
        tiny={
            "transformer": {
                "sample_size": 8,
                "in_channels": 4,
                "out_channels": 4,
                "num_layers": 2,
                "attention_head_dim": 8,
                "num_attention_heads": 4,
                "caption_projection_dim": 32,
                "joint_attention_dim": 64,
                "pooled_projection_dim": 64,
                "pos_embed_max_size": 8,
                "dual_attention_layers": (0,),
            },
            "vae": dict(_TINY_VAE) | {"latent_channels": 4},
            "text_encoder": _TINY_CLIP,
            "text_encoder_2": _TINY_CLIP,
            "text_encoder_3": _TINY_T5,
        },
    ),
    "flux": Architecture(
        pipeline="FluxPipeline",
        networks={
            "transformer": (
                "diffusers:FluxTransformer2DModel",
                {
                    "patch_size": 1,
                    "in_channels": 64,
                    "num_layers": 19,
                    "num_single_layers": 38,
                    "attention_head_dim": 128,
                    "num_attention_heads": 24,
                    "joint_attention_dim": 4096,
                    "pooled_projection_dim": 768,
                    "guidance_embeds": True,
                    "axes_dims_rope": (16, 56, 56),
                },
            ),
            "vae": (_AUTOENCODER, dict(_VAE_16) | {"scaling_factor": 0.3611, "shift_factor": 0.1159}),
            "text_encoder": (_CLIP, _CLIP_L),
            "text_encoder_2": (_T5, _T5_XXL),
        },
        scheduler=("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_dynamic_shifting": True}),
        tokenizers={"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"},
        side=1024,
        parameters=11_901_408_320,
        quick={"text_encoder_2": _ONE_LAYER},
        tiny={
            "transformer": {
                "in_channels": 16,
                "num_layers": 1,
                "num_single_layers": 1,
                "attention_head_dim": 16,
                "num_attention_heads": 2,
                "joint_attention_dim": 64,
                "pooled_projection_dim": 32,
                "axes_dims_rope": (4, 4, 8),
            },
            "vae": dict(_TINY_VAE) | {"latent_channels": 4},
            "text_encoder": _TINY_CLIP,
            "text_encoder_2": _TINY_T5,
        },
    ),
    "ldm": Architecture(
        pipeline="LDMTextToImagePipeline",
        networks={
            "unet": (
                "diffusers:UNet2DConditionModel",
                dict(_UNET) | {"sample_size": 32, "cross_attention_dim": 1280, "attention_head_dim": 8},
            ),
            "vqvae": (_AUTOENCODER, dict(_VAE) | {"sample_size": 256}),
            "bert": ("diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion:LDMBertModel", {}),
        },
        scheduler=("DDIMScheduler", {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear",
                                     "clip_sample": False}),
        tokenizers={"tokenizer": "bert"},
        side=256,
        parameters=872_300_484,
        tiny={
            "unet": _TINY["unet"],
            "vqvae": _TINY_VAE,
            "bert": {"encoder_layers": 1, "encoder_ffn_dim": 32, "encoder_attention_heads": 4, "d_model": 32,
                     "head_dim": 8},
        },
    ),
}  # fmt: skip
