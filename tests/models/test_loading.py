import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

import nulltext
from nulltext.errors import (
    ModelLoadError,
    ModelNotFoundError,
    SettingError,
    UnsupportedPipelineError,
    UnsupportedScheduleError,
)
from nulltext.models.loading import check_name
from nulltext.models.reach import answers


@pytest.fixture
def copy(folder, tmp_path):
    """A folder of our own to spoil."""
    return shutil.copytree(folder("epsilon"), tmp_path / "copy")


def edit_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# ---- identity


def test_a_folder_is_known_by_its_content(folder, copy):
    original, moved = (nulltext.load(path, device="cpu").identity for path in (folder("epsilon"), copy))
    assert moved.id == "copy"
    assert moved.revision.startswith("sha256:")
    assert moved.same_weights(original)


@pytest.mark.parametrize(
    "part", ["unet/config.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors"]
)
def test_a_change_in_configs_or_weights_is_another_model(folder, copy, part):
    path = copy / part
    if path.suffix == ".json":
        edit_json(path, _comment="changed")
    else:
        weights = load_file(path)
        weights["conv_in.bias"][0] += 1
        save_file(weights, path)
    original, changed = (nulltext.load(path, device="cpu").identity for path in (folder("epsilon"), copy))
    assert not changed.same_weights(original)


def test_a_readme_beside_the_weights_changes_nothing(folder, copy):
    (copy / "README.md").write_text("hello")
    assert nulltext.load(copy, device="cpu").identity.same_weights(nulltext.load(folder("epsilon")).identity)


def test_scenes_is_the_embedded_model_and_no_folder_of_that_name(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder("epsilon"), "scenes")
    embedded = nulltext.load("scenes", device="cpu").identity
    assert embedded.id == "scenes"
    for name in ("./scenes", Path("scenes"), tmp_path / "scenes"):
        own = nulltext.load(name, device="cpu").identity
        assert own.id == "./scenes"
        assert not own.same_weights(embedded)


def test_weights_that_are_not_loaded_do_not_count(folder, copy):
    torch.save({}, copy / "vae" / "diffusion_pytorch_model.bin")
    torch.save({}, copy / "text_encoder" / "pytorch_model.bin")
    weights = (copy / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    for variant in ("non_ema", "fp16"):
        (copy / "unet" / f"diffusion_pytorch_model.{variant}.safetensors").write_bytes(weights)
    assert nulltext.load(copy, device="cpu").identity.same_weights(nulltext.load(folder("epsilon")).identity)


# ---- variants


@pytest.mark.parametrize("parts", [("unet", "vae", "text_encoder"), ("unet",)])
def test_weights_in_half_precision_only(folder, copy, parts):
    for part in parts:
        (path,) = (copy / part).glob("*.safetensors")
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    model: Any = nulltext.load(copy, device="cpu")
    original: Any = nulltext.load(folder("epsilon"), device="cpu")
    for name, weight in original.denoiser.state_dict().items():
        assert torch.equal(weight, model.denoiser.state_dict()[name])
    assert not model.identity.same_weights(original.identity)
    weights = load_file(copy / "unet/diffusion_pytorch_model.fp16.safetensors")
    weights["conv_in.bias"][0] += 1
    save_file(weights, copy / "unet/diffusion_pytorch_model.fp16.safetensors")
    assert not nulltext.load(copy, device="cpu").identity.same_weights(model.identity)


# ---- precision and place


def test_float32_on_the_cpu_even_from_half_precision_files(pipeline_builder, tmp_path):
    pipeline_builder().to(torch.float16).save_pretrained(tmp_path)
    model: Any = nulltext.load(tmp_path, device="cpu")
    assert load_file(tmp_path / "unet/diffusion_pytorch_model.safetensors")["conv_in.bias"].dtype == torch.float16
    assert model.dtype == torch.float32
    for part in (model.denoiser, model.autoencoder.network, model.text.network):
        assert {weight.dtype for weight in part.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, "bf16", "float16"])
def test_any_precision_for_the_denoiser(folder, dtype):
    model: Any = nulltext.load(folder("epsilon"), device="cpu", dtype=dtype)
    assert {weight.dtype for weight in model.denoiser.parameters()} == {model.dtype}
    assert {weight.dtype for weight in model.autoencoder.network.parameters()} == {torch.float32}


def test_weights_are_frozen_and_nothing_drops_out(model):
    for part in (model.denoiser, model.autoencoder.network, model.text.network):
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())


def test_convolutions_lie_channels_last_on_the_cpu(model):
    for part in (model.denoiser, model.autoencoder.network):
        assert all(
            weight.is_contiguous(memory_format=torch.channels_last) for weight in part.parameters() if weight.ndim == 4
        )


