import math

import pytest
import torch
from torch.nn import functional

from nulltext.metrics import Missing, clip_directional_similarity, clip_image_similarity, clip_text_similarity
from nulltext.models.clip import Clip, normalized

WORDS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "yellow": (1.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}
LEFT = torch.tensor([[True, True, False, False]] * 4)


class Colors:
    """A space that is known by heart: an image's vector is its mean colour, a word's is the colour that it names."""

    def images(self, pixels):
        return functional.normalize((pixels.mean((2, 3)) + 1) / 2, dim=-1)

    def texts(self, prompts):
        return functional.normalize(torch.tensor([WORDS[prompt] for prompt in prompts]), dim=-1)


def flat(word):
    return (torch.tensor(WORDS[word])[None, :, None, None] * 2 - 1).expand(1, 3, 4, 4)


def test_similarities_are_cosines():
    assert clip_image_similarity(flat("red"), flat("red"), clip=Colors()) == pytest.approx(1)
    assert clip_image_similarity(flat("red"), flat("green"), clip=Colors()) == pytest.approx(0, abs=1e-7)
    assert clip_image_similarity(flat("red"), flat("yellow"), clip=Colors()) == pytest.approx(math.sqrt(0.5))
    assert clip_text_similarity(flat("yellow"), "yellow", clip=Colors()) == pytest.approx(1)
    assert clip_text_similarity(flat("yellow"), "green", clip=Colors()) == pytest.approx(math.sqrt(0.5))


def test_a_direction_followed_left_alone_and_turned_round():
    def direction(*given):
        return clip_directional_similarity(*given, clip=Colors())

    assert direction(flat("red"), flat("green"), "red", "green") == pytest.approx(1)
    assert direction(flat("green"), flat("red"), "red", "green") == pytest.approx(-1)
    # (0, 1, 0) - (1, 0, 0) against (0, 0, 1) - (1, 0, 0): 1 / (√2 √2)
    assert direction(flat("red"), flat("green"), "red", "blue") == pytest.approx(0.5)
    # (0, 1, 0) - (1, 0, 0) against (0, 0, 1) - (1, 1, 0) / √2: orthogonal
    assert direction(flat("red"), flat("green"), "yellow", "blue") == pytest.approx(0, abs=1e-7)


def test_without_a_direction_it_is_missing():
    same = clip_directional_similarity(flat("red"), flat("red"), "red", "green", clip=Colors())
    got = clip_directional_similarity(flat("red"), flat("green"), "red", "red", clip=Colors())
    assert isinstance(same, Missing)
    assert "images" in same.reason
    assert isinstance(got, Missing)
    assert "prompts" in got.reason


def test_only_pixels_that_count_are_seen():
    both = torch.where(LEFT, flat("red"), flat("green"))
    assert clip_text_similarity(both, "red", clip=Colors()) == pytest.approx(math.sqrt(0.5))
    assert clip_text_similarity(both, "red", LEFT, clip=Colors()) == pytest.approx(1)
    assert clip_image_similarity(both, flat("red"), LEFT, clip=Colors()) == pytest.approx(1)
    assert clip_image_similarity(both, flat("red"), ~LEFT, clip=Colors()) == pytest.approx(0, abs=1e-7)
    painted = torch.where(LEFT, flat("blue"), flat("green"))
    assert clip_directional_similarity(both, painted, "red", "blue", LEFT, clip=Colors()) == pytest.approx(1)


def test_an_empty_mask_is_missing():
    red, none = flat("red"), torch.zeros(4, 4, dtype=torch.bool)
    for figure in (
        clip_image_similarity(red, red, none, clip=Colors()),
        clip_text_similarity(red, "red", none, clip=Colors()),
        clip_directional_similarity(red, flat("green"), "red", "green", none, clip=Colors()),
    ):
        assert isinstance(figure, Missing)


@pytest.fixture(scope="module")
def clip():
    return Clip.load()


def test_agrees_with_transformers(clip):
    torch.manual_seed(0)
    images = torch.rand(2, 3, clip.side, clip.side) * 2 - 1
    prompts = ["a photo of a red ball on grass on a sunny day", "a photo of a blue cube on wood at night"]
    tokens = clip.tokenizer(prompts, padding="longest", return_tensors="pt").input_ids
    with torch.no_grad():
        answer = clip.model(input_ids=tokens, pixel_values=normalized(images))
    image_embeds, got = answer.image_embeds, answer.text_embeds
    a, b = images[:1], images[1:]
    for i in range(2):
        cosine = (answer.logits_per_image[0, i] / clip.model.logit_scale.exp()).item()
        assert clip_text_similarity(a, prompts[i], clip=clip) == pytest.approx(cosine, abs=1e-5)
    assert clip_image_similarity(a, b, clip=clip) == pytest.approx((image_embeds[0] @ image_embeds[1]).item(), abs=1e-5)
    direction = functional.cosine_similarity(image_embeds[1] - image_embeds[0], got[1] - got[0], dim=0).item()
    assert clip_directional_similarity(a, b, prompts[0], prompts[1], clip=clip) == pytest.approx(direction, abs=1e-4)
    assert isinstance(clip_directional_similarity(a, b, prompts[0], prompts[0], clip=clip), Missing)
