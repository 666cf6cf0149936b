from typing import Any

import pytest
import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.guidance import Guided
from nulltext.errors import SettingError


def made(rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Conditioning(
        text=torch.randn(rows, 5, 3, generator=g),
        pooled=torch.randn(rows, 4, generator=g),
        extras={"ids": torch.arange(6).expand(rows, -1)},
    )


def same(a, b):
    return (
        torch.equal(a.text, b.text)
        and torch.equal(a.pooled, b.pooled)
        and torch.equal(a.extras["ids"], b.extras["ids"])
    )


def test_what_is_put_together_comes_apart_again():
    parts = [made(1, 1), made(2, 2), made(3, 3)]
    whole = Conditioning.cat(parts)
    assert len(whole) == 6
    assert all(same(own, back) for own, back in zip(parts, whole.split([1, 2, 3]), strict=True))
    assert same(whole[1:3], parts[1])


def test_one_row_stands_for_many():
    row, many = made(1), made(1).expand(4)
    assert len(many) == 4
    assert all(same(many[i : i + 1], row) for i in range(4))
    with pytest.raises(SettingError, match="2 rows to expand"):
        made(2).expand(4)


def test_other_text_leaves_the_rest_as_it_is():
    own: Any = made(3)
    text = torch.ones(1, 5, 3)
    other = own.with_text(text)
    assert torch.equal(other.text, text.expand(3, -1, -1))
    assert torch.equal(other.pooled, own.pooled)
    with pytest.raises(SettingError, match="expected as many"):
        Conditioning(text=own.text, extras=own.extras).with_text(torch.ones(4, 5, 3))


def test_between_two():
    a: Any = made(2, 1)
    b: Any = made(2, 2)
    assert same(a.lerp(b, 0.0), a)
    assert same(a.lerp(b, 1.0), b)
    torch.testing.assert_close(a.lerp(b, 0.25).pooled, 0.75 * a.pooled + 0.25 * b.pooled)
    others = Conditioning(text=b.text, pooled=b.pooled, extras={"ids": b.extras["ids"] + 1})
    with pytest.raises(SettingError, match="int64"):
        a.lerp(others, 0.5)


def test_what_differs_shares_no_batch():
    plain = Conditioning(text=torch.zeros(1, 5, 3))
    assert plain.shapes != made(1).shapes
    for other in (made(1), Conditioning(text=torch.zeros(1, 6, 3))):
        with pytest.raises(SettingError, match="expected alike"):
            Conditioning.cat([plain, other])
    with pytest.raises(SettingError, match="expected as many"):
        Conditioning(text=torch.zeros(2, 5, 3), extras={"ids": torch.zeros(1, 6)})


class Later:
    """Guidance that looks at the null from the second step on, and takes it alone."""

    def __call__(self, out_null, out_cond, step, steps):
        return out_null + steps

    def needs_null(self, step, steps):
        return step > 0


class Echo:
    prediction = "epsilon"

    def predict(self, x, t, conditioning, attention=()):
        return x * 0 + conditioning.text.mean((1, 2))[:, None, None, None]


def test_a_rule_is_told_the_step_and_asked_whether_it_needs_the_null():
    null, cond = (Conditioning(text=torch.full((rows, 1, 1), value)) for rows, value in ((1, 1.0), (2, 5.0)))
    echo: Any = Echo()
    guided, x = Guided(echo, cond, Later()), torch.zeros(2, 1, 2, 2)
    assert guided.predict(x, 5.0, null, 0, steps=10).unique().tolist() == [5.0]
    assert guided.predict(x, 5.0, null, 1, steps=10).unique().tolist() == [11.0]


def test_each_row_may_have_a_scale_of_its_own():
    null, cond = (Conditioning(text=torch.full((rows, 1, 1), value)) for rows, value in ((1, 1.0), (2, 5.0)))
    scales = torch.tensor([1.0, 3.0])[:, None, None, None]
    echo: Any = Echo()
    out = Guided(echo, cond, scales).predict(torch.zeros(2, 1, 2, 2), 5.0, null)
    assert out[:, 0, 0, 0].tolist() == [5.0, 13.0]
