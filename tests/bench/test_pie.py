"""PIE-Bench's format and protocol. The set in `pie` beside this file is what `write_pie_set` writes by default."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nulltext import open_image
from nulltext.bench.case import Case, Refused
from nulltext.bench.cases.pie import (
    CATEGORIES,
    SIDE,
    PieSet,
    plain_caption,
    read_pie,
)
from nulltext.bench.cases.run_length import cut_runs, decode_runs
from nulltext.bench.studies.pie import published_direct, published_editor, published_inverter, spread
from nulltext.errors import CaseError, CaseNotFoundError, OutputExistsError, SettingError
from nulltext.inversion.stopping import PUBLISHED

SHIPPED = Path(__file__).parent / "pie"

# ----------------------------------------------------------------------------------------------------------------- runs


def test_runs_are_laid_over_the_mask_row_by_row(encode_runs):
    mask = decode_runs([1, 2, 6, 4, 11, 1], height=3, width=4)
    assert mask.astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 1]]
    assert encode_runs(mask) == [1, 2, 6, 4, 11, 1]


def test_runs_may_overlap_and_come_in_any_order():
    assert decode_runs([4, 2, 0, 1, 3, 2, 5, 0], height=2, width=3).astype(int).tolist() == [[1, 0, 0], [1, 1, 1]]


def test_nothing_and_everything(encode_runs):
    assert not decode_runs([], height=2, width=3).any()
    assert decode_runs([0, 6], height=2, width=3).all()
    assert encode_runs(np.zeros((2, 3), dtype=bool)) == []
    assert encode_runs(np.ones((2, 3), dtype=bool)) == [0, 6]


def test_any_mask_comes_back(encode_runs):
    for seed in range(20):
        mask = np.random.default_rng(seed).random((7, 5)) < seed / 19
        assert np.array_equal(decode_runs(encode_runs(mask), height=7, width=5), mask)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([1, 2, 3], "got 3 numbers, the last run without a length; expected pairs"),
        ([4, 3], r"got a run of 3 from 4; expected runs inside of 2 x 3 = 6 cells"),
        ([7, 0], "got a run of 0 from 7"),
        ([-1, 2], "got a run of 2 from -1"),
        ([1, -1], "got a run of -1 from 1"),
    ],
)
def test_runs_that_are_none(runs, expected):
    with pytest.raises(CaseError, match=expected):
        decode_runs(runs, height=2, width=3)


def test_runs_are_cut_where_the_mask_ends():
    assert cut_runs([0, 2, 4, 3, 9, 5], size=6) == [0, 2, 4, 2, 6, 0]


# ------------------------------------------------------------------------------------------------------ the shipped set


@pytest.fixture(scope="module")
def shipped(load_pie) -> PieSet:
    return load_pie(SHIPPED)


def test_the_shipped_set(shipped):
    assert [case.kind for case in shipped.cases] == list(CATEGORIES.values())
    assert [case.seed for case in shipped.cases] == [1234] * 10
    assert shipped.whole == ("900000000009",)
    assert shipped.remarks == ()
    color = shipped.cases[6]
    assert color.name == "600000000006"
    assert color.image == SHIPPED / "annotation_images" / "6_change_color" / "600000000006.jpg"
    assert color.source == "a photo of a checkered blue tree on grass at night"
    assert color.target == "a photo of a checkered purple tree on grass at night"
    assert color.blend == (("tree",), ("tree",))
    assert [number for number, case in enumerate(shipped.cases) if case.blend] == [0, 1, 4, 6, 7]
    for case in shipped.cases:
        assert Image.open(case.image).copy().size == case.changed.size == (SIDE, SIDE)
        assert (case.truth, case.words) == (None, {})
        mask = np.asarray(case.changed)
        assert set(np.unique(mask)) <= {0, 255}
        assert all((edge == 255).all() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        inside = (mask[1:-1, 1:-1] == 255).mean()
        assert inside == 1 if case.name in shipped.whole else 0.01 < inside < 0.9


def test_the_shipped_set_is_small():
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 400_000


def test_the_set_can_be_made_again(tmp_path, write_pie_set, load_pie):
    mapping = write_pie_set(tmp_path / "made", images=2)
    made, shipped = (json.loads(file.read_text()) for file in (mapping, SHIPPED / "mapping_file.json"))
    assert list(made) == list(shipped)[:2]
    for name, entry in made.items():
        mask, kept = (entry.pop("mask"), shipped[name].pop("mask"))
        assert entry == shipped[name]
        masks = [decode_runs(runs, height=SIDE, width=SIDE) for runs in (mask, kept)]
        assert (masks[0] != masks[1]).mean() < 1e-3  # a pixel at the threshold may fall otherwise on another processor
        images = [
            np.asarray(Image.open(folder / "annotation_images" / entry["image_path"]), dtype=float)
            for folder in (tmp_path / "made", SHIPPED)
        ]
        assert np.abs(images[0] - images[1]).mean() < 1
    assert [case.name for case in load_pie(tmp_path / "made").cases] == list(made)
    with pytest.raises(OutputExistsError):
        write_pie_set(tmp_path / "made", images=1)


def test_a_set_of_no_images_is_refused(tmp_path, write_pie_set):
    with pytest.raises(SettingError, match="got 0 images"):
        write_pie_set(tmp_path, images=0)


# ----------------------------------------------------------------------------------------------------------- the format

ENTRY = {
    "image_path": "1_change_object_80/1.png",
    "original_prompt": "a [cat] on a mat",
    "editing_prompt": "a [dog] on a mat",
    "editing_instruction": "make it a dog",
    "editing_type_id": "1",
    "blended_word": "cat dog",
    "mask": [SIDE * 2 + 5, 3],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with images and no mapping file."""
    folder = tmp_path_factory.mktemp("pie")
    (folder / "annotation_images" / "1_change_object_80").mkdir(parents=True)
    for name, side in (("1", SIDE), ("small", 64)):
        Image.new("RGB", (SIDE, side)).save(folder / "annotation_images" / "1_change_object_80" / f"{name}.png")
    (folder / "annotation_images" / "1_change_object_80" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def given(folder: Path, *entries: dict[str, object], **changes: object) -> Path:
    """Writes a mapping file of entries, or of one that differs from `ENTRY`; an Ellipsis leaves a field out."""
    entry = {field: value for field, value in {**ENTRY, **changes}.items() if value is not ...}
    table = {"100": entry} if not entries else {f"10{n}": entry for n, entry in enumerate(entries)}
    (folder / "mapping_file.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def test_an_entry(images, load_pie):
    (case,) = load_pie(given(images)).cases
    assert (case.name, case.kind, case.seed) == ("100", "change object", 1234)
    assert (case.source, case.target) == ("a cat on a mat", "a dog on a mat")
    assert case.blend == (("cat",), ("dog",))
    mask = np.asarray(case.changed)[1:-1, 1:-1]
    assert np.argwhere(mask).tolist() == [[1, 4], [1, 5], [1, 6]]


def test_the_border_is_one_pixel_wide(images, load_pie):
    mask = np.asarray(load_pie(given(images, mask=[])).cases[0].changed)
    assert (mask == 255).sum() == 4 * (SIDE - 1)
    assert not mask[1:-1, 1:-1].any()


def test_masks_of_the_whole_image_are_named(images, load_pie, encode_runs):
    inner = np.zeros((SIDE, SIDE), dtype=bool)
    inner[1:-1, 1:-1] = True
    almost = inner.copy()
    almost[100, 100] = False
    masks = [[0, SIDE * SIDE], encode_runs(inner), encode_runs(almost), [0, 5]]
    loaded = load_pie(given(images, *({**ENTRY, "mask": mask} for mask in masks)))
    assert loaded.whole == ("100", "101")
    assert len(loaded.cases) == 4


def test_the_categories_by_name(images, load_pie):
    loaded = load_pie(given(images, *({**ENTRY, "editing_type_id": number} for number in CATEGORIES)))
    assert [case.kind for case in loaded.cases] == [
        "random",
        "change object",
        "add object",
        "delete object",
        "change content",
        "change pose",
        "change color",
        "change material",
        "change background",
        "change style",
    ]


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("a [rusty] bicycle", "a rusty bicycle"),
        ("a bicycle", "a bicycle"),
        ("a [very [rusty]] bicycle", "a very rusty bicycle"),
        ("a [rusty bicycle", "a rusty bicycle"),
        ("a rusty] bicycle", "a rusty bicycle"),
        ("a [] bicycle [ rusty ]", "a bicycle rusty"),
        ("a bi[cycle]s", "a bicycles"),
    ],
)
def test_brackets_are_taken_out_wherever_they_stand(prompt, caption):
    assert plain_caption(prompt) == caption


