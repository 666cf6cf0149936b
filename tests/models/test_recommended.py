"""What a checkpoint recommends, and what stands in for it: read strictly, and in force wherever nothing is given."""

import json
import shutil
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nulltext
from nulltext.editing.base import in_force
from nulltext.errors import ModelLoadError
from nulltext.models import embedded, weights
from nulltext.models.base import ModelIdentity
from nulltext.models.loading import load
from nulltext.models.recommended import FILE, Recommended
from nulltext.training.recipe import RECOMMENDED

FORMER = {"cross_attention": 0.8, "self_attention": 0.8, "threshold": 0.3, "guidance": 4.0}
"""What edits with the embedded model were drawn with when these were constants of the package."""
DIGEST = "sha256:a0a4a71b77535196a85c342b1395da09a4f6b60aa3f46698d911644860554d67"
"""The embedded weights', in every inversion file made with them."""


def unet(folder, **metadata):
    (folder / "unet").mkdir(exist_ok=True)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata={"format": "pt", **metadata})


@pytest.fixture(scope="module")
def scenes():
    return load(device="cpu")


def test_without_a_word_of_the_checkpoint_the_published_settings_hold(tmp_path, model):
    unet(tmp_path)
    stated = weights.recommended_in(tmp_path)
    assert (stated.guidance, stated.cross_attention, stated.self_attention, stated.threshold) == (7.5, 0.8, 0.4, 0.3)
    assert (stated.vqgan_clip_learning_rate, stated.vqgan_clip_cutouts) == (0.1, 32)
    assert (stated.text2live_iterations, stated.text2live_views, stated.text2live_width) == (1000, 16, 128)
    assert stated == Recommended() == model.recommended
    assert stated.why("self_attention", "some") == "0.4, published for Stable Diffusion"


@pytest.mark.parametrize(
    ("in_weights", "in_file", "expected"),
    [
        ({"recommended_guidance": "4.0"}, None, {"guidance": 4.0}),
        ({"recommended": '{"self_attention": 0.6}'}, None, {"self_attention": 0.6}),
        ({"recommended_guidance": "4", "recommended": '{"guidance": 5}'}, None, {"guidance": 5.0}),
        ({"recommended": '{"guidance": 5, "threshold": 0.2}'}, {"guidance": 6}, {"guidance": 6.0, "threshold": 0.2}),
        ({}, {"text2live_views": 8}, {"text2live_views": 8}),
    ],
    ids=str,
)
def test_a_checkpoint_says_so_in_its_weights_or_in_a_file_of_its_own(tmp_path, in_weights, in_file, expected):
    unet(tmp_path, **in_weights)
    if in_file is not None:
        (tmp_path / FILE).write_text(json.dumps(in_file))
    stated = weights.recommended_in(tmp_path)
    assert stated == Recommended(**expected, own=frozenset(expected))
    name, number = next(iter(expected.items()))
    assert stated.why(name, "mine") == f"{number:g}, recommended by the model 'mine'"


