"""Stable Diffusion 3 and FLUX in a single file, whole or the denoiser alone."""

import inspect
import shutil
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, StableDiffusion3Pipeline
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file
from tests.models.tiny.original_layout import UNET, flux, flux_transformer, write, write_third

import nulltext
from nulltext.errors import ModelLoadError, UnsupportedPipelineError
from nulltext.models import single_file
from nulltext.models.families import FLUX_IN_A_FILE

PROMPT = "a red ball on grass"
THIRD, DEV, SCHNELL = "stable diffusion 3", "flux dev", "flux schnell"
TEXTS, VAES = "text_encoders.", ("first_stage_model.", "vae.")


def same(one, other):
    """Whether two networks have the same weights."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def read_alike(file, folder) -> tuple[Any, Any]:
    """The models of a file and of its folder, whose weights and embeddings are the same."""
    ours: Any = nulltext.load(file, device="cpu", config=folder)
    theirs: Any = nulltext.load(folder, device="cpu")
    assert same(ours.denoiser, theirs.denoiser)
    assert same(ours.autoencoder.network, theirs.autoencoder.network)
    got, expected = ours.embed([PROMPT]), theirs.embed([PROMPT])
    assert torch.equal(got.text, expected.text)
    torch.testing.assert_close(got.pooled, expected.pooled, rtol=1e-5, atol=1e-5)
    return ours, theirs


def draw_alike(one, other):
    """Rounding apart: parts of joined weights lie elsewhere in memory."""
    got, expected = (nulltext.generate(model, PROMPT, steps=2) for model in (one, other))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module", autouse=True)
def _at_any_width():
    """Diffusers' converter of FLUX knows one width, 3072: here it is the tiny one's, its code otherwise as it is."""
    real = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers
    source = inspect.getsource(real).replace("inner_dim = 3072", "inner_dim = checkpoint['img_in.weight'].shape[0]")
    made: dict[str, Any] = dict(vars(single_file_utils))
    exec(source, made)  # noqa: S102  its own code
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(single_file._FLOWS, FLUX_IN_A_FILE.path, made[real.__name__])
        yield


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A file of each kind with all that its folder has, and the folder."""
    spot = tmp_path_factory.mktemp("whole")
    files = {name: write(flux(tiny(name).pipeline), spot / f"{name}.safetensors") for name in (DEV, SCHNELL)}
    files[THIRD] = write_third(spot / "third.safetensors", tiny(THIRD).pipeline)
    return {name: (file, tiny(name).folder) for name, file in files.items()}


@pytest.mark.parametrize("t5", [True, False], ids=["with T5", "without"])
def test_a_stable_diffusion_3_is_the_model_that_it_was_made_of(tiny, t5, tmp_path):
    """CLIP L's vector is its last state there: the file has no projection."""
    folder = tmp_path / "folder"
    shutil.copytree(tiny(f"{THIRD}{' with T5' if t5 else ''}").folder, folder)
    left_out: Any = {} if t5 else {"text_encoder_3": None, "tokenizer_3": None}
    pipeline: Any = StableDiffusion3Pipeline.from_pretrained(folder, **left_out)
    torch.nn.init.eye_(pipeline.text_encoder.text_projection.weight)
    pipeline.text_encoder.save_pretrained(folder / "text_encoder")
    file = write_third(tmp_path / "sd3_incl_clips.safetensors", pipeline)
    ours, _ = read_alike(file, folder)
    by_diffusers: Any = StableDiffusion3Pipeline.from_single_file(str(file), config=str(folder), **left_out)
    assert same(ours.denoiser, by_diffusers.transformer)


@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_a_flux_is_the_model_that_it_was_made_of(whole, name):
    ours, theirs = read_alike(*whole[name])
    draw_alike(ours, theirs)
    assert ours.schedule(4) == theirs.schedule(4)


@pytest.mark.parametrize("bare", [False, True], ids=["", "names without a beginning"])
@pytest.mark.parametrize("name", [THIRD, DEV])
def test_a_denoiser_alone_takes_the_rest_from_a_folder(whole, name, bare, tmp_path):
    """As their authors publish it, and as what people train is passed on; some with the autoencoder beside it."""
    file, folder = whole[name]
    kept = UNET if bare else (UNET, *VAES)
    alone = {key: at for key, at in load_file(file).items() if key.startswith(kept)}
    alone = {key.removeprefix(UNET) if bare else key: tensor for key, tensor in alone.items()}
    path = write(alone, tmp_path / "a.safetensors")
    ours, theirs = nulltext.load(path, device="cpu", config=folder), nulltext.load(folder, device="cpu")
    draw_alike(ours, theirs)
    assert not ours.identity.same_weights(theirs.identity)
    assert nulltext.load(path, device="cpu", config=folder).identity.same_weights(ours.identity)


def test_the_identity_is_of_what_a_folder_lends_as_well(whole, tmp_path):
    file, folder = whole[DEV]
    alone = {key: at for key, at in load_file(file).items() if key.startswith(UNET)}
    path = write(alone, tmp_path / "a.safetensors")
    before = nulltext.load(path, device="cpu", config=folder).identity
    other = shutil.copytree(folder, tmp_path / "other")
    changed = load_file(other / "text_encoder" / "model.safetensors")
    name = next(name for name in changed if name.endswith("token_embedding.weight"))
    save_file(changed | {name: changed[name] + 1}, other / "text_encoder" / "model.safetensors", {"format": "pt"})
    assert not nulltext.load(path, device="cpu", config=other).identity.same_weights(before)


