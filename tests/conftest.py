"""Tiny pipelines of the real classes, built on the spot: no download and no stand-ins."""

import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

# Before torch looks for one: a GPU would be chosen by default, and float16 with it, on some machines and not on others.
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("NULLTEXT_CUDA", "")

import greenlet
import jaxtyping
import jaxtyping._storage
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import nulltext

CHECKED = [
    f"nulltext.{name}"
    for name in ("diffusion", "text", "attention", "models", "images", "metrics", "inversion", "editing")
]
"""Where every test checks the types and shapes in the annotations."""

with jaxtyping.install_import_hook(CHECKED, "beartype.beartype"):
    for public in nulltext.__all__:
        getattr(nulltext, public)  # loads everything while the hook is on
    from nulltext.images import SourceImage, open_image
    from nulltext.models.base import Model
    from nulltext.models.loading import load


def _each_greenlet_its_own(event: str, moved: tuple[object, object]) -> None:
    """Gives every greenlet a record of the shapes it is checking: jaxtyping keeps one a thread."""
    if event in ("switch", "throw"):
        left, entered = moved
        _CHECKING[left] = getattr(jaxtyping._storage._shape_storage, "memo_stack", [])
        jaxtyping._storage._shape_storage.memo_stack = _CHECKING.pop(entered, [])


_CHECKING: MutableMapping[object, list[object]] = WeakKeyDictionary()
greenlet.settrace(_each_greenlet_its_own)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a GPU is asked for, only the tests that need one run; elsewhere, all the others.

    NULLTEXT_TEST_DEVICE=cpu runs them as well, on the CPU: so their own code is tried where there is no GPU.
    """
    asked = "NULLTEXT_CUDA" in os.environ or "NULLTEXT_TEST_DEVICE" in os.environ
    there = torch.cuda.is_available() or os.environ.get("NULLTEXT_TEST_DEVICE") == "cpu"
    for item in items:
        needs = item.get_closest_marker("cuda") is not None
        if needs and not there:
            item.add_marker(pytest.mark.skip("needs a GPU, and NULLTEXT_CUDA to name it"))
        elif asked and not needs:
            item.add_marker(pytest.mark.skip("expects the CPU; run it without NULLTEXT_CUDA"))


@pytest.fixture(scope="session")
def gpu() -> str:
    """Where the tests marked "cuda" compute: "cuda", unless NULLTEXT_TEST_DEVICE says another."""
    return os.environ.get("NULLTEXT_TEST_DEVICE", "cuda")


@pytest.fixture(scope="session")
def real_gpu(gpu: str) -> str:
    """The same for what only a GPU has."""
    if gpu == "cpu":
        pytest.skip("asks what only a GPU has")
    return gpu


TEXT_LENGTH = 24
"""Unlike any real checkpoint's, so that nothing can rely on 77."""

SD_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def build_tokenizer(length: int = TEXT_LENGTH) -> CLIPTokenizer:
    """CLIP's byte-level tokenizer with every byte known and no merges: one token a letter, but for a few words."""
    letters = [chr(i) for i in [*range(33, 127), *range(161, 173), *range(174, 256)]] + [
        chr(256 + i) for i in range(68)
    ]
    vocab = {token: i for i, token in enumerate([*letters, *(letter + "</w>" for letter in letters)])}
    merges: list[Any] = []  # pairs, which its annotation does not know
    for word in ("cat", "dog", "red", "blue", "ball", "on", "grass", "photo", "of"):
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            if pair not in merges:
                merges.append(pair)
            pieces = ["".join(pair), *pieces[2:]]
            vocab.setdefault(pieces[0], len(vocab))
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocab[token] = len(vocab)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)


def build_pipeline(
    prediction: str = "epsilon", *, scheduler: Any = None, width: int = 32, **unet: Any
) -> StableDiffusionPipeline:
    """A Stable Diffusion of some 400 thousand random weights for images of 64 x 64, latents of 8 x 8."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokens: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            **tokens,
        )
    )
    network = UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "cross_attention_dim": width,
            "attention_head_dim": 8,
            "norm_num_groups": 8,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            **unet,
        }
    )
    blocks: dict[str, Any] = {  # annotated as tuples of one
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    vae = AutoencoderKL(
        **blocks,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.7,
    )
    scheduling: dict[str, Any] = SD_SCHEDULE | {"prediction_type": prediction}
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "unet": network,
        "scheduler": scheduler or DDIMScheduler(**scheduling),
        "safety_checker": None,
        "feature_extractor": None,
    }
    return StableDiffusionPipeline(**parts, requires_safety_checker=False)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline, by what it predicts."""
    made: dict[str, Path] = {}

    def get(prediction: str = "epsilon") -> Path:
        if prediction not in made:
            made[prediction] = tmp_path_factory.mktemp(prediction)
            build_pipeline(prediction).save_pretrained(made[prediction])
        return made[prediction]

    return get


@pytest.fixture(scope="session")
def tokenizer_builder() -> Callable[[int], CLIPTokenizer]:
    """`build_tokenizer`, for tests that want a pipeline of their own."""
    return build_tokenizer


@pytest.fixture(scope="session")
def pipeline_builder() -> Callable[..., StableDiffusionPipeline]:
    """`build_pipeline`, for tests that want a pipeline of their own."""
    return build_pipeline


@pytest.fixture(scope="session")
def source_image(model: Model, image: Image.Image) -> SourceImage:
    """The image, fitted to the tiny model."""
    return open_image(image, model)


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def any_model(request: pytest.FixtureRequest, folder: Callable[[str], Path]) -> Model:
    """A tiny model of each kind of prediction."""
    return load(folder(request.param), device="cpu")


@pytest.fixture(scope="session")
def model(folder: Callable[[str], Path]) -> Model:
    """A tiny epsilon model in float32."""
    return load(folder("epsilon"), device="cpu")


@pytest.fixture(scope="session")
def embedded() -> Model:
    """The embedded model, loaded once for all tests that do not ask how it is loaded."""
    return load("scenes", device="cpu")


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch, embedded: Model) -> None:
    """`nulltext.load` hands out the embedded model that is there already, and loads any other."""

    def known(name: str = "scenes", **settings: Any) -> Model:
        asked = {setting: value for setting, value in settings.items() if value not in {None, False}}
        if name == "scenes" and asked in ({}, {"device": "cpu"}) and not torch.cuda.is_available():
            return embedded
        return load(name, **settings)

    monkeypatch.setitem(vars(nulltext), "load", known)


@pytest.fixture(scope="session")
def image() -> Image.Image:
    """96 wide and 80 high, smooth, every side different."""
    y, x = np.mgrid[0:80, 0:96]
    return Image.fromarray(np.stack([x * 255 // 95, y * 255 // 79, (x + y) * 255 // 174], -1).astype(np.uint8))
