"""Models of pipeline objects: their networks are lent, and given back as they were."""

import copy

import diffusers
import pytest
import torch
from diffusers import StableDiffusionPipeline

import nulltext
from nulltext.errors import ModelAlteredError, ModelClosedError, ModelLoadError, SettingError, UnsupportedPipelineError
from nulltext.models.architectures import ARCHITECTURES
from nulltext.models.families import FAMILIES
from nulltext.models.random_weights import random_pipeline

READ = [name for name, each in ARCHITECTURES.items() if each.pipeline in FAMILIES]


def networks(pipeline):
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def everything(pipeline):
    """All that a model could leave behind: of every weight, every module and every config."""
    found = {}
    for part, network in networks(pipeline).items():
        found[part] = str(network.config)
        for name, weight in network.named_parameters():
            about = weight.device, weight.dtype, weight.stride(), weight.requires_grad, weight.grad
            found[part, name] = id(weight), *about, weight.detach().float().sum().item()
        for name, module in network.named_modules():
            plain = {key: value for key, value in vars(module).items() if isinstance(value, bool | int | str)}
            hooks = {key: list(value) for key, value in vars(module).items() if "_hooks" in key and value}
            found[part, name, "module"] = id(module), plain, hooks, id(getattr(module, "processor", None))
            found[part, name, "buffers"] = {key: id(value) for key, value in module.named_buffers(recurse=False)}
    return found


@pytest.mark.parametrize("family", READ)
def test_a_pipeline_is_used_and_left_as_it_was(family):
    """In another precision than its own, which is lossy, and with all that low memory switches on."""
    torch.manual_seed(0)
    pipeline = random_pipeline(family, tiny=True)
    for part in networks(pipeline).values():
        part.train()
    before = everything(pipeline)
    with nulltext.load(pipeline, dtype="bfloat16", low_memory=True) as model:
        denoiser = getattr(pipeline, ARCHITECTURES[family].denoiser)
        assert model.denoiser is denoiser
        assert (model.dtype, denoiser.training) == (torch.bfloat16, False)
        assert everything(pipeline) != before
        null = model.null()
        x = torch.zeros(1, model.latent_channels, 8, 8)
        assert model.predict(x, 500.0, null).isfinite().all()
        assert model.decode(x).shape == (1, 3, 64, 64)
    assert everything(pipeline) == before
    for use in (lambda: model.predict(x, 500.0, null), lambda: model.decode(x), lambda: model.embed(["a"])):
        with pytest.raises(ModelClosedError, match=r"load\(pipeline\) again"):
            use()


@pytest.fixture
def pipeline():
    torch.manual_seed(0)
    return random_pipeline("sd15", tiny=True)


