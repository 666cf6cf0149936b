"""LPIPS: how far apart two images look to a network trained on photographs."""

import hashlib
from functools import cache
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Final, Literal, final

import torch
from torch import nn

from nulltext.metrics.masks import NO_PIXEL, Counted, black_elsewhere
from nulltext.metrics.missing import Missing
from nulltext.types import OnePixels

Network = Literal["alex", "vgg", "squeeze"]
"""The network behind it: AlexNet, VGG-16 or SqueezeNet 1.1."""

_WEIGHTS: Final[dict[Network, tuple[str, str]]] = {
    "alex": ("alexnet", "AlexNet_Weights"),
    "vgg": ("vgg16", "VGG16_Weights"),
    "squeeze": ("squeezenet1_1", "SqueezeNet1_1_Weights"),
}
"""What torchvision calls each network and its weights."""


def lpips(a: OnePixels, b: OnePixels, mask: Counted | None = None, *, network: Network = "alex") -> float | Missing:
    """LPIPS: Zhang et al., CVPR 2018, arXiv 1801.03924, eq. 1, as in torchmetrics; from 0, lower is closer.

    ``sum_l mean_hw ||w_l * (y_l(a) - y_l(b))||²`` over the layers l of a network, their features y_l of unit length.
    Nothing is downloaded: torchvision and its weights for the network have to be there.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        mask: [H, W] the pixels that count; all of them if None. The others are black in both images, and the mean is
            still over the whole image, since a network sees no single pixels.
        network: The authors recommend AlexNet for comparing; PIE-Bench takes SqueezeNet.

    Returns:
        0 or more; missing if no pixel counts, or if torchmetrics, torchvision or the weights are not on this machine.
    """
    if mask is not None:
        if not mask.any():
            return NO_PIXEL
        a, b = black_elsewhere(a, mask), black_elsewhere(b, mask)
    judge = _load(network, weights_of(network))
    if isinstance(judge, Missing):
        return judge
    with torch.no_grad():
        return judge(a.cpu(), b.cpu()).item()


def weights_of(network: Network) -> Path | Missing:
    """Where the weights of a network are on this machine, or why LPIPS cannot be had."""
    try:
        models = import_module("torchvision.models")
        import_module("torchmetrics.image.lpip")
    except ImportError as error:
        return Missing(f"LPIPS needs {error.name}, which is not installed. Run: pip install torchmetrics torchvision.")
    name, weights = _WEIGHTS[network]
    file = Path(torch.hub.get_dir()) / "checkpoints" / getattr(models, weights).DEFAULT.url.rsplit("/", 1)[-1]
    if not file.is_file():
        return Missing(
            f"LPIPS needs the weights of {name}, which are not in {file}. With a network, run once: "
            f"python -c \"import torchvision; torchvision.models.{name}(weights='DEFAULT')\"."
        )
    return file


@final
class Lpips:
    """LPIPS by one network, which says for the records of runs by which weights."""

    def __init__(self, network: Network) -> None:
        """Names the network; what is on this machine of it is looked up when it is asked."""
        self.network: Final = network
        self._digest = ""

    def __call__(self, a: OnePixels, b: OnePixels, mask: Counted | None = None) -> float | Missing:
        """See `lpips`."""
        return lpips(a, b, mask, network=self.network)

    def __repr__(self) -> str:
        """Which LPIPS it is: by the digest of the weights, or without any."""
        if not self._digest:
            file = weights_of(self.network)
            found = b"" if isinstance(file, Missing) else file.read_bytes()
            self._digest = hashlib.sha256(found).hexdigest()[:16] if found else "missing"
        return f"Lpips({self.network}, {self._digest})"


@cache
def _load(network: Network, weights: Path | Missing) -> nn.Module | Missing:
    """The network with its linear layers, which torchmetrics ships; cached, as AlexNet alone reads 233 MB."""
    if isinstance(weights, Missing):
        return weights
    lpip = import_module("torchmetrics.image.lpip")
    try:
        return lpip.LearnedPerceptualImagePatchSimilarity(net_type=network)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        return Missing(f"the weights for LPIPS in {weights} are damaged: {error}. Delete that file and fetch it again.")
