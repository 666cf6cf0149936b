"""Which of the files in a folder are loaded; that diffusers agrees is shown in test_loading."""

import pytest

from nulltext.models import weights

WHOLE = ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")


def build(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("there", "loaded", "variant"),
    [
        (["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"], [0], None),
        (["diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"], [0], None),
        (["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.non_ema.safetensors"], [0], None),
        (["diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.fp16.safetensors"], [1], "fp16"),
        (["diffusion_pytorch_model.non_ema.safetensors"], [], None),
        ([f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)], [0, 1], None),
        ([f"diffusion_pytorch_model.fp16-0000{n}-of-00002.safetensors" for n in (1, 2)], [0, 1], "fp16"),
    ],
)
def test_of_weights_that_are_there_twice_one_counts(tmp_path, there, loaded, variant):
    build(tmp_path, [*WHOLE, *(f"unet/{name}" for name in there)])
    assert weights.variant(tmp_path) == variant
    wanted = [*WHOLE, *(f"unet/{there[index]}" for index in loaded)]
    assert weights.files(tmp_path) == sorted(tmp_path / name for name in wanted)


def test_configs_come_with_the_tokenizer_and_the_word_list_and_without_weights(tmp_path):
    configs = ["unet/config.json", "tokenizer/merges.txt", "words.txt"]
    build(tmp_path, [*WHOLE, *configs, "README.md", "safety_checker/config.json"])
    assert weights.config_files(tmp_path) == sorted(tmp_path / name for name in configs)
