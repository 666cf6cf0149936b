import dataclasses

import pytest
from PIL import Image

from nulltext.errors import (
    ImageDecodeError,
    ImageTooLargeError,
    PromptTooLongError,
    SettingError,
    UploadTooLargeError,
)
from nulltext.web.limits import Limits

SMALL = Limits(upload_bytes=1000, pixels=200, side=50, characters=10, steps=5, inner_steps=3)


def test_up_to_the_bound_all_is_well(encode):
    SMALL.check_upload(1000)
    SMALL.check_size(50, 4)
    SMALL.check_size(4, 50)
    SMALL.check_prompt("a" * 10)
    SMALL.check_steps(5, 3)
    SMALL.check_steps(1, 1)
    SMALL.check_image(encode(Image.new("L", (20, 10)), "PNG"))


@pytest.mark.parametrize(
    ("ask", "error", "named"),
    [
        (lambda: SMALL.check_upload(1001), UploadTooLargeError, "at most 0.00095"),
        (lambda: SMALL.check_size(51, 1), ImageTooLargeError, "51 x 1; expected at most 50 on a side"),
        (lambda: SMALL.check_size(1, 51), ImageTooLargeError, "1 x 51"),
        (lambda: SMALL.check_size(15, 14), ImageTooLargeError, "0.0002 million"),
        (lambda: SMALL.check_prompt("a" * 11), PromptTooLongError, "11 characters; expected at most 10"),
        (lambda: SMALL.check_steps(6, 1), SettingError, "6 steps; expected 1 to 5"),
        (lambda: SMALL.check_steps(0, 1), SettingError, "0 steps"),
        (lambda: SMALL.check_steps(-1, 1), SettingError, "-1 steps"),
        (lambda: SMALL.check_steps(1, 4), SettingError, "4 optimiser steps"),
        (lambda: SMALL.check_steps(1, 0), SettingError, "0 optimiser steps"),
        (lambda: SMALL.check_image(b"\0" * 1001), UploadTooLargeError, "MB"),
        (lambda: SMALL.check_image(b"\0" * 1000), ImageDecodeError, "not an image"),
    ],
)
def test_beyond_it_a_sentence(ask, error, named):
    with pytest.raises(error, match=named):
        ask()


def test_an_image_is_not_decoded_to_be_refused(encode):
    data = encode(Image.new("L", (60, 60)), "PNG")
    with pytest.raises(ImageTooLargeError):
        SMALL.check_image(data[:60])  # the header alone


def test_a_drawing_is_handed_to_no_other_program(encode):
    with pytest.raises(ImageDecodeError, match="EPS/PostScript"):
        Limits().check_image(encode(Image.new("RGB", (10, 10)), "EPS"))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_every_bound_is_more_than_nothing(name, value):
    with pytest.raises(SettingError, match=f"{name}=.*more than 0"):
        Limits(**{name: value})