def test_without_blended_words_the_edit_is_not_local(images, load_pie):
    assert load_pie(given(images, blended_word="")).cases[0].blend is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mask": [1, 2, 3]}, "mask: got 3 numbers, the last run without a length"),
        ({"mask": [SIDE * SIDE - 1, 2]}, "mask: got a run of 2 from 262143"),
        ({"mask": [-1, 2]}, "mask: got a run of 2 from -1"),
        ({"mask": [1.5, 2]}, "mask: got 1.5; expected whole numbers"),
        ({"mask": ["1", 2]}, "mask: got '1'"),
        ({"mask": [True, 2]}, "mask: got True"),
        ({"mask": "1 2"}, "mask: got '1 2'; expected a list"),
        ({"mask": ...}, "mask: got none; expected a list"),
        ({"editing_prompt": ...}, "editing_prompt: got none; expected text"),
        ({"original_prompt": None}, "original_prompt: got None; expected text"),
        ({"editing_prompt": "[]"}, "got an empty prompt"),
        ({"editing_type_id": "10"}, "editing_type_id: got '10'; expected '0' to '9', one of random, change object"),
        ({"editing_type_id": 1}, "editing_type_id: got 1; expected text"),
        ({"blended_word": "cat"}, "blended_word: got 'cat'; expected two words"),
        ({"blended_word": "cat dog mat"}, "blended_word: got 'cat dog mat'; expected two words"),
        ({"blended_word": "dog dog"}, "blended_word: the word 'dog' is not in the prompt 'a cat on a mat'"),
        ({"blended_word": "cat cat"}, "blended_word: the word 'cat' is not in the prompt 'a dog on a mat'"),
        ({"image_path": "1_change_object_80/2.png"}, "there is no file '1_change_object_80/2.png'"),
        ({"image_path": "../mapping_file.json"}, "expected a path inside"),
        ({"image_path": "1_change_object_80/torn.png"}, "torn.png is"),
        ({"image_path": "1_change_object_80/small.png"}, "small.png is 512 x 64; expected 512 x 512"),
    ],
)
def test_what_is_wrong_is_said_with_its_entry(images, changes, expected, load_pie):
    good, bad = ENTRY, {field: value for field, value in {**ENTRY, **changes}.items() if value is not ...}
    with pytest.raises(CaseError, match=rf"mapping_file.json, entry '101': .*{expected}"):
        load_pie(given(images, good, bad))
    entries = read_pie(images).entries  # the others can be measured nevertheless
    assert [type(entry) for entry in entries] == [Case, Refused]
    assert (entries[1].name, entries[1].where) == ("101", f"{images / 'mapping_file.json'}, entry '101'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "mapping_file.json: got JSON that cannot be read: .*line 1 column 2"),
        ("[]", "mapping_file.json: got no entries"),
        ("{}", "mapping_file.json: got no entries"),
        ('{"1": 5}', "entry '1': got 5; expected an object with image_path, original_prompt"),
        ('{"1": {}, "1": {}}', "the key '1' stands twice"),
        (json.dumps({"a/b": ENTRY}), "entry 'a/b': got the name 'a/b'"),
        (json.dumps({"a": ENTRY, "A": ENTRY}), "entry 'A': the name 'A' is taken, see .*entry 'a'"),
    ],
)
def test_a_broken_mapping_file(images, text, expected, load_pie):
    (images / "mapping_file.json").write_text(text)
    with pytest.raises(CaseError, match=expected):
        load_pie(images)


