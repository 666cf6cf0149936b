"""A tiny Stable Diffusion XL of the real classes, a tiny T5, and LoRAs for tiny pipelines."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

LENGTH, WIDTHS, POOLED = 24, (32, 48), 40
"""The second encoder is wider than the first, and pooled text has a width of its own: none can stand for another."""


def build_pipeline(tokenizer_builder, prediction="epsilon", *, zeros=True, channels=4):
    """Of some 500 thousand random weights, for images of 64 x 64 with latents of 8 x 8."""
    torch.manual_seed(0)
    tokenizer, other = tokenizer_builder(LENGTH), tokenizer_builder(LENGTH)
    other.pad_token = "!"  # noqa: S105  as in the checkpoints: the two pad differently
    settings: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    } | {
        "vocab_size": len(tokenizer) + 1,  # room for a word more
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "projection_dim": POOLED,
    }
    network: Any = UNet2DConditionModel  # which annotates tuples of any length as tuples of one, as does the next
    unet = network(
        sample_size=8,
        in_channels=channels,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=sum(WIDTHS),
        attention_head_dim=(4, 8),
        transformer_layers_per_block=(2, 1),
        use_linear_projection=True,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=POOLED + 6 * 8,
    )
    with torch.no_grad():
        unet.conv_out.weight *= 0.2  # with less, steps backwards have no one solution, as they have in trained networks
    autoencoder: Any = AutoencoderKL
    vae = autoencoder(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
    )
    ddim: Any = DDIMScheduler
    scheduler = ddim(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(hidden_size=WIDTHS[0], **settings)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(
            CLIPTextConfig(hidden_size=WIDTHS[1], hidden_act="gelu", **settings)
        ).eval(),
        tokenizer=tokenizer,
        tokenizer_2=other,
        unet=unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )


def build_t5(width):
    """A T5 of that width and its tokenizer, which knows a few words and else the letters."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", "▁red", "▁ball", "▁on", "▁grass", *"abcdefghijklmnopqrstuvwxyz"]
    vocab: Any = [(piece, -float(at > 2)) for at, piece in enumerate(pieces)]
    tokenizer = T5Tokenizer(vocab=vocab, extra_ids=0)
    sizes: Any = {"d_model": width, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
    config = T5Config(vocab_size=len(tokenizer), relative_attention_num_buckets=8, **sizes)
    return T5EncoderModel(config).eval(), tokenizer


@pytest.fixture(scope="session")
def t5_builder():
    """Makes such a T5, of its width."""
    return build_t5


@pytest.fixture(scope="session")
def xl_builder(tokenizer_builder):
    """Makes such pipelines, of what they predict, whether their null is zeros, and the channels."""
    return partial(build_pipeline, tokenizer_builder)


LORA_LAYERS = (
    "attn1.to_q",
    "attn2.to_k",
    "attn2.to_out.0",
    "attn.to_v",
    "ff.net.2",
    "proj_in",
    "q_proj",
    "out_proj",
    "fc1",
)
PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}


def layers(pipeline):
    """What a LoRA changes: the network's name, the layer's, and the layer."""
    for network in ("unet", "transformer", "text_encoder", "text_encoder_2"):
        for name, layer in getattr(pipeline, network, torch.nn.Module()).named_modules():
            if name.endswith(LORA_LAYERS):
                yield network, name.removeprefix("text_model."), layer


def matrices(layer, rank, generator):
    down = torch.randn(rank, *layer.weight.shape[1:], generator=generator) * 0.2
    shape = (layer.weight.shape[0], rank, *(1,) * (layer.weight.ndim - 2))
    return down, torch.randn(shape, generator=generator) * 0.2


def write(path, pipeline, form):
    """A LoRA for a pipeline in kohya's format, or in that of diffusers and peft."""
    generator, tensors = torch.Generator().manual_seed(0), dict[str, Any]()
    two = getattr(pipeline, "text_encoder_2", None) is not None
    for network, name, layer in layers(pipeline):
        down, up = matrices(layer, 2, generator)
        if form == "kohya":
            prefix = "lora_te1" if two and network == "text_encoder" else PREFIXES[network]
            within = name if network == "unet" else f"text_model.{name}"
            key = f"{prefix}_{within.replace('.', '_')}"
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(1.0)}
        else:
            within = name if network in ("unet", "transformer") else f"text_model.{name}"
            tensors |= {f"{network}.{within}.lora_A.weight": down, f"{network}.{within}.lora_B.weight": up}
    save_file(tensors, path)
    return path


def equals(model, pipeline, path, weight):
    """Whether a model's networks are those that diffusers makes."""
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    pipeline.fuse_lora(lora_scale=weight)
    pipeline.unload_lora_weights()
    theirs: Any = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    ours = model.denoiser.state_dict()
    assert ours.keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="session")
def write_lora():
    """Writes a LoRA for a pipeline, in kohya's format or in that of diffusers and peft."""
    return write


@pytest.fixture(scope="session")
def check_merged():
    """Holds a model with a LoRA against the pipeline with it."""
    return equals


def build_clip(tokenizer, width):
    """CLIP's two towers, whose embeddings have so many numbers, and what fits images to the second."""
    torch.manual_seed(1)
    layers: dict[str, Any] = {"intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    } | {"vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.model_max_length}
    text = CLIPTextConfig(hidden_size=width, projection_dim=width, **layers, **tokens)
    vision = CLIPVisionConfig(hidden_size=24, projection_dim=width, image_size=32, patch_size=8, **layers)
    fitting: Any = CLIPImageProcessorPil  # which stands for the other where torchvision is not there
    return SimpleNamespace(
        text=CLIPTextModelWithProjection(text).eval(),
        vision=CLIPVisionModelWithProjection(vision).eval(),
        processor=fitting(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    )


@pytest.fixture(scope="session")
def clip_builder():
    """`build_clip`."""
    return build_clip
