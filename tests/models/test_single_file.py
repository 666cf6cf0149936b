"""Single-file checkpoints, in the layout of the original Stable Diffusion repository."""

import json
import shutil
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny.original_layout import autoencoder, renamed

import nulltext
from nulltext.errors import ModelLoadError, UnsupportedPipelineError


def unet_name(name, layers):
    """A denoiser's weight in the original layout: blocks counted through, their parts by position."""
    name = renamed(
        name,
        ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"),
        ("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
        ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
        ("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1"),
        ("mid_block.resnets.1", "middle_block.2"),
    )  # fmt: skip
    if name.startswith("conv_in."):
        name = name.replace("conv_in", "input_blocks.0.0")
    if name.startswith(("down_blocks", "up_blocks")):
        _, block, part, layer, rest = name.split(".", 4)
        down, per_block = name.startswith("down"), layers + 1
        if part in ("resnets", "attentions"):
            at = int(block) * per_block + int(layer) + down
            name = f"{'input' if down else 'output'}_blocks.{at}.{int(part == 'attentions')}.{rest}"
        elif down:
            name = f"input_blocks.{int(block) * per_block + layers + 1}.0.{rest.replace('conv', 'op')}"
        else:
            name = f"output_blocks.{int(block) * per_block + layers}.1.{rest}"  # the tiny one's have no attention
    if ".attentions." not in name and "transformer_blocks" not in name and "proj_" not in name:
        name = renamed(
            name, ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("norm2", "out_layers.0"),
            ("conv2", "out_layers.3"), ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection"),
        )  # fmt: skip
    return "model.diffusion_model." + name


def text_name(name):
    return "cond_stage_model.transformer.text_model." + name.removeprefix("text_model.")


def as_single_file(model, encoder=None):
    """A model's weights in the original layout."""
    unet = {unet_name(name, 1): weight for name, weight in model.denoiser.state_dict().items()}
    text = {text_name(name): weight for name, weight in (encoder or model.text.network).state_dict().items()}
    vae = autoencoder(model.autoencoder.network)
    return {name: weight.contiguous().clone() for name, weight in (unet | text | vae).items()}


def write(weights, path, metadata=None):
    if path.suffix == ".ckpt":
        torch.save({"state_dict": weights}, path)
    else:
        save_file(weights, path, metadata=metadata)


@pytest.fixture(scope="module")
def weights(model):
    return as_single_file(model)


@pytest.mark.parametrize("kind", [".safetensors", ".ckpt"])
def test_is_the_model_that_the_folder_is(weights, model, folder, tmp_path, kind):
    path = tmp_path / f"tiny{kind}"
    write(weights, path)
    single = nulltext.load(path, config=folder("epsilon"), device="cpu")
    prompts = ["a red ball on grass"]
    torch.testing.assert_close(single.embed(prompts).text, model.embed(prompts).text)
    torch.testing.assert_close(
        nulltext.generate(single, prompts, steps=2), nulltext.generate(model, prompts, steps=2), rtol=1e-4, atol=1e-4
    )
    assert single.identity.id == path.name
    assert single.identity.revision.startswith("sha256:")
    assert single.schedule(50) == model.schedule(50)


def test_of_the_kind_that_stable_diffusion_2_is(pipeline_builder, tmp_path):
    pipeline_builder("v_prediction", use_linear_projection=True, attention_head_dim=[2, 4]).save_pretrained(tmp_path)
    model = nulltext.load(tmp_path, device="cpu")
    save_file(as_single_file(model), tmp_path / "a.safetensors")
    single = nulltext.load(tmp_path / "a.safetensors", config=tmp_path, device="cpu")
    assert single.prediction == "v_prediction"
    torch.testing.assert_close(
        nulltext.generate(single, "a cat", steps=2), nulltext.generate(model, "a cat", steps=2), rtol=1e-4, atol=1e-4
    )


def test_one_for_inpainting_by_the_configs_of_text_to_image(pipeline_builder, folder, tmp_path):
    """The number of its channels is all that tells the two apart, and the file has it."""
    pipeline_builder(in_channels=9).save_pretrained(tmp_path)
    model = nulltext.load(tmp_path, device="cpu")
    save_file(as_single_file(model), tmp_path / "a.safetensors")
    single: Any = nulltext.load(tmp_path / "a.safetensors", config=folder("epsilon"), device="cpu")
    assert single.inpaints
    x, cond = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), model.embed(["a cat"])
    torch.testing.assert_close(single.predict(x, 500.0, cond), model.predict(x, 500.0, cond), rtol=0, atol=1e-5)


