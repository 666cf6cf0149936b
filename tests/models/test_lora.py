"""LoRAs: merged as diffusers merges them, part of the model's identity, and refused where they do not belong."""

import re
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

import nulltext
from nulltext import DirectInversion, Inversion, PromptSwap
from nulltext.errors import MismatchError, ModelLoadError, ModelNotFoundError, SettingError, UnsupportedPipelineError

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"


def read(folder, kind: Any = StableDiffusionPipeline) -> Any:
    given = {"safety_checker": None, "requires_safety_checker": False} if kind is StableDiffusionPipeline else {}
    return kind.from_pretrained(folder, **given)


@pytest.fixture(scope="module")
def files(tmp_path_factory, folder, write_lora):
    """A LoRA of each format for the tiny Stable Diffusion."""
    made = tmp_path_factory.mktemp("lora")
    return {form: write_lora(made / f"{form}.safetensors", read(folder("epsilon")), form) for form in ("kohya", "peft")}


@pytest.mark.parametrize("form", ["kohya", "peft"])
def test_a_model_with_a_lora_is_the_pipeline_with_it(form, files, folder, model, check_merged):
    pipeline, generator = read(folder("epsilon")), {"generator": torch.Generator().manual_seed(0)}
    with_it = nulltext.load(folder("epsilon"), device="cpu", lora=(files[form], 0.7))
    check_merged(with_it, pipeline, files[form], 0.7)
    theirs = pipeline(PROMPT, num_inference_steps=2, guidance_scale=7.5, output_type="pt", **generator).images
    ours = nulltext.generate(with_it, PROMPT, steps=2)
    torch.testing.assert_close(ours / 2 + 0.5, theirs, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours, nulltext.generate(model, PROMPT, steps=2), atol=1e-2)
    assert not torch.allclose(with_it.embed([PROMPT]).text, model.embed([PROMPT]).text, atol=1e-3)
    assert not any(weight.requires_grad for weight in with_it.denoiser.parameters())