def test_missing_files_are_files_not_found(images, tmp_path, load_pie):
    with pytest.raises(
        CaseNotFoundError, match=r"mapping_file.json; expected a folder with mapping_file.json and annota"
    ):
        load_pie(tmp_path)
    with pytest.raises(FileNotFoundError, match="entry '100'"):
        load_pie(given(images, image_path="nowhere.png"))


def test_read_leniently_entries_are_taken_as_the_authors_do_and_remarked_on(images, load_pie):
    entries = (
        {**ENTRY, "mask": [SIDE * SIDE - SIDE - 2, 10**9, 10**9, 1]},
        {**ENTRY, "blended_word": "dog dog"},
        {**ENTRY, "blended_word": "cat lion"},
        {**ENTRY, "blended_word": "lion lion"},
        ENTRY,
    )
    loaded = load_pie(given(images, *entries), lenient=True)
    assert [case.blend for case in loaded.cases[1:]] == [((), ("dog",)), (("cat",), ()), None, (("cat",), ("dog",))]
    assert np.argwhere(np.asarray(loaded.cases[0].changed)[1:-1, 1:-1]).tolist() == [[SIDE - 3, SIDE - 3]]
    assert [remark.split("entry ")[1][:5] for remark in loaded.remarks] == ["'100'", "'101'", "'102'", "'103'", "'103'"]
    assert "went beyond its end and was cut off" in loaded.remarks[0]
    assert "'lion' is not in the prompt" in loaded.remarks[2]
    assert load_pie(given(images), lenient=True).remarks == ()
    for mask in ([1, 2, 3], [-1, 2]):
        with pytest.raises(CaseError, match="entry '100': mask"):
            load_pie(given(images, mask=mask), lenient=True)