def test_computes_what_the_pipelines_folder_computes(pipeline: StableDiffusionPipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    saved = nulltext.load(tmp_path, device="cpu")
    with nulltext.load(pipeline) as model:
        assert (model.dtype, model.device) == (torch.float32, torch.device("cpu"))
        assert model.guidance == saved.guidance
        ours, theirs = (nulltext.generate(each, "a cat", steps=2) for each in (model, saved))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_an_inversion_knows_the_weights(pipeline: StableDiffusionPipeline, image, tmp_path):
    with nulltext.load(pipeline) as model:
        inversion = nulltext.DirectInversion(steps=1)(model, nulltext.open_image(image, model), "a cat")
        path = inversion.save(tmp_path / "a.safetensors")
        identity = model.identity
    pipeline.tokenizer("a", padding="max_length", max_length=9, truncation=True)  # leaves traces in its file
    with nulltext.load(pipeline, dtype="bfloat16") as again:
        assert again.identity == identity
        nulltext.PromptSwap()(again, nulltext.Inversion.load(path), "a dog")
    with torch.no_grad():
        pipeline.unet.conv_out.bias += 1
    with nulltext.load(pipeline) as other:
        assert other.identity != identity
        with pytest.raises(nulltext.NulltextError, match="StableDiffusionPipeline"):
            nulltext.PromptSwap()(other, inversion, "a dog")


def test_a_pipeline_has_one_model_at_a_time(pipeline: StableDiffusionPipeline):
    before = everything(pipeline)
    first = nulltext.load(pipeline, dtype="bfloat16")
    second = nulltext.load(pipeline)
    assert second.identity == first.identity
    with pytest.raises(ModelClosedError):
        first.null()
    first.close()  # which must not take the networks from the second
    second.null()
    second.close()
    assert everything(pipeline) == before


def added(pipeline):
    with torch.no_grad():
        next(pipeline.vae.parameters()).add_(1)


ALTERED = {
    "weights added to": ("vae", added),
    "numbers exchanged": ("unet", lambda p: next(p.unet.parameters()).data.mul_(2)),
    "weights loaded": ("unet", lambda p: p.unet.load_state_dict(p.unet.state_dict())),
    "a weight replaced": ("vae", lambda p: setattr(p.vae.decoder.conv_out, "bias", torch.nn.Parameter(torch.ones(3)))),
    "a layer replaced": ("unet", lambda p: setattr(p.unet, "conv_out", torch.nn.Conv2d(32, 4, 3, padding=1))),
    "a part replaced": ("text_encoder", lambda p: setattr(p, "text_encoder", copy.deepcopy(p.text_encoder))),
    "another tokenizer": ("tokenizer", lambda p: setattr(p, "tokenizer", copy.deepcopy(p.tokenizer))),
}


@pytest.mark.parametrize("case", ALTERED)
def test_a_pipeline_altered_while_it_is_lent_is_noticed(pipeline: StableDiffusionPipeline, case):
    part, alter = ALTERED[case]
    with nulltext.load(pipeline) as model:
        model.predict(torch.zeros(1, 4, 8, 8), 500.0, model.null())
        alter(pipeline)
        with pytest.raises(ModelAlteredError, match=rf"the pipeline's {part} was altered.*load\(pipeline\) again"):
            model.null()
    with nulltext.load(pipeline) as again:
        again.null()


def test_a_pipeline_that_makes_no_model_is_left_as_it_was(pipeline: StableDiffusionPipeline):
    pipeline.unet.register_to_config(in_channels=7)
    before = everything(pipeline)
    with pytest.raises(UnsupportedPipelineError, match="7 channels"):
        nulltext.load(pipeline, dtype="bfloat16")
    assert everything(pipeline) == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: diffusers.StableDiffusionImg2ImgPipeline(**p.components, requires_safety_checker=False),
         UnsupportedPipelineError, "the pipeline holds a StableDiffusionImg2ImgPipeline .*expected a StableDiff"),
        (lambda p: setattr(p, "vae", None), UnsupportedPipelineError, "has no vae; expected all parts"),
        (lambda p: setattr(p, "unet", torch.nn.Linear(1, 1)), UnsupportedPipelineError, "a Linear as its unet"),
        (lambda p: setattr(p, "vae", p.unet), UnsupportedPipelineError, "the pipeline's vae holds UNet2D"),
        (lambda p: setattr(p.unet, "_hf_hook", 1), SettingError, "moved or changed while it computes"),
        (lambda p: p.unet.to("meta"), UnsupportedPipelineError, "its weights are not there"),
        (lambda p: setattr(p.unet, "_hf_peft_config_loaded", True), UnsupportedPipelineError, "fuse_lora"),
        (lambda p: setattr(p.tokenizer, "model_max_length", 2), ModelLoadError, "the pipeline.s token.* has model_m"),
    ],
)  # fmt: skip
def test_says_what_cannot_be_lent(pipeline: StableDiffusionPipeline, change, error, message):
    asked = change(pipeline)
    with pytest.raises(error, match=message) as raised:
        nulltext.load(asked if isinstance(asked, diffusers.DiffusionPipeline) else pipeline)
    assert "/tmp" not in str(raised.value)  # noqa: S108  where its configs were for a moment


@pytest.mark.parametrize("settings", [{"revision": "main"}, {"config": "folder"}, {"dtype": "int8"}])
def test_settings_of_names_are_none_of_a_pipeline(pipeline: StableDiffusionPipeline, settings):
    with pytest.raises(SettingError, match=f"got {next(iter(settings))}"):
        nulltext.load(pipeline, **settings)
