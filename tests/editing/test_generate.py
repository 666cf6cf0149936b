import pytest
import torch

from nulltext import generate
from nulltext.errors import EmptyPromptError, SettingError


def test_one_and_several(model):
    assert generate(model, "a cat", steps=2).shape == (1, 3, 64, 64)
    assert generate(model, ["a cat", "a dog"], steps=2).shape == (2, 3, 64, 64)


def test_an_image_depends_on_its_own_seed_alone(model):
    single = generate(model, "a dog", steps=3, seed=8)
    beside = generate(model, ["a cat", "a dog"], steps=3, seed=7)
    stated = generate(model, ["a dog", "a cat"], steps=3, seed=[8, 1])
    torch.testing.assert_close(beside[1:], single, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(stated[:1], single, rtol=1e-3, atol=1e-3)
    assert torch.equal(single, generate(model, "a dog", steps=3, seed=8))
    assert not torch.allclose(single, generate(model, "a dog", steps=3, seed=9))


def test_leaves_the_global_generator_alone(model):
    before = torch.get_rng_state()
    generate(model, "a dog", steps=2)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("size", "made"), [((48, 80), (48, 80)), ((50, 77), (48, 80)), ((8, 9), (8, 8))])
def test_sizes(model, size, made):
    assert generate(model, "a cat", steps=1, size=size).shape[2:] == made


def test_bad_input(model):
    with pytest.raises(EmptyPromptError):
        generate(model, "")
    with pytest.raises(SettingError, match="3 seeds for 2 prompts"):
        generate(model, ["a cat", "a dog"], seed=[1, 2, 3])
    with pytest.raises(SettingError, match="got size=1; expected a whole number of at least 8"):
        generate(model, "a cat", size=(1, 64))
    with pytest.raises(SettingError, match="steps=0"):
        generate(model, "a cat", steps=0)
    with pytest.raises(SettingError, match="size"):
        generate(model, "a cat", size=(0, 8))


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_a_generated_image_is_edited_like_an_image(any_model, tmp_path):
    from nulltext import Inversion, PromptToPrompt, generate_inversion, reconstruct

    inversion = generate_inversion(any_model, "a red cat", steps=4, guidance=5.0, seed=3, size=(64, 40))
    plain = generate(any_model, "a red cat", steps=4, guidance=5.0, seed=3, size=(64, 40))
    torch.testing.assert_close(reconstruct(any_model, inversion), plain, rtol=0, atol=2e-4)
    inversion.save(tmp_path / "cat.safetensors")
    again = Inversion.load(tmp_path / "cat.safetensors")
    assert (again.method, again.settings["seed"], again.frame.size) == ("generate", 3, (64, 40))
    edit = PromptToPrompt()(any_model, again, "a red dog")
    torch.testing.assert_close(edit.source, plain, rtol=0, atol=2e-4)
    assert (edit.pixels - edit.source).abs().max() > 1e-3
    assert edit.image.size == (40, 64)