def open_clip(network):
    """A text encoder's weights in the layout of OpenCLIP."""
    given, named = network.state_dict(), {"logit_scale": torch.ones(())}
    for name, weight in given.items():
        bare = renamed(
            name, ("text_model.embeddings.token_embedding", "token_embedding"),
            ("text_model.embeddings.position_embedding.weight", "positional_embedding"), (".fc1", ".c_fc"),
            ("text_model.final_layer_norm", "ln_final"),
            ("text_model.encoder.layers", "transformer.resblocks"), ("layer_norm", "ln_"), (".fc2", ".c_proj"),
            ("self_attn", "attn"),
        )  # fmt: skip
        if name == "text_projection.weight":
            named["text_projection"] = weight.T
        elif ".q_proj." in name:
            three = [given[name.replace(".q_proj.", f".{each}_proj.")] for each in "qkv"]
            named[bare.replace("q_proj.", "in_proj_")] = torch.cat(three)
        elif ".k_proj." not in name and ".v_proj." not in name:
            named[bare] = weight
    return {f"conditioner.embedders.1.model.{name}": weight.contiguous().clone() for name, weight in named.items()}


def test_of_the_kind_that_stable_diffusion_xl_is(xl_builder, tmp_path):
    folder, path = tmp_path / "folder", tmp_path / "a.safetensors"
    xl_builder("v_prediction").save_pretrained(folder)
    model: Any = nulltext.load(folder, device="cpu")
    first, second = model.text.first.network, model.text.second.network
    weights = as_single_file(model, first) | open_clip(second)
    old, new = PARTS["text_encoder"], "conditioner.embedders.0.transformer."
    weights = {name.replace(old, new): weight for name, weight in weights.items()}
    save_file(weights, path)
    single = nulltext.load(path, config=folder, device="cpu")
    assert single.prediction == "v_prediction"
    torch.testing.assert_close(
        nulltext.generate(single, "a cat", steps=2), nulltext.generate(model, "a cat", steps=2), rtol=1e-4, atol=1e-4
    )
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"force_zeros_for_empty_prompt": False}))
    assert not nulltext.load(path, config=folder, device="cpu").identity.same_weights(single.identity)
    save_file({name: weight for name, weight in weights.items() if new not in name}, path)
    with pytest.raises(ModelLoadError, match=r"incomplete: it lacks its text encoder\."):
        nulltext.load(path, config=folder, device="cpu")
    save_file({name.replace("embedders.1", "embedders.0"): weight for name, weight in open_clip(second).items()}, path)
    with pytest.raises(UnsupportedPipelineError, match="is a Stable Diffusion XL refiner; expected a whole checkpoint"):
        nulltext.load(path, config=folder, device="cpu")


@pytest.mark.parametrize("kind", [".safetensors", ".ckpt", "old.ckpt"])
def test_stable_diffusion_2_needs_a_config_for_its_prediction(tmp_path, kind):
    path = tmp_path / f"a{kind}"
    name = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
    weights = {name: torch.zeros(320, 1024)}
    if kind == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights}, path, _use_new_zipfile_serialization=kind == ".ckpt")
    with pytest.raises(ModelLoadError, match=r"predict ε and others v.*Give config= \(--config\)"):
        nulltext.load(path)


def test_a_config_from_the_hub_counts_for_the_identity(weights, folder, tmp_path, monkeypatch):
    hub = {"someone/eps": folder("epsilon"), "someone/v": folder("v_prediction")}
    for name, path in hub.items():  # as they are where they have been fetched before
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(path, repository / "snapshots" / "0123")
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    save_file(weights, tmp_path / "a.safetensors")
    eps, v = (nulltext.load(tmp_path / "a.safetensors", config=name, device="cpu") for name in hub)
    assert (eps.prediction, v.prediction) == ("epsilon", "v_prediction")
    assert not eps.identity.same_weights(v.identity)


PARTS = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model.transformer."}


def one_missing(weights, name):
    del weights[name]


def one_reshaped(weights, name):
    weights[name] = torch.cat([weights[name]] * 2)