# --------------------------------------------------------------------------------------------------------- the protocol


def test_the_protocol_is_the_published_one(shipped):
    inverter = published_inverter()
    assert (inverter.steps, inverter.inner_steps, inverter.guidance) == (50, 10, 7.5)
    assert inverter.descent == PUBLISHED
    direct = published_direct()
    assert (direct.steps, direct.guidance, direct.fixed_point) == (50, 7.5, None)
    shape = published_editor(shipped.cases[1])
    assert (shape.kind, shape.cross_attention, shape.self_attention) == ("refine", 0.4, 0.6)
    assert shape.reweight == {"star": 2.0}
    assert (shape.blend.source_words, shape.blend.target_words) == (("snowman",), ("star",))
    assert (shape.blend.threshold, shape.blend.start, shape.blend.pixels) == (0.3, 0.2, False)
    added = published_editor(shipped.cases[2])
    assert (added.blend, added.reweight, added.kind, added.self_attention) == (None, {}, "refine", 0.6)


def test_the_preset_edits_the_shipped_images(shipped, embedded):
    """The words that it blends by and weights are found in the captions by a model's own tokenizer."""
    inverter = replace(published_inverter(), steps=2, inner_steps=1)
    for case in (shipped.cases[6], shipped.cases[2]):
        inversion = inverter(embedded, open_image(case.image, embedded), case.source)
        edit = published_editor(case)(embedded, inversion, case.target)
        assert edit.kinds == ("refine",)
        assert edit.image.size == (SIDE, SIDE)
        assert (edit.masks is None) == (case.blend is None)


def test_a_limit_takes_every_kind_in_turn(load_pie):
    cases = load_pie(SHIPPED).cases
    twice = sorted((*cases, *cases), key=lambda case: case.kind)
    assert len({case.kind for case in spread(twice, 10)}) == 10
    assert spread(twice, 11)[:10] == spread(twice, 10)
    assert spread(twice, None) == twice
