import sys
from pathlib import Path

import pytest
import torch

from nulltext.metrics import Missing, lpips, pie


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.rand(2, 1, 3, 64, 64) * 2 - 1


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Where torchvision's weights would be: nothing is there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_missing_without_torchvision(pair, hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    answer = lpips(*pair)
    assert isinstance(answer, Missing)
    assert "pip install" in answer.reason
    assert "torchvision" in answer.reason


def test_missing_without_weights_and_nothing_is_fetched(pair, hub):
    pytest.importorskip("torchvision")
    answer = lpips(*pair)
    assert isinstance(answer, Missing)
    assert str(hub / "alexnet") in answer.reason
    assert not hub.exists()


def test_an_empty_mask_is_missing(pair, hub):
    a, b = pair
    answer = lpips(a, b, torch.zeros(64, 64, dtype=torch.bool))
    assert isinstance(answer, Missing)
    assert "mask" in answer.reason


def test_follows_the_paper(pair, hub):
    """With the real architecture and the trained linear layers, but random weights in place of the features'."""
    models = pytest.importorskip("torchvision.models")
    lpip = pytest.importorskip("torchmetrics.functional.image.lpips")
    torch.manual_seed(0)
    squeeze = models.squeezenet1_1(weights=None)
    hub.mkdir(parents=True)
    torch.save(squeeze.state_dict(), hub / models.SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[-1])
    linear = torch.load(Path(lpip.__file__).parent / "lpips_models" / "squeeze.pth", map_location="cpu")

    def features(image):
        x = image - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        x = x / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        taken = []
        for i, layer in enumerate(squeeze.features):
            x = layer(x)
            if i in {1, 4, 7, 9, 10, 11, 12}:
                taken.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
        return taken

    def distance(a, b):
        with torch.no_grad():
            layers = zip(features(a), features(b), strict=True)
            return sum(
                ((y - z).square() * linear[f"lin{i}.model.1.weight"]).sum(1).mean().item()
                for i, (y, z) in enumerate(layers)
            )

    a, b = pair
    assert distance(a, b) > 1e-3
    assert lpips(a, b, network="squeeze") == pytest.approx(distance(a, b), rel=1e-4)
    assert lpips(a, b, network="squeeze") == pytest.approx(distance(a, b), rel=1e-4), "asked again"
    assert lpips(a, a, network="squeeze") == 0
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:, :32] = True
    black = torch.full_like(a, -1)
    masked = distance(torch.where(mask, a, black), torch.where(mask, b, black))
    assert lpips(a, b, mask, network="squeeze") == pytest.approx(masked, rel=1e-4)
    assert pie.lpips(a, b, mask) == pytest.approx(masked, rel=1e-4)