def lora_inside(weights, name):
    weights[name.replace(".weight", ".lora_up.weight")] = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (one_missing, r"1 of its weights are missing \(\S+\)"),
        (one_reshaped, r"1 have another shape \(\S+ is \[.*\], expected \["),
        (lora_inside, r"saved with a LoRA that is not merged .*fuse it first"),
    ],
)
@pytest.mark.parametrize("kind", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("part", PARTS)
def test_weights_that_are_not_the_configs_are_named(weights, folder, tmp_path, part, kind, fault, expected):
    spoiled = dict(weights)
    fault(spoiled, next(name for name in weights if name.startswith(PARTS[part]) and name.endswith("norm1.weight")))
    write(spoiled, tmp_path / f"a{kind}")
    with pytest.raises(ModelLoadError, match=expected):
        nulltext.load(tmp_path / f"a{kind}", config=folder("epsilon"), device="cpu")


@pytest.mark.parametrize("text_model", ["", "text_model."])
def test_text_encoders_as_merges_name_them(weights, model, folder, tmp_path, text_model):
    prefix = PARTS["text_encoder"]
    renamed = {name.replace(f"{prefix}text_model.", prefix + text_model): weight for name, weight in weights.items()}
    renamed[f"{prefix}{text_model}embeddings.position_ids"] = torch.arange(24)[None]
    renamed |= {"cond_stage_model.logit_scale": torch.ones(()), "model_ema.decay": torch.ones(())}
    save_file(renamed, tmp_path / "a.safetensors")
    merge = nulltext.load(tmp_path / "a.safetensors", config=folder("epsilon"), device="cpu")
    torch.testing.assert_close(merge.embed(["a cat"]).text, model.embed(["a cat"]).text)


# ---- what a file says of itself


MARKS = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}


@pytest.fixture(scope="module")
def quiet_config(folder, tmp_path_factory):
    """A config that does not say what the network predicts, as Stable Diffusion 1.5's."""
    copy = shutil.copytree(folder("epsilon"), tmp_path_factory.mktemp("quiet") / "config")
    path = copy / "scheduler" / "scheduler_config.json"
    kept = {key: value for key, value in json.loads(path.read_text()).items() if key in RECOMMENDED_BY_SD15}
    path.write_text(json.dumps(kept))
    return copy


RECOMMENDED_BY_SD15 = ("_class_name", "beta_start", "beta_end", "beta_schedule", "set_alpha_to_one", "steps_offset")


@pytest.mark.parametrize(
    ("marks", "metadata", "expected"),
    [
        ((), None, ("epsilon", False, "leading")),
        (("v_pred",), None, ("v_prediction", False, "leading")),
        (("v_pred", "ztsnr"), None, ("v_prediction", True, "trailing")),
        ((), {"modelspec.prediction_type": "v"}, ("v_prediction", False, "leading")),
        ((), {"modelspec.prediction_type": "epsilon"}, ("epsilon", False, "leading")),
    ],
)
def test_a_file_that_says_what_it_is_is_believed(weights, quiet_config, tmp_path, marks, metadata, expected):
    for kind in (".safetensors",) if metadata else (".safetensors", ".ckpt"):  # the latter holds no text
        path = tmp_path / f"a{kind}"
        write(weights | {mark: MARKS[mark] for mark in marks}, path, metadata)
        model: Any = nulltext.load(path, config=quiet_config, device="cpu")
        config = model.scheduler_config
        assert (config["prediction_type"], config["rescale_betas_zero_snr"], config["timestep_spacing"]) == expected
        last = model.schedule(10)[0]
        assert (last.t, last.noisy.alpha == 0) == ((999, True) if expected[1] else (901, False))


@pytest.mark.parametrize(
    ("marks", "metadata", "error", "expected"),
    [
        (("v_pred",), None, ModelLoadError, "prediction_type is 'v_prediction', and .* that it is 'epsilon'"),
        (("ztsnr",), None, ModelLoadError, "rescale_betas_zero_snr is True, and .* that it is False"),
        ((), {"modelspec.prediction_type": "v"}, ModelLoadError, "prediction_type is 'v_prediction', and .*'epsilon'"),
        ((), {"modelspec.prediction_type": "flow"}, UnsupportedPipelineError, "predicts 'flow'; expected 'epsilon'"),
        (("edm_mean",), None, UnsupportedPipelineError, "is an EDM checkpoint"),
    ],
)
def test_a_file_that_contradicts_its_config(weights, folder, tmp_path, marks, metadata, error, expected):
    write(weights | {mark: torch.zeros(0) for mark in marks}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(error, match=expected):
        nulltext.load(tmp_path / "a.safetensors", config=folder("epsilon"), device="cpu")


def test_the_content_decides(weights, folder, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    save_file(weights | {"model.diffusion_model.out.2.bias": torch.ones(4)}, tmp_path / "b.safetensors")
    a, b = (
        nulltext.load(tmp_path / name, config=folder("epsilon"), device="cpu").identity
        for name in ("a.safetensors", "b.safetensors")
    )
    assert not a.same_weights(b)


@pytest.mark.parametrize("name", ["a.txt", "a.bin"])
def test_a_file_that_is_no_checkpoint(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(ModelLoadError, match="no checkpoint file"):
        nulltext.load(tmp_path / name)


def test_without_configs_and_without_a_network(weights, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(ModelLoadError, match="connect to the network, or give config="):
        nulltext.load(tmp_path / "a.safetensors")
