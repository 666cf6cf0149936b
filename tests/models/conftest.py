"""Tiny models of all families, made once a session, and LoRAs for tiny pipelines."""

from functools import cache, partial
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny import stable_diffusion_xl
from tests.models.tiny.families import FAMILIES, Made


@pytest.fixture(scope="session")
def tiny(tokenizer_builder, tmp_path_factory, image):
    """The tiny pipeline, folder and model of a family, by the name of its row."""

    @cache
    def made(name):
        return Made(FAMILIES[name], tokenizer_builder, partial(tmp_path_factory.mktemp, "tiny"), image)

    return made


@pytest.fixture(scope="module")
def made(request, tiny):
    """That of the family which a module of tests names as its `FAMILY`; the next four are its own."""
    return tiny(request.module.FAMILY)


@pytest.fixture(scope="module")
def pipeline(made):
    return made.pipeline


@pytest.fixture(scope="module")
def spot(made):
    """The folder."""
    return made.folder


@pytest.fixture(scope="module")
def source(made):
    return made.source


@pytest.fixture(scope="module")
def direct(made):
    return made.direct


@pytest.fixture(scope="session")
def xl_builder(tokenizer_builder):
    """Makes such pipelines, of what they predict, whether their null is zeros, and the channels."""
    return partial(stable_diffusion_xl.build_pipeline, tokenizer_builder)


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
    pipeline.fuse_lora(
        components=pipeline._lora_loadable_modules, lora_scale=weight
    )  # FLUX leaves its text out if not told
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
