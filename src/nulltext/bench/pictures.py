"""The pictures that are measured on: scenes held out from training, and photographs that no recipe drew."""

from PIL import Image

from nulltext.errors import SettingError
from nulltext.models.base import Model
from nulltext.pictures import Photo, open_image, to_image
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene

PHOTOGRAPHS = {
    "astronaut": "a photo of an orange snowman",
    "chelsea": "a photo of an orange striped ball",
    "coffee": "a photo of a white mug on wood",
    "rocket": "a photo of a white cylinder at dawn",
}
"""Photographs of scikit-image, in such words as the embedded model knows."""


def held_out_scenes(count: int, first: int = 0) -> list[Scene]:
    """Scenes that no training picture is made from, the same ones on every machine."""
    return [sample_scene(HELD_OUT_SEEDS[first + index]) for index in range(count)]


def scene_photo(scene: Scene, model: Model, *, size: tuple[int, int] | None = None) -> tuple[Photo, str]:
    """A scene as a photograph, through 8 bits as a file would be, and its caption.

    Args:
        scene: The scene.
        model: The model.
        size: (height, width) in pixels; the model's own if None.
    """
    height, width = size or model.default_size
    picture = to_image(render([scene], height=height, width=width).pixels)
    return open_image(picture, model, size=(height, width)), caption(scene)


def photographs(model: Model) -> list[tuple[Photo, str]]:
    """The photographs, cropped to the model's size, with their captions.

    Raises:
        SettingError: scikit-image is not installed.
    """
    try:
        from skimage import data  # noqa: PLC0415  only who measures needs scikit-image
    except ImportError as error:
        raise SettingError(
            "the photographs are those of scikit-image, which is not installed. Run: pip install 'nulltext[bench]'."
        ) from error
    return [
        (open_image(Image.fromarray(getattr(data, name)()), model), description)
        for name, description in PHOTOGRAPHS.items()
    ]