def test_pickled_weights_recommend_nothing(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    assert weights.recommended_in(tmp_path) == Recommended()


WRONG = [
    "",
    "{",
    "[" * 100_000,
    "[0.4]",
    "0.4",
    '{"selfattention": 0.4}',
    '{"own": []}',
    '{"self_attention": "0.4"}',
    '{"self_attention": true}',
    '{"self_attention": null}',
    '{"self_attention": [0, 0.4]}',
    '{"self_attention": NaN}',
    '{"self_attention": 1e999}',
    '{"self_attention": -0.1}',
    '{"cross_attention": 1.1}',
    '{"threshold": 1}',
    '{"guidance": 0}',
    '{"guidance": 31}',
    f'{{"guidance": 1{"0" * 400}}}',
    '{"text2live_views": 8.5}',
    '{"text2live_views": 0}',
]


@pytest.mark.parametrize("spot", ["file", "weights"])
@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:30])
def test_a_recommendation_is_read_strictly(tmp_path, text, spot):
    unet(tmp_path, **({"recommended": text} if spot == "weights" else {}))
    if spot == "file":
        (tmp_path / FILE).write_text(text)
    with pytest.raises(ModelLoadError, match=r"recommended") as caught:
        weights.recommended_in(tmp_path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", ["abc", "0", "[4]", '4, "self_attention": 2'])
def test_so_is_a_guidance_of_older_weights(tmp_path, text):
    unet(tmp_path, recommended_guidance=text)
    with pytest.raises(ModelLoadError, match="recommended"):
        weights.recommended_in(tmp_path)


@pytest.mark.parametrize(
    "make",
    [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff\xfe"), lambda path: path.write_bytes(b"")],
    ids=["folder", "no UTF-8", "empty"],
)
def test_a_file_that_is_none(tmp_path, make):
    unet(tmp_path)
    make(tmp_path / FILE)
    with pytest.raises(ModelLoadError, match=FILE):
        weights.recommended_in(tmp_path)


def test_a_recommendation_leaves_the_models_identity_and_reaches_the_model(tmp_path, folder, model):
    recommending = shutil.copytree(folder("epsilon"), tmp_path / "model")
    (recommending / FILE).write_text('{"self_attention": 0.6, "guidance": 3}')
    loaded = load(recommending, device="cpu")
    assert loaded.identity.same_weights(model.identity)
    assert (loaded.guidance, loaded.recommended.self_attention) == (3, 0.6)
    (recommending / FILE).write_text('{"self": 0.6}')
    with pytest.raises(ModelLoadError, match="got the recommended setting 'self'"):
        load(recommending, device="cpu")


def test_the_embedded_model_recommends_what_was_constant_before(scenes):
    assert scenes.identity == ModelIdentity("scenes", DIGEST)
    editor = in_force(nulltext.PromptToPrompt(blend=nulltext.Blend("cat")), scenes)
    assert editor == nulltext.PromptToPrompt(
        cross_attention=FORMER["cross_attention"],
        self_attention=FORMER["self_attention"],
        blend=nulltext.Blend("cat", threshold=FORMER["threshold"]),
    )
    assert in_force(nulltext.SDEdit(), scenes) == nulltext.SDEdit(strength=0.8, guidance=FORMER["guidance"])
    assert in_force(nulltext.FromNoise(), scenes) == nulltext.FromNoise(guidance=FORMER["guidance"])
    assert in_force(nulltext.VQGANCLIP(), scenes) == nulltext.VQGANCLIP(
        iterations=100, learning_rate=0.03, cutouts=8, keep=0.1
    )
    assert in_force(nulltext.Text2LIVE(), scenes) == nulltext.Text2LIVE(iterations=300, views=8, width=32)


def test_training_writes_what_the_embedded_model_recommends():
    """But for the guidance, which is measured on what was trained."""
    stated = json.loads((embedded.FOLDER / FILE).read_text())
    assert stated == {"guidance": 4.0, **RECOMMENDED}
    assert set(stated) == {each.name for each in fields(Recommended)} - {"own"}


def test_an_edit_says_what_was_in_force(model, source_image):
    inversion = nulltext.DDIM(steps=2)(model, source_image, "a cat on grass")
    other = replace(model, recommended=Recommended(self_attention=0.9, own=frozenset({"self_attention"})))
    for used, editor, expected in (
        (model, nulltext.PromptToPrompt(), {"cross_attention": 0.8, "self_attention": 0.4, "guidance": 1.0}),
        (other, nulltext.PromptToPrompt(), {"cross_attention": 0.8, "self_attention": 0.9}),
        (other, nulltext.PromptToPrompt(self_attention=0.1), {"self_attention": 0.1}),
        (other, nulltext.PromptToPrompt(cross_attention={"dog": 0.1}), {"cross_attention": {"": 0.8, "dog": 0.1}}),
        (model, nulltext.PromptToPrompt(blend=nulltext.Blend("cat", threshold=0.0)), {}),
        (model, nulltext.PromptSwap(), {"guidance": 1.0}),
        (model, nulltext.SDEdit(), {"guidance": 7.5, "strength": 0.8}),
        (model, nulltext.FromNoise(), {"guidance": 7.5}),
    ):
        edit = editor(used, inversion, ["a dog on grass", "a cat"])
        assert len(edit.settings) == 2
        for name, value in expected.items():
            assert getattr(edit.settings[0], name) == value


def test_what_is_in_force_is_what_is_drawn(model, source_image):
    inversion = nulltext.DDIM(steps=5)(model, source_image, "a cat on grass")
    blend = nulltext.Blend("cat")
    recommended: list[dict[str, Any]] = [{"cross_attention": 0.2}, {"self_attention": 1.0}, {"threshold": 0.9}]
    for stated in recommended:
        used = replace(model, recommended=Recommended(**stated))
        by_model = nulltext.PromptToPrompt(blend=blend)(used, inversion, "a dog on grass").pixels
        given = {"cross_attention": 0.8, "self_attention": 0.4, "threshold": 0.3, **stated}
        by_hand = nulltext.PromptToPrompt(
            cross_attention=given["cross_attention"],
            self_attention=given["self_attention"],
            blend=replace(blend, threshold=given["threshold"]),
        )(model, inversion, "a dog on grass").pixels
        assert torch.equal(by_model, by_hand)


@pytest.mark.parametrize(
    ("identity", "known"),
    [
        (ModelIdentity("renamed", DIGEST), True),
        (ModelIdentity("scenes", "sha256:0"), False),
        (ModelIdentity("some/model", "0" * 40), False),
        (ModelIdentity("folder", "0" * 40), False),
    ],
)
def test_what_a_model_recommends_that_is_not_loaded(identity, known):
    assert (weights.recommended_by(identity) is not None) == known


def test_a_model_of_the_hub_is_asked_where_it_is_kept(tmp_path, monkeypatch):
    commit = "0" * 40
    snapshot = tmp_path / "models--some--model" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    unet(snapshot, recommended='{"self_attention": 0.6}')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stated = weights.recommended_by(ModelIdentity("some/model", commit))
    assert stated is not None
    assert stated.why("self_attention", "some/model") == "0.6, recommended by the model 'some/model'"
