"""Every number that a user gives is a finite one in range, whichever setting it is for: found, not listed."""

import collections.abc
import dataclasses
import inspect
import json
import math
import types
from fractions import Fraction
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import pytest
import torch

import nulltext
from nulltext.checks import Range, check_finite, checked
from nulltext.errors import DivergedError, ImageError, SettingError, shown

NEVER = (math.nan, -math.inf, math.inf)
NO_NUMBER = {
    float: (*NEVER, True, "0.5", b"1", [0.5], 10**5000, Fraction(10**400), torch.tensor(0.5), 1j),
    int: (*NEVER, 1.5, 2.0, True, "1", [1], 2**64, 10**5000, torch.tensor(1)),
}
"""By what is asked for; what is of another type is no number either."""
OUT_OF_RANGE = {float: NEVER, int: (-1, 2**64, 10**5000)}
"""For functions, around which the tests have a checker of types that users have not."""

ALLOWED = {
    ("Scores", "vae_psnr", math.inf): "the PSNR of two images that are the same",
    ("Scores", "psnr", math.inf): "the PSNR of two images that are the same",
}
"""What looks wrong and is right, and why."""

EXPECTED = {
    "Progress": "what the core tells a callback: nobody gives it, and the loss of what diverges is not-a-number",
    "Inversion": "built below, from a real one",
    "Inverter": "abstract: what the methods have in common",
}
"""Dataclasses left out of the walk, and why."""

LEAST: dict[str, dict[str, Any]] = {
    "DescentSchedule": {"learning_rate": 0.1, "decay": 0.0, "tolerance": 0.0, "tolerance_growth": 0.0}
}
LEAST["Scores"] = {"vae_psnr": 1.0, "psnr": 1.0}
LEAST["Blend"] = {"source": "cat"}
"""What a dataclass cannot do without."""


def build(kind, **given):
    """An instance, past the checker of types that the tests have around every constructor: users have none."""
    made = object.__new__(kind)
    inspect.unwrap(kind.__init__)(made, **given)
    return made


def beyond(limits):
    """Values outside a range."""
    yield from (end - 1 for end in (limits.least, limits.above) if end > -math.inf)
    yield from (end + 1 for end in (limits.most, limits.below) if end < math.inf)


