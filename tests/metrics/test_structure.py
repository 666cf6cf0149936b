import pytest
import torch
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from nulltext.metrics import Missing, pie, structure_distance
from nulltext.models.dino import Dino


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    vit = ViTModel(
        ViTConfig(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, image_size=64,
            patch_size=32, initializer_range=0.5,
        )
    )  # fmt: skip
    path = tmp_path_factory.mktemp("vit")
    vit.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def dino(folder):
    loaded = Dino.load(folder)
    assert isinstance(loaded, Dino)
    return loaded


@pytest.fixture
def pair():
    torch.manual_seed(1)
    return torch.rand(2, 1, 3, 64, 64) * 2 - 1


def by_the_paper(vit, a, b, *, peak):
    """Head by head and token by token: keys from the last layer's own input."""

    def similarities(image):
        resized = functional.interpolate((image + 1) / 2 * peak, (224, 224), mode="bilinear")
        resized = (resized - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
        states = vit(pixel_values=resized, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
        last = vit.layers[-1]
        given = last.layernorm_before(states[-2])[0]
        heads = [
            given @ last.attention.k_proj.weight[6 * head : 6 * head + 6].T
            + last.attention.k_proj.bias[6 * head : 6 * head + 6]
            for head in range(4)
        ]
        keys = torch.cat(heads, dim=1)
        assert keys.shape == (1 + 7 * 7, 24)
        return torch.tensor([[functional.cosine_similarity(k, m, dim=0) for m in keys] for k in keys])

    with torch.no_grad():
        return (similarities(a) - similarities(b)).square().mean().item()


def test_follows_the_paper(dino, pair):
    expected = by_the_paper(dino.model, *pair, peak=1)
    assert expected > 1e-4
    assert structure_distance(*pair, dino=dino) == pytest.approx(expected, rel=1e-3)


def test_as_published_with_pie_bench_the_pixels_go_to_255(dino, pair):
    expected = by_the_paper(dino.model, *pair, peak=255)
    assert pie.structure_distance(*pair, dino=dino) == pytest.approx(expected, rel=1e-3)
    assert expected != pytest.approx(structure_distance(*pair, dino=dino), rel=0.1)


def test_the_same_image_has_the_same_structure(dino, pair):
    a, b = pair
    assert structure_distance(a, a, dino=dino) == 0
    assert structure_distance(a, b, dino=dino) == pytest.approx(structure_distance(b, a, dino=dino))


def test_missing_where_dino_is(pair):
    missing = Missing("not here")
    assert structure_distance(*pair, dino=missing) is missing
    assert pie.structure_distance(*pair, dino=missing) is missing
