"""Methods along their guidance curves: how they are spelled, what they share, and what is found."""

import itertools
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from nulltext.bench.case import Case, CaseSet
from nulltext.bench.measures import measures_of
from nulltext.bench.run import run
from nulltext.bench.spelled import read_method
from nulltext.bench.studies import frontier
from nulltext.bench.studies.frontier import STUDY, check, points
from nulltext.bench.study import Setting
from nulltext.editing.blend import Blend
from nulltext.editing.mask_sources.diffedit import DiffEditMask
from nulltext.editing.methods.from_noise import FromNoise
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.editing.table import EDITORS
from nulltext.errors import SettingError
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.inversion.methods.random_pivot import RandomPivot
from nulltext.inversion.table import INVERTERS
from nulltext.models.base import Model

IMAGE = Image.new("RGB", (8, 8))
LOCAL = Case(name="local", image=IMAGE, source="a cat", target="a dog", blend=(("cat",), ("dog",)), seed=7)
WHOLE = replace(LOCAL, name="whole", blend=None)


@pytest.mark.parametrize(("inverter", "editor"), list(itertools.product(INVERTERS, EDITORS)))
def test_every_inverter_with_every_editor(inverter, editor):
    method = read_method(f"{inverter}+{editor}", steps=4, inner_steps=2)
    assert type(method.inverter) is INVERTERS[inverter].load()
    assert type(method.editor) is EDITORS[editor].load()
    assert method.inverter.steps == 4
    assert getattr(method.inverter, "inner_steps", 2) == 2
    for w in method.scales((1.0, 3.0)):
        candidate = pickle.loads(pickle.dumps(method.at(w)))  # noqa: S301  as workers get it
        assert candidate.inverter(LOCAL).steps == 4
        assert getattr(candidate.editor(LOCAL), "guidance", None) == w
        for made in (candidate.inverter(LOCAL), candidate.editor(LOCAL)):
            assert getattr(made, "seed", LOCAL.seed) == LOCAL.seed


def test_settings_of_both_and_a_blend_where_a_case_has_words():
    method = read_method(
        "null-text:steps=3,fixed_point=true+prompt-to-prompt:self_attention=0.4,blend=words,blend_threshold=0.5",
        steps=50,
    )
    made = method.at(2.5)
    assert made.name == f"{method.name} at w=2.5"
    inverter: Any = made.inverter(LOCAL)
    assert (inverter.steps, inverter.guidance, inverter.fixed_point is None) == (3, 2.5, False)
    assert made.editor is not None
    plain = PromptToPrompt(self_attention=0.4, guidance=2.5)
    assert made.editor(LOCAL) == replace(plain, blend=Blend(("cat",), ("dog",), threshold=0.5))
    assert made.editor(WHOLE) == plain
    masked = read_method("ddim+prompt-to-prompt:blend=words,blend_mask=diffedit").at(2.5).editor
    assert masked is not None
    assert masked(WHOLE) == PromptToPrompt(blend=Blend(mask=DiffEditMask()), guidance=2.5)
    assert read_method("direct:fixed_point_tolerance=1e+3+prompt-swap").inverter.steps == 50
    seeded = read_method("random-pivot:seed=3+from-noise").at(2.5)
    assert seeded.editor is not None
    assert (seeded.inverter(LOCAL), seeded.editor(LOCAL)) == (
        RandomPivot(seed=3, guidance=2.5),
        FromNoise(seed=7, guidance=2.5),
    )


