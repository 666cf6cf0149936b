import shutil

import pytest
import torch
from diffusers import VQModel

from nulltext.errors import ModelLoadError, ModelNotFoundError, SettingError
from nulltext.models.gradients import clamp
from nulltext.models.vq import VQAutoencoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vq")
    VQModel(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        num_vq_embeddings=32,
        norm_num_groups=4,
    ).save_pretrained(folder)
    return folder


def test_decodes_the_nearest_codes(folder):
    vq = VQAutoencoder.load(folder)
    latents = torch.randn(1, 4, 5, 6, generator=torch.Generator().manual_seed(1)) * 0.05
    codes = vq.network.quantize.embedding.weight
    cells = latents.permute(0, 2, 3, 1).reshape(-1, 4)
    nearest = codes[torch.cdist(cells, codes).argmin(1)].reshape(1, 5, 6, 4).permute(0, 3, 1, 2)
    expected = vq.network.decode(nearest, force_not_quantize=True).sample.clamp(-1, 1)
    torch.testing.assert_close(vq.decode(latents), expected)
    assert not torch.allclose(vq.decode(latents), vq.network.decode(latents, force_not_quantize=True).sample)


def test_gradients_pass_straight_through_the_quantisation(folder):
    vq = VQAutoencoder.load(folder)
    latents = torch.zeros(1, 4, 5, 6, requires_grad=True)
    weight = torch.randn(1, 3, 10, 12, generator=torch.Generator().manual_seed(1))
    (vq.decode(latents) * weight).sum().backward()
    code = vq.network.quantize(latents.detach())[0].requires_grad_()
    (clamp(vq.network.decode(code, force_not_quantize=True).sample, -1.0, 1.0) * weight).sum().backward()
    torch.testing.assert_close(latents.grad, code.grad)
    assert (latents.grad != 0).all()
    assert all(p.grad is None for p in vq.network.parameters())


def test_encodes_without_quantising(folder):
    vq = VQAutoencoder.load(folder)
    pixels = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = vq.encode(pixels)
    assert latents.shape == (1, 4, 4, 6)
    assert not latents.requires_grad
    torch.testing.assert_close(vq.decode(latents), vq.network(pixels).sample.clamp(-1, 1).detach())


def test_a_size_it_cannot_take(folder):
    with pytest.raises(SettingError, match="12 x 9; this VQModel takes multiples of 2"):
        VQAutoencoder.load(folder).encode(torch.zeros(1, 3, 9, 12))


@pytest.mark.parametrize("name", ["vqvae", "vq_model"])
def test_beside_a_checkpoints_other_parts(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / name)
    found = VQAutoencoder.beside(tmp_path, device=torch.device("cpu"))
    assert found is not None
    weights = VQAutoencoder.load(folder).network.state_dict()
    assert all(torch.equal(weight, weights[key]) for key, weight in found.network.state_dict().items())


def test_folders_without_one(tmp_path):
    with pytest.raises(ModelNotFoundError, match="holds no VQModel"):
        VQAutoencoder.load(tmp_path)
    assert VQAutoencoder.beside(tmp_path, device=torch.device("cpu")) is None
    (tmp_path / "vqvae").mkdir()
    (tmp_path / "vqvae" / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    assert VQAutoencoder.beside(tmp_path, device=torch.device("cpu")) is None
    (tmp_path / "vqvae" / "config.json").write_text('{"_class_name": "VQModel"}')
    with pytest.raises(ModelLoadError, match="incomplete: it has no weights"):
        VQAutoencoder.beside(tmp_path, device=torch.device("cpu"))
