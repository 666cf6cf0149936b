"""Scenes held out from training, the edits of them whose right answer can be rendered, and a few real photographs."""

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from jaxtyping import Bool
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nulltext.bench.case import Case, Entry
from nulltext.bench.extras import extra
from nulltext.errors import SettingError
from nulltext.images import SourceImage, open_image, to_image
from nulltext.judges import words_of
from nulltext.models.base import Model
from nulltext.models.sizes import SizeWarning
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene
from nulltext.types import OnePixels

KINDS: Mapping[str, tuple[str, ...]] = {
    "color": ("color",),
    "shape": ("shape",),
    "surface": ("pattern", "finish"),
    "ground": ("ground",),
    "time": ("time",),
}
"""What is edited, and which words of a scene that is."""
LOCAL = ("color", "shape", "surface")
"""Kinds of edits that change a thing, and leave what is around it but for a shadow."""
EDITED, TUNED = 10_000, 20_000
"""The first held-out seeds of scenes that edits are measured on, and of those that settings are chosen by."""
CHANGED = 0.04
"""A pixel changes if a channel differs by more than this, of a range of 2."""
PHOTOGRAPHS = {
    "astronaut": "a photo of an orange snowman",
    "chelsea": "a photo of an orange striped ball",
    "coffee": "a photo of a white mug on wood",
    "rocket": "a photo of a white cylinder at dawn",
}
"""Photographs of scikit-image, in such words as the embedded model knows."""


@final
@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """One edit whose answer is known.

    Attributes:
        kind: One of `KINDS`.
        before: The scene that is inverted.
        after: The scene with one word changed.
        caption: Of `after`.
        outside: [H, W] where the two images do not differ.
        truth: [1, 3, H, W] in [-1, 1] the image of `after`.
    """

    kind: str
    before: Scene
    after: Scene
    prompt: str
    outside: Bool[Tensor, "height width"]
    truth: OnePixels

    @property
    def words(self) -> Mapping[str, str]:
        """The words of `after` that `before` lacks, by their kind."""
        old, new = words_of(self.before), words_of(self.after)
        return {head: word for head, word in new.items() if word != old[head]}

    @property
    def blend(self) -> tuple[tuple[str], tuple[str]] | None:
        """What a user would name to keep the edit local: the thing that changes, before and after; None elsewhere."""
        things = (self.before.things[0].shape,), (self.after.things[0].shape,)
        return things if self.kind in LOCAL else None


def ground_truth(
    scene: Scene, seed: int, *, height: int, width: int, kinds: Mapping[str, tuple[str, ...]] = KINDS
) -> list[GroundTruth]:
    """One edit of every kind of a scene of one thing; which word it becomes is random by the seed."""
    draw = random.Random(seed)  # noqa: S311  a choice of words, not a secret
    edits = list(one_word_edits(scene))
    chosen = [(name, draw.choice([after for kind, after in edits if kind in of])) for name, of in kinds.items()]
    before, *images = render([scene, *(after for _, after in chosen)], height=height, width=width).pixels
    return [
        GroundTruth(
            kind=kind,
            before=scene,
            after=after,
            prompt=caption(after),
            outside=unchanged(before[None], truth[None]),
            truth=truth[None],
        )
        for (kind, after), truth in zip(chosen, images, strict=True)
    ]


def unchanged(before: OnePixels, after: OnePixels) -> Bool[Tensor, "height width"]:
    """Where two images in [-1, 1] are alike, less a border of two pixels, which belongs to the change."""
    changed = ((before - after).abs().amax(1, keepdim=True) > CHANGED).float()
    return F.max_pool2d(changed, 5, 1, 2)[0, 0] == 0


def scene_cases(
    scenes: int,
    *,
    first: int = EDITED,
    size: tuple[int, int] = (128, 128),
    exact: bool = False,
    kinds: Mapping[str, tuple[str, ...]] = KINDS,
) -> list[Case]:
    """Held-out scenes of one thing, each with one edit of every kind, and how each should end.

    Args:
        scenes: How many scenes; each makes a case of every kind, one after another, which share the very same image.
        first: The first held-out seed; a case's own seed is that of its scene.
        size: (height, width) of the images in pixels, a model's `default_size`.
        exact: Whether the true images are what the renderer drew, or that in 8 bits, as a file would have it.
        kinds: What is edited, and which words of a scene that is.

    Raises:
        SettingError: There are no such scenes.
    """
    if scenes < 1 or not 0 <= first <= first + scenes <= len(HELD_OUT_SEEDS):
        raise SettingError(
            f"got {scenes} scenes from seed {first}; expected at least one, and seeds from 0 to "
            f"{len(HELD_OUT_SEEDS) - 1}."
        )
    height, width = size
    cases: list[Case] = []
    for seed in range(first, first + scenes):
        scene = sample_scene(HELD_OUT_SEEDS[seed], things=1)
        image = to_image(render([scene], height=height, width=width).pixels)
        cases += [
            Case(
                name=f"scene-{seed}-{edit.kind}",
                kind=edit.kind,
                image=image,
                source=caption(scene),
                target=edit.prompt,
                changed=Image.fromarray((~edit.outside).byte().mul(255).numpy()),
                blend=edit.blend,
                truth=edit.truth if exact else to_image(edit.truth),
                words=edit.words,
                seed=seed,
            )
            for edit in ground_truth(scene, seed, height=height, width=width, kinds=kinds)
        ]
    return cases


def kinds_in_turn(cases: Sequence[Entry]) -> list[Entry]:
    """Of `scene_cases` one edit a scene: the first kind of the first, the second of the second, and so on."""
    kinds = len(KINDS)
    return [cases[scene * kinds + scene % kinds] for scene in range(len(cases) // kinds)]


def reconstruction_cases(scenes: int, images: int, *, size: tuple[int, int]) -> list[Case]:
    """Held-out scenes of one to three things and real photographs, with nothing to be edited; kinds say which is which.

    Raises:
        SettingError: scikit-image, which holds the photographs, is not installed.
    """
    height, width = size
    found = {
        f"scene-{seed}": (to_image(render([scene], height=height, width=width).pixels), caption(scene), "scenes")
        for seed, scene in enumerate(held_out_scenes(scenes))
    }
    found |= {name: (image, prompt, "photographs") for name, image, prompt in _images()[:images]}
    return [
        Case(name=name, kind=kind, image=image, source=prompt, target=prompt)
        for name, (image, prompt, kind) in found.items()
    ]


def held_out_scenes(count: int) -> list[Scene]:
    """The first scenes that no training image is made from, the same ones on every machine."""
    return [sample_scene(HELD_OUT_SEEDS[index]) for index in range(count)]


def scene_image(scene: Scene, model: Model, *, size: tuple[int, int] | None = None) -> tuple[SourceImage, str]:
    """A scene as a photograph, through 8 bits as a file would be, and its caption; of the model's size by default."""
    height, width = size or model.default_size
    image = to_image(render([scene], height=height, width=width).pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SizeWarning)  # who asks for a size here measures what it costs
        return open_image(image, model, size=(height, width)), caption(scene)


def photographs(model: Model) -> list[tuple[SourceImage, str]]:
    """The photographs, cropped to the model's size, with their prompts.

    Raises:
        SettingError: scikit-image is not installed.
    """
    return [(open_image(image, model), prompt) for _, image, prompt in _images()]


def _images() -> list[tuple[str, Image.Image, str]]:
    data = extra("skimage.data")
    return [(name, Image.fromarray(getattr(data, name)()), prompt) for name, prompt in PHOTOGRAPHS.items()]