@pytest.mark.parametrize("form", ["kohya", "peft"])
def test_stable_diffusion_xl_with_a_lora_for_both_encoders(form, tmp_path, xl_builder, write_lora, check_merged):
    xl_builder().save_pretrained(tmp_path)
    pipeline = read(tmp_path, StableDiffusionXLPipeline)
    path = write_lora(tmp_path / "a.safetensors", pipeline, form)
    with_it, without = (nulltext.load(tmp_path, device="cpu", lora=each) for each in (path, None))
    check_merged(with_it, pipeline, path, 1.0)
    expected, _, pooled, _ = pipeline.encode_prompt(PROMPT, device="cpu")
    told = with_it.embed([PROMPT])
    torch.testing.assert_close(told.text, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(told.pooled, pooled, rtol=1e-4, atol=1e-4)
    plain = without.embed([PROMPT]).pooled
    assert told.pooled is not None
    assert plain is not None
    assert not torch.allclose(told.pooled, plain, atol=1e-3)


def test_each_layers_own_alpha_counts_and_several_add_up(files, folder, tmp_path, model):
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    key, down, up = f"lora_unet_{layer.replace('.', '_')}", torch.ones(4, 32), torch.ones(32, 4)
    path = tmp_path / "one.safetensors"
    save_file({f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(2.0)}, path)
    both = nulltext.load(folder("epsilon"), device="cpu", lora=[(path, -0.5), (files["peft"], 0.0)])
    before, after = (each.denoiser.get_parameter(f"{layer}.weight") for each in (model, both))
    torch.testing.assert_close(after - before, torch.full((32, 32), -0.5 * 2.0 / 4 * 4), rtol=1e-5, atol=1e-5)


def test_it_is_part_of_the_identity(files, folder, model, source_image, tmp_path):
    where = {"name": folder("epsilon"), "device": "cpu"}
    with_it = nulltext.load(**where, lora=(files["peft"], 0.7))
    DirectInversion(steps=2)(with_it, source_image, PROMPT).save(tmp_path / "a.safetensors")
    inversion = Inversion.load(tmp_path / "a.safetensors")
    (added,) = inversion.model.additions
    assert (added.kind, added.name, added.weight) == ("lora", "peft.safetensors", 0.7)
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(files["peft"].read_bytes())
    again = nulltext.load(**where, lora=(renamed, 0.7))
    assert torch.equal(PromptSwap()(again, inversion, TARGET).pixels, PromptSwap()(with_it, inversion, TARGET).pixels)
    message = re.escape("was made with epsilon0") + r" \(sha256:\w+\) with --lora peft.safetensors=0.7 \(sha256:"
    for other in (model, nulltext.load(**where, lora=(renamed, 0.8))):
        with pytest.raises(MismatchError, match=message):
            PromptSwap()(other, inversion, TARGET)
    with pytest.raises(MismatchError, match=r"got the model .* with --lora renamed\.safetensors=0\.7"):
        PromptSwap()(again, DirectInversion(steps=2)(model, source_image, PROMPT), TARGET)


def test_what_does_not_belong_is_a_sentence(files, folder, tmp_path, pipeline_builder, write_lora):
    def load(lora):
        nulltext.load(folder("epsilon"), device="cpu", lora=lora)

    other = write_lora(tmp_path / "wide.safetensors", pipeline_builder(width=48), "kohya")
    with pytest.raises(
        UnsupportedPipelineError, match=r"does not fit epsilon0 \(its layer \S+ takes 48 channels, the checkpoint's 32"
    ):
        load(other)
    save_file({"unet.nowhere.lora_A.weight": torch.ones(2, 4), "unet.nowhere.lora_B.weight": torch.ones(4, 2)}, other)
    with pytest.raises(UnsupportedPipelineError, match="is a LoRA that does not fit epsilon0"):
        load(other)
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    down, up = f"{layer}.lora_down.weight", f"{layer}.lora_up.weight"
    whole, ones = torch.ones(4, 32, dtype=torch.int8), (torch.ones(4, 32), torch.ones(32, 4))
    for wrong, expected in (
        ({down: ones[0]}, "lora_down.weight without .*lora_up.weight; expected both"),
        ({up: ones[1], f"{layer}.alpha": torch.tensor(1.0)}, "lora_up.weight without .*lora_down.weight"),
        ({down: torch.ones(0, 32), up: torch.ones(32, 0)}, "expected two matrices of one rank, at least 1"),
        ({down: ones[0], up: torch.ones(32, 5)}, "expected two matrices of one rank"),
        ({down: whole, up: ones[1]}, "1 tensor of whole numbers .*lora_down.*expected floating point"),
        ({down: ones[0] * float("nan"), up: ones[1]}, "1 weight with infinity or not-a-number"),
        ({down: ones[0], up: ones[1], f"{layer}.alpha": torch.tensor(float("inf"))}, "not-a-number .*alpha"),
    ):
        save_file(wrong, other)
        with pytest.raises(ModelLoadError, match=expected):
            load(other)
    for name, kind in (("a.hada_w1_a", "another kind"), ("lora_unet_a.dora_scale", "another kind")):
        save_file({name: torch.ones(2, 2)}, other)
        with pytest.raises(UnsupportedPipelineError, match=kind):
            load(other)
    save_file({"weight": torch.ones(2, 2)}, other)
    with pytest.raises(ModelLoadError, match="holds no LoRA, but such as weight"):
        load(other)
    pickled = tmp_path / "a.pt"
    torch.save({}, pickled)
    with pytest.raises(ModelLoadError, match="may be pickled"):
        load(pickled)
    with pytest.raises(ModelNotFoundError, match="there is no file"):
        load(tmp_path / "none.safetensors")
    for weight in (float("nan"), 1e5, -101.0):
        with pytest.raises(SettingError, match="expected a finite number from -100 to 100"):
            load((files["peft"], weight))
    with pytest.raises(SettingError, match="twice"):
        load([files["peft"], files["peft"]])
