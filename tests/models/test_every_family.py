"""What holds for every family of models; what is a family's own is in its own file, and in its row of `FAMILIES`."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from tests.models.tiny.families import FAMILIES, PROMPT, TARGET

import nulltext
from nulltext.diffusion.sharing import descend
from nulltext.errors import NulltextError

EACH = pytest.mark.parametrize("name", FAMILIES)
pytestmark = pytest.mark.filterwarnings("ignore:the model was made for images")  # the tiny ones, of less pixels


def those(holds):
    """The families of whose rows something holds."""
    return pytest.mark.parametrize("name", [name for name, row in FAMILIES.items() if holds(row)])


@EACH
def test_rows_of_a_batch_do_not_see_each_other(tiny, name):
    family = tiny(name)
    told, x, times = family.told(family.model, PROMPT, "a dog"), family.noise(0, batch=2), torch.tensor([900.0, 100.0])
    both = family.model.predict(x, times, told)
    for row in range(2):
        own = slice(row, row + 1)
        alone = family.model.predict(x[own], times[row].item(), told[own])
        torch.testing.assert_close(both[own], alone, rtol=0, atol=1e-5)


@EACH
def test_direct_inversion_is_exact(tiny, name):
    family = tiny(name)
    back = nulltext.replay(family.model, family.direct)
    exact = family.model.encode(family.source.pixels)
    torch.testing.assert_close(back, exact, rtol=0, atol=family.row.exact)
    assert family.direct.scores.psnr == family.direct.scores.vae_psnr


@those(lambda row: row.there_and_back)
def test_the_fixed_point_leads_there_and_back(tiny, name):
    family = tiny(name)
    (steps, guidance, iterations), z0 = family.row.there_and_back, family.model.encode(family.source.pixels)

    def off(**settings):
        inversion = nulltext.DDIM(steps=steps, guidance=guidance, **settings)(family.model, family.source, PROMPT)
        return (nulltext.replay(family.model, inversion) - z0).abs().max().item()

    solved = off(fixed_point=nulltext.FixedPoint(iterations=iterations))
    assert solved < 1e-4
    assert off() > 10 * solved


@those(lambda row: row.kept)
def test_a_file_is_edited_by_a_model_loaded_anew(tiny, name, tmp_path):
    family = tiny(name)
    inversion = family.row.kept(family.model, family.source, PROMPT)
    back = nulltext.Inversion.load(inversion.save(tmp_path / "ball.safetensors"))
    anew: Any = nulltext.load(family.folder, device="cpu", **family.row.again or {})
    assert anew.identity == family.model.identity
    edit, again = (family.row.edited(own, kept, TARGET) for own, kept in ((family.model, inversion), (anew, back)))
    torch.testing.assert_close(again.pixels, edit.pixels, rtol=0, atol=family.row.near)
    torch.testing.assert_close(again.source, nulltext.reconstruct(family.model, inversion), rtol=0, atol=5e-4)
    assert (edit.pixels - edit.source).abs().max() > 1e-3


@those(lambda row: row.words)
def test_the_same_prompt_gives_the_source_itself(tiny, name):
    family = tiny(name)
    loose = replace(family.direct, replay=replace(family.direct.replay, corrected="nobody"))
    same = nulltext.PromptToPrompt(cross_attention=1.0, self_attention=1.0)(family.model, loose, PROMPT)
    torch.testing.assert_close(same.pixels, same.source, rtol=0, atol=0)


@those(lambda row: row.together)
def test_images_of_several_sizes_are_inverted_together(tiny, name, image):
    family = tiny(name)
    other = nulltext.open_image(image, family.model, size=family.row.beside)
    jobs = [(family.source, PROMPT), (other, TARGET)]
    for index, inversion in nulltext.invert_many(family.model, family.row.together, jobs):
        alone = family.row.together(family.model, *jobs[index])
        torch.testing.assert_close(inversion.pivot, alone.pivot, rtol=0, atol=family.row.alone)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@those(lambda row: row.halves)
def test_half_precision_and_low_memory(tiny, name, dtype):
    family = tiny(name)
    half: Any = nulltext.load(family.folder, device="cpu", dtype=dtype, low_memory=True)
    x = family.noise(0)
    exact, near = ((each.null(), family.told(each, PROMPT)) for each in (family.model, half))
    for of_model, told in zip(exact, near, strict=True):
        error, gradient = descend(half, x, 500.0, told, lambda output: output.square().mean())
        assert error.isfinite()
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
        expected = family.model.predict(x, 500.0, of_model)
        assert (half.predict(x, 500.0, told) - expected).norm() < 0.03 * expected.norm()
    assert half.decode(x).isfinite().all()


@pytest.fixture(scope="module")
def made_for_another(tmp_path_factory):
    """A file of each thing that can be added, made for a family that does not exist."""
    folder = tmp_path_factory.mktemp("added")
    kind: dict[str, Any] = {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
    AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=5, **kind).save_pretrained(folder / "vae")
    pair = {"lora_A.weight": torch.ones(2, 3), "lora_B.weight": torch.ones(5, 2)}
    for network in ("unet", "transformer"):
        layers = {f"{network}.mid_block.attentions.0.to_q.{name}": each for name, each in pair.items()}
        save_file(layers, folder / f"{network}.safetensors")
    save_file({"emb_params": torch.ones(1, 7)}, folder / "word.safetensors")
    return {
        "a vae": {"vae": folder / "vae"},
        "a LoRA of a UNet": {"lora": folder / "unet.safetensors"},
        "a LoRA of a transformer": {"lora": folder / "transformer.safetensors"},
        "a word": {"embedding": folder / "word.safetensors"},
    }


_WITH_OWN_TESTS = ("stable diffusion", "flux")


@pytest.mark.parametrize(
    ("name", "added"),
    [
        (name, added)
        for name in FAMILIES
        for added in ("a vae", "a LoRA of a UNet", "a LoRA of a transformer", "a word")
        if added == "a vae" or not name.startswith(_WITH_OWN_TESTS)
    ],
)
def test_what_was_made_for_another_family_is_refused_in_a_sentence(tiny, name, made_for_another, added):
    with pytest.raises(NulltextError, match=r"expected|holds no|has no"):
        nulltext.load(tiny(name).folder, device="cpu", **made_for_another[added])
