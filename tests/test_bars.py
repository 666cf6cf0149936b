import pytest

import nulltext
from nulltext.bars import teller
from nulltext.errors import SettingError
from nulltext.models.sizes import SizeWarning


def test_bars_of_tqdm_in_a_callbacks_place(model, source_image, capsys):
    inversion = nulltext.NullText(steps=2, inner_steps=1)(model, source_image, "a cat", "tqdm")
    nulltext.PromptSwap()(model, inversion, "a dog", on_progress="tqdm")
    shown = capsys.readouterr().err
    assert [shown.count(f"{phase}:   0%|") for phase in ("invert", "optimise", "sample")] == [1, 1, 1], (
        "one bar a phase"
    )
    for phase in ("invert: 100%", "optimise: 100%", "loss=", "sample: 100%", "2/2"):
        assert phase in shown


def test_bars_of_many_images(model, source_image, capsys):
    images = [(source_image, "a cat"), (source_image, "a dog")]
    assert len(list(nulltext.invert_many(model, nulltext.DDIM(steps=2), images, on_progress="tqdm"))) == 2
    shown = capsys.readouterr().err
    assert "image 1: invert" in shown
    assert "image 2: invert" in shown


def test_another_word_is_refused():
    with pytest.raises(SettingError, match="expected a function of an event, or 'tqdm'"):
        teller("bar")  # pyright: ignore[reportArgumentType]  that is what is tested


def test_a_size_far_from_the_models_own_is_warned_of(model, image):
    with pytest.warns(SizeWarning, match="about 64 x 64 pixels, and of 128 x 128 it repeats"):
        nulltext.open_image(image, model, size=(128, 128))
    with pytest.warns(SizeWarning, match="no side above 2.5 times"):
        nulltext.open_image(image, model, size=(32, 128))
    nulltext.open_image(image, model, size=(48, 80))
