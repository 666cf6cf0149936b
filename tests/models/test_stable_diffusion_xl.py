"""A third family: two text encoders, pooled text and sizes, and a null that may be zeros."""

import json
import shutil
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import nulltext
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.errors import ModelLoadError, UnsupportedPipelineError

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"
LENGTH, WIDTHS, POOLED = 24, (32, 48), 40
"""The second encoder is wider than the first, and its pooled text has a width of its own: none can stand for another."""
SIZE = (48, 80)
"""Not square."""


def build_pipeline(tokenizer_builder, prediction="epsilon", *, zeros=True):
    """Of some 500 thousand random weights, for images of 64 x 64 with latents of 8 x 8."""
    torch.manual_seed(0)
    tokenizer, other = tokenizer_builder(LENGTH), tokenizer_builder(LENGTH)
    other.pad_token = "!"  # as in the checkpoints: the two pad differently
    settings: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    } | {
        "vocab_size": len(tokenizer),
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "projection_dim": POOLED,
    }
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=sum(WIDTHS),
        attention_head_dim=(4, 8),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=POOLED + 6 * 8,
    )
    autoencoder: Any = AutoencoderKL  # which annotates tuples of any length as tuples of one
    vae = autoencoder(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
    )
    scheduler = DDIMScheduler(
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


@pytest.fixture(scope="module")
def spot(tmp_path_factory, tokenizer_builder):
    """The folder of a tiny pipeline that predicts epsilon, and whose null is zeros."""
    folder = tmp_path_factory.mktemp("xl")
    build_pipeline(tokenizer_builder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def xl(spot):
    return nulltext.load(spot, device="cpu")


@pytest.fixture(scope="module")
def of_v(tmp_path_factory, tokenizer_builder):
    """The folder of one that predicts v, and whose null is the empty text."""
    folder = tmp_path_factory.mktemp("xl-v")
    build_pipeline(tokenizer_builder, "v_prediction", zeros=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["epsilon, zeros", "v, the empty text"])
def both(request, spot, of_v):
    """A folder of each kind, and its model."""
    folder = spot if request.param.startswith("epsilon") else of_v
    return folder, nulltext.load(folder, device="cpu")


@pytest.fixture(scope="module")
def source(xl, image):
    return nulltext.open_image(image, xl, size=SIZE)


def theirs(folder):
    pipeline: Any = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def edited(spot, to, name, **values):
    """A copy of a checkpoint whose config has other values."""
    shutil.copytree(spot, to)
    path = to / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return to


# ---- against the pipeline


def test_tells_the_network_what_the_pipeline_tells_it(both):
    folder, model = both
    pipeline, prompts = theirs(folder), [PROMPT, "A Cat"]
    with torch.no_grad():
        text, null, pooled, null_pooled = pipeline.encode_prompt(prompts, device="cpu")
    time_ids = pipeline._get_add_time_ids(SIZE, (0, 0), SIZE, torch.float32, POOLED)
    cond, own = model.embed(prompts, SIZE), model.null(SIZE)
    assert cond.text.shape == (2, LENGTH, sum(WIDTHS))
    for got, expected in (
        (cond.text, text),
        (cond.pooled, pooled),
        (own.text, null[:1]),
        (own.pooled, null_pooled[:1]),
        (cond.extras["time_ids"], time_ids.expand(2, -1)),
        (own.extras["time_ids"], time_ids),
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    assert (own.text.abs().max() == 0) == (model.prediction == "epsilon")
    assert model.embed(prompts).extras["time_ids"][1].tolist() == [64, 64, 0, 0, 64, 64]


@pytest.mark.parametrize("size", [(64, 64), SIZE])
def test_draws_what_the_pipeline_draws(both, size):
    folder, model = both
    height, width = size
    noise = torch.randn(1, 4, height // 8, width // 8, generator=torch.Generator().manual_seed(3))
    images = theirs(folder)(
        PROMPT,
        num_inference_steps=5,
        guidance_scale=6.0,
        height=height,
        width=width,
        latents=noise,
        output_type="pt",
    ).images
    ours = nulltext.generate(model, PROMPT, steps=5, guidance=6.0, seed=3, size=size)
    torch.testing.assert_close(ours / 2 + 0.5, images, rtol=0, atol=1e-4)