def test_an_inversion_is_made_for_a_scale_only_where_it_depends_on_it():
    for word, shared in {"direct": True, "ddim": True, "edit-friendly": True, "null-text": False}.items():
        method = read_method(f"{word}+prompt-to-prompt")
        assert (method.at(2.0).inverter(LOCAL) == method.at(3.0).inverter(LOCAL)) == shared
    null_text = read_method("null-text+prompt-to-prompt", steps=4)
    assert null_text.at(1.0).inverter(LOCAL) == DDIM(steps=4), "a null embedding has no part there"
    assert read_method("random-pivot+prompt-swap").scales((1.0, 3.0)) == [3.0]
    assert read_method("direct+text2live").scales((1.0, 3.0)) == (None,)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("direct", "got the method 'direct'; expected an inverter and an editor"),
        ("", "got the method ''"),
        ("direct+", "got the method 'direct\\+'"),
        ("indirect+prompt-to-prompt", "got the inverter 'indirect'; expected direct, null-text, "),
        ("direct+prompt-to-promt", "got the editor 'prompt-to-promt'; expected prompt-to-prompt, masactrl, "),
        ("direct+prompt-to-prompt:", "got '', which is no setting of prompt-to-prompt here; expected .*self_attention"),
        ("direct+prompt-to-prompt:self=0.4", "got 'self=0.4'.*self_attention.*, blend"),
        ("direct+prompt-to-prompt:self_attention=2", "self_attention: got 2"),
        ("direct+prompt-to-prompt:self_attention=much", "got 'much'; expected a share"),
        ("direct+prompt-to-prompt:guidance=3", "got 'guidance=3', which is no setting"),
        ("direct+prompt-to-prompt:chain=true", "got 'chain=true', which is no setting"),
        ("direct+prompt-to-prompt:blend=yes", "got blend='yes'; expected blend=words"),
        ("direct+prompt-to-prompt:blend=words,blend_source=a:b", "got blend='words'"),
        ("direct+prompt-to-prompt:blend_threshold=0.3", "a blend needs words, a mask, or both"),
        ("direct+prompt-swap:blend=words", "got 'blend=words', which is no setting of prompt-swap"),
        ("direct:inner_steps=3+prompt-swap", "got 'inner_steps=3', which is no setting of direct"),
        ("null-text:inner_steps=0+prompt-swap", "inner_steps"),
    ],
)
def test_what_is_no_method_is_refused(word, message):
    with pytest.raises(SettingError, match=message):
        check({"method": ["direct+prompt-to-prompt", word], "guidance": None, "steps": 4, "inner_steps": 1})


def test_scales_are_in_order_and_finite():
    found = points({"method": ["direct+prompt-swap"], "guidance": [4.0, 1.0, 4.0]})
    assert list(found) == ["direct+prompt-swap at w=1", "direct+prompt-swap at w=4"]
    assert len(points({})) == 4 * len(frontier.GUIDANCE)
    with pytest.raises(SettingError, match="guidance"):
        points({"guidance": [float("nan")]})
    with pytest.raises(SettingError, match="Give another --guidance"):
        points({"method": ["no-pivot+prompt-swap"], "guidance": [1.0]})


def test_the_curves_of_an_image(model: Model, image: Image.Image, tmp_path, monkeypatch):
    changed = Image.new("L", image.size)
    changed.paste(255, (0, 0, image.width // 2, image.height))
    known: Any = {"truth": image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "words": {"shape": "ball"}}
    shown = {"image": image, "changed": changed, **known}
    cases = CaseSet([replace(LOCAL, **shown), replace(WHOLE, **shown)])
    made: list[Any] = []
    for inverter in (DirectInversion, NullText):
        monkeypatch.setattr(inverter, "__call__", noting(made, inverter.__call__))
    study = replace(STUDY, cases=lambda *_: cases)
    methods = ["direct+prompt-to-prompt:blend=words", "null-text+prompt-to-prompt"]
    own: Any = {"method": methods, "guidance": [6.0, 2.0]}
    setting = Setting(folder=tmp_path, steps=1, inner_steps=1, own=own)
    record = study(model, setting).record()
    assert [(type(each), each.guidance) for each in made] == [(DirectInversion, None), (NullText, 2), (NullText, 6)]
    names = [f"{method} at w={w}" for method in methods for w in (2, 6)]
    assert list(record["tables"]["overall"]) == names
    assert [(each["figure"], each["first"], each["second"]) for each in record["equal_success"]] == [
        (figure, *methods) for figure in frontier.FIGURES
    ]
    assert record["frontier"].keys() == {*frontier.FIGURES}
    assert all(best and {*best} <= {*names} for best in record["frontier"].values())
    assert list(record["masks"]) == names[:2], "no mask, no figure of it"
    for summary in record["masks"].values():
        assert (summary["count"], summary["missing"]) == (1, 1), "one of the edits is not local"
        assert 0 < summary["mean"] < 1
    assert (tmp_path / "frontier.svg").read_text().count("<svg") == 1
    for report in ("report.md", "report.html"):
        text = (tmp_path / report).read_text()
        assert all(title in text for title in ("At equal success", "Not dominated", "IoU of the mask"))

    again = study(model, setting).record()
    assert json.dumps(again) == json.dumps(record), "goes on where it was"
    assert len(made) == 3, "nothing is made again"
    more = replace(setting, own={**own, "guidance": [6.0, 2.0, 3.0]})
    measures = measures_of((*STUDY.columns, *STUDY.measured))
    run(model, cases.entries, study.candidates(model, more), measures, tmp_path)
    assert [each.guidance for each in made[3:]] == [None, 3], "one more scale, and no other again"


def noting(made: list[Any], call: Any) -> Any:
    """A call that notes who was called."""

    def counting(self: Any, *given: Any) -> Any:
        made.append(self)
        return call(self, *given)

    return counting
