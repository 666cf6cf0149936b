"""The judges: a small classifier, trained on renders, that says what an image of one thing shows.

Every figure on edits and generated images of the embedded model rests on it, so it ships beside the checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.nn import functional

from nulltext.files import write_file
from nulltext.models import embedded
from nulltext.models.weights import checksum
from nulltext.scenes.world import COLORS, FINISHES, GROUNDS, PATTERNS, SHAPES, STYLES, TIMES, Scene

HEADS: Final[dict[str, tuple[str, ...]]] = {
    "shape": SHAPES,
    "color": COLORS,
    "pattern": PATTERNS,
    "finish": FINISHES,
    "ground": GROUNDS,
    "time": TIMES,
    "style": STYLES,
}
SIDE: Final = 128


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(h)))


class JudgesNetwork(nn.Module):
    """A residual network on 128x128 images, 1.2 M parameters, with one linear head for every kind of word."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 8, stride=4, padding=2),
            _Block(32),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            _Block(64),
            _Block(64),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            _Block(128),
            _Block(128),
            nn.GroupNorm(8, 128),
            nn.SiLU(),
        )
        self.heads = nn.ModuleDict({head: nn.Linear(256, len(words)) for head, words in HEADS.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Logits of every head, [n, words], for pixels [n, 3, 128, 128] in [-1, 1]."""
        features = self.body(pixels)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return {head: layer(pooled) for head, layer in self.heads.items()}


class Judges:
    """What an image shows, in the world's words."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a trained `JudgesNetwork`."""
        self._digest = ""
        self.network = network.eval().requires_grad_(requires_grad=False)

    def __repr__(self) -> str:
        """Which judges they are, for the records of runs: by their weights."""
        self._digest = self._digest or checksum(self.network)
        return f"Judges({self._digest})"

    @staticmethod
    def load(path: Path = embedded.JUDGES) -> Judges:
        """The judges that ship with the embedded checkpoint, or those of another file."""
        network = JudgesNetwork()
        network.load_state_dict({name: weight.float() for name, weight in safetensors.load_file(path).items()})
        return Judges(network)

    def save(self, path: Path) -> None:
        """Write the weights in fp16; a file already there is replaced."""
        weights = {name: w.half().contiguous() for name, w in self.network.state_dict().items()}
        write_file(path, safetensors.save(weights, metadata={"format": "pt"}), overwrite=True)

    @torch.no_grad()
    def read(self, pixels: Tensor, batch: int = 64) -> list[dict[str, str]]:
        """Name what images of one thing show, from each image and its mirror image, which no word tells apart.

        Args:
            pixels: [n, 3, height, width] in [-1, 1]; scaled to 128x128 where they are not.
            batch: Images at a time.

        Returns:
            For every image a word for every kind in `HEADS`.
        """
        answers: list[dict[str, str]] = []
        fitted = pixels.float()
        if fitted.shape[-2:] != (SIDE, SIDE):
            fitted = functional.interpolate(fitted, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        for start in range(0, len(fitted), batch):
            chunk = fitted[start : start + batch]
            plain, mirrored = self.network(chunk), self.network(chunk.flip(-1))
            best = {head: (plain[head] + mirrored[head]).argmax(1).tolist() for head in HEADS}
            answers += [{head: HEADS[head][best[head][i]] for head in HEADS} for i in range(len(chunk))]
        return answers


def words_of(scene: Scene) -> dict[str, str]:
    """What the judges should say of a scene of one thing."""
    thing = scene.things[0]
    return {
        "shape": thing.shape,
        "color": thing.color,
        "pattern": thing.pattern,
        "finish": thing.finish,
        "ground": scene.ground,
        "time": scene.time,
        "style": scene.style,
    }