@pytest.mark.parametrize(("setting", "value"), [("dtype", "float64"), ("dtype", torch.int8), ("device", "abacus")])
def test_settings_out_of_range(folder, setting, value):
    with pytest.raises(SettingError, match=f"got {setting}"):
        nulltext.load(folder("epsilon"), **{setting: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_here(folder):
    with pytest.raises(SettingError, match="Try 'cpu'"):
        nulltext.load(folder("epsilon"), device="cuda")


def test_only_hub_ids_have_revisions(folder):
    with pytest.raises(SettingError, match="only a hub id"):
        nulltext.load(folder("epsilon"), revision="main")


@pytest.mark.parametrize("name", ["scenes", "nobody/nothing", None])
def test_only_checkpoint_files_lack_a_config(name, folder):
    with pytest.raises(SettingError, match="only a checkpoint file"):
        nulltext.load(name or folder("epsilon"), config=folder("epsilon"))


# ---- what cannot be loaded


@pytest.mark.parametrize(
    "name", ["nowhere", "./no/such/folder", "/no/such/model.safetensors", "weights/x.safetensors", "x" * 300]
)
def test_no_such_model(name):
    with pytest.raises(ModelNotFoundError, match="there is no model"):
        nulltext.load(name)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (None, SettingError, "got None for the model; expected a name, a folder"),
        (5, SettingError, "got 5 for the model"),
        (b"scenes", SettingError, "got b'scenes' for the model"),
        ("", SettingError, "an empty name for the model"),
        (torch.nn.Linear(1, 1), UnsupportedPipelineError, "got a Linear, one part of a model.*the whole pipeline"),
        (
            diffusers.StableDiffusionPipeline,
            UnsupportedPipelineError,
            "got the class StableDiffusionPipeline; expected",
        ),
    ],
)
def test_what_is_no_name(name, error, message):
    with pytest.raises(error, match=message):
        check_name(name)


def test_a_hub_id_with_no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match=r"cannot get 'nobody/nothing' from the hub.*connect to the network"):
        nulltext.load("nobody/nothing")


def test_a_hub_that_cannot_be_reached_is_not_asked_again_and_again(monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        start = time.monotonic()
        with pytest.raises(ModelNotFoundError, match="the hub cannot be reached from it"):
            nulltext.load("nobody/nothing")
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("offline", "proxy", "expected"),
    [
        (False, "socks5://127.0.0.1:9", True),
        (True, "socks5://127.0.0.1:9", False),
        (False, "http://127.0.0.1:9", False),
    ],
)
def test_whether_a_proxy_takes_a_connection(monkeypatch, offline, proxy, expected):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": proxy})
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda _host: False)
    assert answers(1.0) is expected


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """On a machine with no network, a hub model that has been fetched before."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(folder("epsilon"), repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return repository / "snapshots" / COMMIT


def test_a_hub_id_is_known_by_its_commit(hub):
    identity = nulltext.load("someone/tiny", device="cpu").identity
    assert (identity.id, identity.revision) == ("someone/tiny", COMMIT)


def test_another_kind_of_pipeline_on_the_hub(hub):
    edit_json(hub / "model_index.json", _class_name="FluxFillPipeline")
    with pytest.raises(UnsupportedPipelineError, match=r"^someone/tiny holds a FluxFillPipeline"):
        nulltext.load("someone/tiny")


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no model_index\.json"):
        nulltext.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_index(copy, text):
    (copy / "model_index.json").write_text(text)
    with pytest.raises((ModelLoadError, UnsupportedPipelineError)):
        nulltext.load(copy)


@pytest.mark.parametrize(
    "name", ["StableDiffusionUpscalePipeline", "FluxFillPipeline", "StableDiffusion3InpaintPipeline"]
)
def test_another_kind_of_pipeline(copy, name):
    edit_json(copy / "model_index.json", _class_name=name)
    with pytest.raises(UnsupportedPipelineError, match=f"holds a {name} .*; expected a StableDiffusionPipeline"):
        nulltext.load(copy)
    with pytest.raises(TypeError):
        nulltext.load(copy)


def test_an_upscaling_network_in_a_plain_pipeline(pipeline_builder, tmp_path):
    pipeline_builder(in_channels=7).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedPipelineError, match=r"takes 7 channels, but .* or 9 for inpainting"):
        nulltext.load(tmp_path)


def test_a_text_encoder_of_another_width(pipeline_builder, tmp_path):
    pipeline_builder(cross_attention_dim=48).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedPipelineError, match="width 48, the text encoder gives 32"):
        nulltext.load(tmp_path)


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model.safetensors", "vae/config.json", "tokenizer", "vae"])
def test_a_part_is_missing_or_damaged(copy, part):
    path = copy / part
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ModelLoadError, match="incomplete"):
        nulltext.load(copy)


def test_a_scheduler_that_is_no_ddim(pipeline_builder):
    from nulltext.models.base import ModelIdentity
    from nulltext.models.build import Build
    from nulltext.models.parts import Parts
    from nulltext.models.stable_diffusion import StableDiffusion

    pipeline = pipeline_builder()
    pipeline.scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    with pytest.raises(UnsupportedScheduleError, match="FlowMatchEulerDiscreteScheduler"):
        StableDiffusion.from_parts(
            Parts.of(pipeline),
            Build(identity=ModelIdentity("x", "sha256:0"), device=torch.device("cpu"), dtype=torch.float32),
        )


# ---- other schedulers, other sizes


def test_the_folders_own_scheduler_config_counts(copy):
    edit_json(copy / "scheduler" / "scheduler_config.json", timestep_spacing="trailing", set_alpha_to_one=True)
    schedule = nulltext.load(copy, device="cpu").schedule(10)
    assert schedule[0].t == 999
    assert schedule[-1].clean.sigma == 0


def test_a_default_size_that_is_no_square(copy):
    edit_json(copy / "unet" / "config.json", sample_size=[6, 10])
    assert nulltext.load(copy, device="cpu").default_size == (48, 80)