def bad_values(annotation, numbers):
    """Values of which none is what an annotation means, by the numbers in it, at whatever depth."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from bad_values(inner[0], numbers)
        yield from (bad for note in inner[1:] if isinstance(note, Range) for bad in beyond(note))
    elif annotation in numbers:
        yield from numbers[annotation]
    elif origin in (Union, types.UnionType):
        for each in inner:
            yield from bad_values(each, numbers)
    elif origin is tuple and inner[-1] is not Ellipsis:
        for index, each in enumerate(inner):
            good = [1 for _ in inner]
            for bad in bad_values(each, numbers):
                yield (*good[:index], bad, *good[index + 1 :])
    elif origin is collections.abc.Mapping and inner[0] is str:
        yield from ({"cat": bad} for bad in bad_values(inner[1], numbers))


def settings():
    for name in nulltext.__all__:
        kind = getattr(nulltext, name)
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and name not in EXPECTED:
            for field in dataclasses.fields(kind):
                bad = list(bad_values(field.type, NO_NUMBER))
                if bad:
                    yield pytest.param(kind, field.name, bad, id=f"{name}.{field.name}")


SETTINGS = list(settings())


def test_the_walk_finds_what_there_is():
    found = {param.id for param in SETTINGS}
    assert {"DDIM.guidance", "NullText.inner_steps", "Text2LIVE.sparsity", "Blend.threshold"} <= found
    assert {
        "PromptToPrompt.cross_attention",
        "PromptToPrompt.reweight",
        "FromNoise.seed",
        "FixedPoint.tolerance",
    } <= found
    assert EXPECTED.keys() <= set(nulltext.__all__)


@pytest.mark.parametrize(("kind", "field", "bad"), SETTINGS)
def test_what_is_no_number_is_no_setting(kind, field, bad):
    name, least = kind.__name__, LEAST.get(kind.__name__, {})
    build(kind, **least)
    for value in bad:
        if isinstance(value, float) and (name, field, value) in ALLOWED:
            build(kind, **{**least, field: value})
            continue
        with pytest.raises(SettingError) as caught:
            build(kind, **{**least, field: value})
        assert field in str(caught.value)
        assert len(str(caught.value)) < 250


def functions():
    for name in nulltext.__all__:
        function = inspect.unwrap(getattr(nulltext, name))
        if inspect.isfunction(function):
            for parameter in inspect.signature(function).parameters.values():
                bad = list(bad_values(parameter.annotation, OUT_OF_RANGE))
                if bad and parameter.name != "lora":  # files with their weights, which are checked when they are read
                    yield pytest.param(function, parameter.name, bad, id=f"{name}({parameter.name})")


FUNCTIONS = list(functions())


def test_the_walk_finds_functions():
    assert {"generate(guidance)", "generate(seed)", "generate(size)", "open_image(size)"} <= {
        param.id for param in FUNCTIONS
    }
    assert {"reconstruct(guidance)", "invert_many(at_once)", "edit_many(at_once)"} <= {param.id for param in FUNCTIONS}


@pytest.mark.parametrize(("function", "parameter", "bad"), FUNCTIONS)
def test_what_is_no_number_is_no_argument(function, parameter, bad, model, image, inversion):
    given = {
        "model": model,
        "prompt": "a cat",
        "source": image,
        "inversion": inversion,
        "inverter": nulltext.DDIM(steps=1),
        "images": [],
        "jobs": [],
    }
    names = [each for each in inspect.signature(function).parameters if each in given]
    for value in bad:
        with pytest.raises(SettingError):
            function(**{each: given[each] for each in names}, **{parameter: value})


@pytest.fixture(scope="module")
def inversion(model, image):
    return nulltext.DDIM(steps=1)(model, nulltext.open_image(image, model), "a cat")


@pytest.mark.parametrize("bad", NEVER)
def test_no_tensor_with_such_a_number_is_taken(bad, inversion, image, model):
    source_image = nulltext.open_image(image, model)
    pixels, pivot = source_image.pixels.clone(), inversion.pivot.clone()
    pixels[0, 0, 0, 0] = pivot[0, 0, 0, 0] = bad
    with pytest.raises(ImageError, match="not-a-number"):
        dataclasses.replace(source_image, pixels=pixels)
    with pytest.raises(DivergedError):
        nulltext.to_image(pixels)
    with pytest.raises(SettingError, match="pivot"):
        dataclasses.replace(inversion, pivot=pivot)
    with pytest.raises(SettingError, match="guidance"):
        dataclasses.replace(inversion, guidance=bad)
    with pytest.raises(DivergedError):
        inversion.frame.restore_mask(torch.full((1, 1, 64, 64), bad))
    with pytest.raises(DivergedError, match="image"):
        model.decode(torch.full((1, 4, 8, 8), bad))


def test_numbers_of_numpy_are_numbers_and_can_be_kept():
    method = build(nulltext.NullText, steps=np.int64(3), guidance=np.float32(2.5), inner_steps=np.int8(2))
    edit = build(
        nulltext.PromptToPrompt,
        cross_attention={"cat": np.float32(0.5)},
        self_attention=(np.float64(0), np.float16(0.5)),
        reweight={"cat": np.float32(2)},
    )
    assert json.loads(json.dumps([method.steps, method.guidance, method.inner_steps])) == [3, 2.5, 2]
    assert json.loads(json.dumps([edit.cross_attention, edit.self_attention, edit.reweight])) == [
        {"cat": 0.5},
        [0, 0.5],
        {"cat": 2},
    ]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Range(), "expected a finite number."),
        (Range(least=1), "of at least 1."),
        (Range(above=0), "above 0."),
        (Range(least=0, most=1), "from 0 to 1."),
        (Range(above=0, most=1), "above 0 to 1."),
        (Range(least=0, below=1), "from 0 to below 1."),
        (Range(most=3), "of at most 3."),
    ],
)
def test_a_message_says_what_was_expected(limits, text):
    with pytest.raises(SettingError) as caught:
        checked("share", math.nan, Annotated[float, limits])
    assert str(caught.value).startswith("got share=nan; ")
    assert str(caught.value).endswith(text)
    maybe = Annotated[float, limits] | None  # pyright: ignore[reportOperatorIssue]  a type made while it runs
    assert checked("share", None, maybe) is None


def test_what_a_message_shows_is_short():
    assert shown("x" * 10**7) == f"'{'x' * 80}…' (10000000 characters)"
    assert shown(10**5000) == "a number of 16610 bits"
    assert shown("a\nb\udce9") == r"'a\nb\udce9'"
    check_finite("image", torch.zeros(2))
