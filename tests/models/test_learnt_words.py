"""Words that were learnt as several vectors (textual inversion) mean what they mean in diffusers' pipeline."""

import pytest
import torch

import nulltext
from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import PromptTooLongError

PROMPTS = [
    "a <toy>",
    "<toy>",
    "a <toy> on grass",
    "<toy> and <toy>, a red <one>",
    "a red<toy>ball",
    "a cat",
    "",
]


@pytest.fixture(scope="module")
def learnt(pipeline_builder, tmp_path_factory):
    """A pipeline with a word of three vectors and a word of one, and the model that is loaded from its folder."""
    pipeline = pipeline_builder()
    generator = torch.Generator().manual_seed(1)
    for word, count in (("<toy>", 3), ("<one>", 1)):
        vectors = torch.randn(count, 32, generator=generator)
        pipeline.load_textual_inversion({word: vectors if count > 1 else vectors[0]}, token=word)
    path = tmp_path_factory.mktemp("learnt")
    pipeline.save_pretrained(path)
    return pipeline, nulltext.load(path, device="cpu")


@pytest.mark.parametrize("prompt", PROMPTS)
def test_embeddings_are_the_pipelines(learnt, prompt):
    pipeline, model = learnt
    expected, _ = pipeline.encode_prompt(prompt, torch.device("cpu"), 1, do_classifier_free_guidance=False)
    torch.testing.assert_close(model.embed([prompt]).text, expected)


def test_a_word_written_out_by_hand_is_not_written_out_again(learnt):
    _, model = learnt
    assert model.tokenize("a <toy> <toy>_1 <toy>_2 ball").ids == model.tokenize("a <toy> ball").ids


def test_the_word_is_found_with_all_its_vectors(learnt):
    _, model = learnt
    tokens = model.tokenize("a red <toy> on grass")
    assert len(tokens.ids) == 2 + 4 + 3
    assert tokens.find("<toy>") == tokens.find("toy") == [3, 4, 5]
    assert tokens.words()[2] == [3, 4, 5]
    assert tokens.find("grass") == [7]


def test_all_vectors_count_for_the_length(learnt):
    _, model = learnt
    full = " ".join(["cat"] * 19) + " <toy>"
    assert model.embed([full]).text.shape == (1, 24, 32)
    with pytest.raises(PromptTooLongError, match=r"has 23 tokens; .* reads 22.*do not fit: '<toy>'"):
        model.embed([f"cat {full}"])


def test_prompt_to_prompt_and_a_blend_by_the_word(learnt):
    _, model = learnt
    inversion = nulltext.generate_inversion(model, "a <toy> on grass", steps=2)
    edit = PromptToPrompt(blend=Blend("<toy>", "dog", threshold=0.0), reweight={"dog": 2.0}, maps=True)
    assert edit(model, inversion, "a dog on grass").pixels.isfinite().all()
    assert (
        PromptToPrompt(blend=Blend("dog", "toy"))(
            model, nulltext.generate_inversion(model, "a dog on grass", steps=2), "a <toy> on grass"
        )
        .pixels.isfinite()
        .all()
    )
