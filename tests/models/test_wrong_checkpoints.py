"""Files and folders that are no checkpoint: each is told what it is, and where it goes."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save, save_file

import nulltext
from nulltext.editing.generate import generate_inversion
from nulltext.errors import ModelError, UnsupportedScheduleError


def tensors(*names, shape=(2, 2, 1)):
    """The bytes of a .safetensors with tensors of these names."""
    return save({name: torch.zeros(shape) for name in names})


UNET, VAE, TEXT = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "first_stage_model.encoder.conv_in.weight",
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
)


def whole(channels=4):
    shapes = {UNET: (32, channels, 3, 3), VAE: (8, 3, 3, 3), TEXT: (9, 32)}
    return save({name: torch.zeros(shape) for name, shape in shapes.items()})


HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265380512\n"
FILES = {
    "LoRA of kohya": (tensors("lora_unet_down_blocks_0_attentions_0.lora_up.weight"), r"a LoRA.*--lora FILE"),
    "LoRA of diffusers": (tensors("unet.mid_block.attn1.to_q.lora_A.weight"), r"a LoRA.*--lora FILE"),
    "LoRA, LyCORIS": (tensors("lora_unet_mid_block.hada_w1_a"), r"a LoRA.*--lora FILE"),
    "VAE": (tensors("encoder.conv_in.weight", "decoder.conv_in.weight"), r"an autoencoder \(VAE\) alone.*--vae FILE"),
    "VAE of a checkpoint": (tensors(VAE), r"an autoencoder \(VAE\) alone.*--vae FILE"),
    "UNet": (tensors(UNET, shape=(32, 4, 3, 3)), r"a denoiser \(UNet\) alone.*as unet/"),
    "UNet of diffusers": (tensors("down_blocks.0.resnets.0.conv1.weight"), r"a denoiser \(UNet\) alone.*as unet/"),
    "text encoder": (tensors("text_model.embeddings.position_embedding.weight"), r"a text encoder alone"),
    "textual inversion": (tensors("emb_params", shape=(3, 768)), r"a textual inversion.*--embedding FILE"),
    "textual inversion of diffusers": (tensors("<toy>", shape=(768,)), r"a textual inversion.*--embedding FILE"),
    "XL": (tensors("conditioner.embedders.1.model.ln_final.bias", UNET, shape=(32, 4, 3, 3)), r"lacks its autoenc"),
    "kin of SD3": (
        tensors("model.diffusion_model.joint_blocks.0.x.weight"),
        r"no Stable Diffusion 3, but a kin of it.*by its hub id",
    ),
    "kin of FLUX": (
        tensors("double_blocks.0.img_attn.norm.key_norm.scale"),
        r"no FLUX\.1, but a kin of it.*by its hub id",
    ),
    "instructions": (whole(8), r"an InstructPix2Pix checkpoint: its denoiser takes 8 channels; expected 4 or 9"),
    "depth": (whole(5), r"a depth checkpoint: its denoiser takes 5 channels"),
    "ControlNet": (tensors("control_model.input_hint_block.0.bias"), r"is a ControlNet"),
    "ControlNet of diffusers": (tensors("controlnet_cond_embedding.conv_in.bias"), r"is a ControlNet"),
    "IP-Adapter": (tensors("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"), r"is an IP-Adapter"),
    "motion": (tensors("down_blocks.0.motion_modules.0.temporal_transformer.norm.bias"), r"is a motion module"),
    "no VAE": (tensors(UNET, TEXT, shape=(32, 4, 3, 3)), r"incomplete: it lacks its autoencoder \(VAE\)"),
    "something else": (
        tensors("layer1.weight", "layer2.weight", "layer3.weight"),
        r"no Stable .*3 tensors, such as la",
    ),
    "no tensors": (tensors(), r"holds no Stable Diffusion checkpoint: 0 tensors"),
    "web page": (HTML, r"is a web page"),
    "server's answer": (b'{"error":"Repository not found"}', r"holds a server's answer"),
    "LFS pointer": (LFS, r"is a git LFS pointer.*git lfs pull"),
    "empty": (b"", r"is empty"),
    "truncated": (whole()[:-100], r"cut short at \d+ bytes"),
    "truncated in its head": (whole()[:40], r"cut short at 40 bytes"),
    "noise": (b"hello" * 100, r"no \.safetensors file, or a damaged one"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file(tmp_path, folder, name):
    content, expected = FILES[name]
    path = tmp_path / "given.safetensors"
    path.write_bytes(content)
    for config in (None, folder("epsilon")):
        with pytest.raises(ModelError, match=expected) as caught:
            nulltext.load(path, config=config, device="cpu")
        assert str(path) in str(caught.value)
        assert "network" not in str(caught.value)  # none is needed to see it


def a_list(path):
    torch.save([torch.zeros(2)], path)


def truncated(path):
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-500])


CKPTS = {
    "web page": (lambda path: path.write_bytes(HTML), r"is a web page"),
    "LFS pointer": (lambda path: path.write_bytes(LFS), r"is a git LFS pointer"),
    "empty": (lambda path: path.write_bytes(b""), r"is empty"),
    "noise": (lambda path: path.write_bytes(b"hello" * 100), r"no \.ckpt file, or a damaged one"),
    "truncated": (truncated, r"is cut short at \d+ bytes"),
    "a list": (a_list, r"holds a list; expected a checkpoint"),
    "a .safetensors": (lambda path: path.write_bytes(whole()), r"no \.ckpt file.*\.safetensors"),
    "VAE": (lambda path: torch.save({"decoder.conv_in.bias": torch.zeros(1, 1, 1)}, path), r"an autoencoder \(VAE\)"),
}


@pytest.mark.parametrize("name", CKPTS)
def test_a_wrong_pickled_file(tmp_path, name):
    make, expected = CKPTS[name]
    path = tmp_path / "given.ckpt"
    make(path)
    with pytest.raises(ModelError, match=expected):
        nulltext.load(path, device="cpu")


def test_an_inversion_file(tmp_path, model):
    path = generate_inversion(model, "a cat", steps=2).save(tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="is an inversion file of nulltext, not a model"):
        nulltext.load(path, device="cpu")


# ---- folders


def copied(source, to, *names):
    for name in names:
        (shutil.copytree if (source / name).is_dir() else shutil.copy)(source / name, to / name)


def config(to, **values):
    (to / "config.json").write_text(json.dumps(values))


def checkpoint_in(to):
    to.mkdir(parents=True, exist_ok=True)
    (to / "v1-5.safetensors").write_bytes(whole())


def edited(source, to, name, **values):
    shutil.copytree(source, to, dirs_exist_ok=True)
    path = to / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def piped(source, to):
    """A checkpoint in which a pipe stands for weights."""
    shutil.copytree(source, to, dirs_exist_ok=True)
    weights = to / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    os.mkfifo(weights)


def numbered(source, to, part, **numbers):
    """A checkpoint with other numbers in a part's config."""
    shutil.copytree(source, to, dirs_exist_ok=True)
    (path,) = (to / part).glob("*config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **numbers}))


def whole_numbers(source, to):
    """A checkpoint of which one weight is saved as whole numbers."""
    shutil.copytree(source, to, dirs_exist_ok=True)
    path = to / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({**weights, "conv_in.bias": weights["conv_in.bias"].long()}, path)


def not_a_number(part):
    """A checkpoint with one weight of a part that is no number."""

    def make(source, to):
        shutil.copytree(source, to, dirs_exist_ok=True)
        (path,) = (to / part).glob("*.safetensors")
        weights = load_file(path)
        name = next(name for name, weight in sorted(weights.items()) if weight.ndim > 1)
        weights[name].view(-1)[0] = float("nan")
        save_file(weights, path, metadata={"format": "pt"})

    return make


def number(part, **numbers):
    return lambda source, to: numbered(source, to, part, **numbers)


FOLDERS = {
    "a pipe among its weights": (piped, r"diffusion_pytorch_model\.safetensors is no file"),
    "a size that there is none of": (number("unet", sample_size=10**9), r"sample_size=10+; exp"),
    "layers for hours": (number("unet", layers_per_block=10**6), r"layers_per_block=10+; expected"),
    "times for hours": (number("scheduler", num_train_timesteps=10**9), r"timesteps=10+; expected"),
    "weights of whole numbers": (whole_numbers, r"1 weights of whole numbers \(conv_in\.bias\)"),
    "a denoiser with NaN": (not_a_number("unet"), r"unet has 1 weight with infinity or not-a-number \(\w+"),
    "an autoencoder with NaN": (not_a_number("vae"), r"vae has 1 weight with infinity"),
    "a text encoder with NaN": (not_a_number("text_encoder"), r"text_encoder has 1 weight with infinity"),
    "empty": (lambda *_: None, r"no model_index\.json.*Check the path"),
    "UNet": (lambda source, to: copied(source / "unet", to, "config.json"), r"part alone, UNet2DC.*as unet/"),
    "VAE": (lambda source, to: copied(source / "vae", to, "config.json"), r"one part alone, AutoencoderKL"),
    "text encoder": (lambda source, to: copied(source / "text_encoder", to, "config.json"), r"a CLIPTextModel"),
    "of transformers": (lambda _, to: config(to, model_type="llama"), r"holds a llama of transformers"),
    "LoRA": (lambda _, to: (to / "adapter_config.json").write_text("{}"), r"holds a LoRA.*--lora FILE"),
    "LoRA of diffusers": (lambda _, to: save_file({}, to / "pytorch_lora_weights.safetensors"), r"holds a LoRA"),
    "a single file": (lambda _, to: checkpoint_in(to), r"given by its own path, such as \S+v1-5\.safetensors"),
    "of ComfyUI": (lambda _, to: checkpoint_in(to / "models" / "checkpoints"), r"as \S+v1-5\.saf"),
    "of A1111": (lambda _, to: checkpoint_in(to / "models" / "Stable-diffusion"), r"as \S+v1-5\.saf"),
    "one above": (lambda source, to: shutil.copytree(source, to / "tiny"), r"in it: \S+tiny"),
    "of the hub's cache": (lambda source, to: shutil.copytree(source, to / "snapshots" / "01"), r"in it: \S+01"),
    "without its index": (lambda source, to: copied(source, to, "unet"), r"has unet/, so its download seems"),
    "XL without its index": (lambda _, to: (to / "text_encoder_2").mkdir(), r"has text_encoder_2/, so its download"),
    "an upscaler": (
        lambda source, to: edited(source, to, "model_index.json", _class_name="StableDiffusionUpscalePipeline"),
        r"holds a StableDiffusionUpscalePipeline .*; expected a StableDiffusionPipeline",
    ),
    "TAESD": (
        lambda source, to: edited(source, to, "vae/config.json", _class_name="AutoencoderTiny"),
        r"vae holds AutoencoderTiny; expected AutoencoderKL",
    ),
    "consistency decoder": (
        lambda source, to: edited(source, to, "vae/config.json", _class_name="ConsistencyDecoderVAE"),
        r"vae holds ConsistencyDecoderVAE; expected AutoencoderKL",
    ),
    "asymmetric": (
        lambda source, to: edited(source, to, "vae/config.json", _class_name="AsymmetricAutoencoderKL"),
        r"vae holds AsymmetricAutoencoderKL; expected AutoencoderKL",
    ),
    "video": (
        lambda source, to: edited(source, to, "unet/config.json", _class_name="UNet3DConditionModel"),
        r"unet holds UNet3DConditionModel; expected UNet2DConditionModel",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wrong_folder(tmp_path, folder, name):
    make, expected = FOLDERS[name]
    to = tmp_path / "given"
    to.mkdir()
    make(folder("epsilon"), to)
    with pytest.raises(ModelError, match=expected) as caught:
        nulltext.load(to, device="cpu")
    assert str(to) in str(caught.value)


SCHEDULES = {
    "few times": ({"num_train_timesteps": 3}, r"has num_train_timesteps=3; expected a num"),
    "too few betas": ({"trained_betas": [0.1] * 5}, r"has 5 trained_betas; expected 1000"),
    "a beta above 1": ({"beta_end": 5.0}, r"has beta_end=5; expected a number above 0 to below 1"),
    "nothing but noise": ({"beta_end": 0.99}, r"has betas .* leave a share of 0 of the image"),
    "an offset beyond its times": ({"steps_offset": 1000}, r"has steps_offset=1000; expected"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_makes_no_noise(tmp_path, folder, name):
    numbers, expected = SCHEDULES[name]
    numbered(folder("epsilon"), tmp_path / "given", "scheduler", **numbers)
    with pytest.raises(UnsupportedScheduleError, match=rf"given/scheduler/scheduler_config\.json {expected}"):
        nulltext.load(tmp_path / "given", device="cpu")