LACKING = {
    "its denoiser": (THIRD, UNET, UnsupportedPipelineError, "a text encoder alone"),
    "its autoencoder": (THIRD, VAES[0], ModelLoadError, r"lacks its autoencoder \(VAE\)"),
    "its second text encoder": (THIRD, f"{TEXTS}clip_g.", ModelLoadError, "lacks its second text encoder"),
    "a weight": (THIRD, f"{UNET}joint_blocks.1.x_block.mlp.fc1.weight", ModelLoadError, "is not laid out as"),
    "FLUX, its denoiser": (DEV, UNET, UnsupportedPipelineError, "a text encoder alone"),
    "FLUX, its autoencoder": (DEV, VAES[1], ModelLoadError, r"lacks its autoencoder \(VAE\)"),
    "FLUX, T5": (DEV, f"{TEXTS}t5xxl.", ModelLoadError, r"lacks its second text encoder \(T5\)"),
    "FLUX, a weight": (DEV, f"{UNET}single_blocks.0.linear2.weight", ModelLoadError, "is not laid out as"),
    "FLUX, what tells it of a vector": (DEV, f"{UNET}vector_in.", UnsupportedPipelineError, "a kin of it"),
}


@pytest.mark.parametrize("case", LACKING)
def test_a_file_that_lacks_something_says_what(whole, case, tmp_path):
    name, prefix, error, said = LACKING[case]
    file, folder = whole[name]
    write({key: at for key, at in load_file(file).items() if not key.startswith(prefix)}, tmp_path / "a.safetensors")
    with pytest.raises(error, match=said):
        nulltext.load(tmp_path / "a.safetensors", device="cpu", config=folder)


@pytest.mark.parametrize("name", [THIRD, DEV])
def test_a_denoiser_alone_needs_a_folder_with_weights(whole, name, tmp_path):
    file, folder = whole[name]
    alone = write({key: at for key, at in load_file(file).items() if key.startswith(UNET)}, tmp_path / "a.safetensors")
    bare = shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelLoadError, match=r"has no weights of vae, text_encoder, text_encoder_2.*--config"):
        nulltext.load(alone, device="cpu", config=bare)


@pytest.mark.parametrize("name", [THIRD, DEV])
def test_weights_that_are_scaled_are_refused(whole, name, tmp_path):
    """Quantised files keep scales beside their weights, without which these are others."""
    file, folder = whole[name]
    tensors = load_file(file)
    first = next(key for key in tensors if key.startswith(UNET) and key.endswith("qkv.weight"))
    tensors[first.replace(".weight", ".scale_weight")] = torch.ones(())
    with pytest.raises(ModelLoadError, match="1 are none of its own"):
        nulltext.load(write(tensors, tmp_path / "a.safetensors"), device="cpu", config=folder)


@pytest.mark.parametrize("name", [THIRD, DEV])
def test_eight_bit_weights_are_read(whole, name, tmp_path):
    file, folder = whole[name]
    eight = torch.float8_e4m3fn
    tensors = {key: at.to(eight) if key.startswith((UNET, TEXTS)) else at for key, at in load_file(file).items()}
    ours: Any = nulltext.load(write(tensors, tmp_path / "a.safetensors"), device="cpu", config=folder)
    rounded: Any = nulltext.load(folder, device="cpu")
    rounded.denoiser.load_state_dict({key: at.to(eight).float() for key, at in rounded.denoiser.state_dict().items()})
    assert same(ours.denoiser, rounded.denoiser)
    assert torch.isfinite(nulltext.generate(ours, PROMPT, steps=2)).all()


@pytest.mark.slow
def test_a_flux_as_wide_as_the_real_one_equals_diffusers(whole, tmp_path):
    """One layer of each kind, 0.5 billion weights, by diffusers' own converter as it is."""
    _, folder = whole[DEV]
    config: Any = FluxTransformer2DModel.load_config(folder / "transformer")
    wide: Any = {"num_attention_heads": 24, "attention_head_dim": 128, "axes_dims_rope": (16, 56, 56)}
    torch.manual_seed(0)
    with torch.device("meta"):
        network: Any = FluxTransformer2DModel.from_config(dict(config) | wide)
    network = network.to_empty(device="cpu").to(torch.bfloat16)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    there = shutil.copytree(folder, tmp_path / "wide")
    network.save_pretrained(there / "transformer")
    path = write(flux_transformer(network), tmp_path / "a.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        real = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers
        patch.setitem(single_file._FLOWS, FLUX_IN_A_FILE.path, real)
        ours: Any = nulltext.load(path, device="cpu", config=there, dtype="bfloat16")
    assert same(ours.denoiser, network)
    by_diffusers: Any = FluxTransformer2DModel.from_single_file(
        str(path), config=str(there), subfolder="transformer", torch_dtype=torch.bfloat16
    )
    assert same(ours.denoiser, by_diffusers)
