"""Cases of scenes, and of a folder of images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nulltext import open_image
from nulltext.bench.case import Case
from nulltext.bench.cases.scenes import EDITED as FIRST
from nulltext.bench.cases.scenes import KINDS, LOCAL, ground_truth, scene_cases, scene_image
from nulltext.errors import CaseError, CaseNotFoundError, SettingError
from nulltext.judges import HEADS
from nulltext.models.base import Model
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

# --------------------------------------------------------------------------------------------------------------- scenes


@pytest.fixture(scope="module")
def of_scenes() -> list[Case]:
    return scene_cases(2, size=(64, 96))


def test_every_scene_is_edited_once_in_every_kind(of_scenes):
    assert [case.name for case in of_scenes] == [f"scene-{FIRST + n}-{kind}" for n in range(2) for kind in KINDS]
    assert [case.kind for case in of_scenes] == [*KINDS, *KINDS]
    assert [case.seed for case in of_scenes] == [FIRST] * 5 + [FIRST + 1] * 5
    assert {len({id(case.image) for case in of_scenes[start : start + 5]}) for start in (0, 5)} == {1}
    for case in of_scenes:
        assert {image.size for image in (case.image, case.truth, case.changed)} == {(96, 64)}
        assert case.source != case.target


def test_the_mask_is_where_the_truth_differs(of_scenes):
    for case in of_scenes:
        changed = np.asarray(case.changed)
        assert set(np.unique(changed)) <= {0, 255}
        difference = np.abs(np.asarray(case.image, dtype=int) - np.asarray(case.truth, dtype=int)).max(-1)
        assert difference[changed == 0].max(initial=0) <= 6  # 0.04 of a range of 2, and what 8 bits round off
        assert difference[changed == 255].max() > 6


def test_blends_name_words_of_the_captions_and_judges_are_asked_for_what_changes(of_scenes):
    for case in of_scenes:
        assert (case.blend is not None) == (case.kind in LOCAL)
        blend: Any = case.blend or ()
        for words, caption in zip(blend, (case.source, case.target), strict=False):
            assert words
            assert all(word in caption.split() for word in words)
        ((head, word),) = case.words.items()
        assert head in KINDS[case.kind]
        assert word in HEADS[head]
        if head in ("color", "shape", "ground"):
            assert word in case.target.split()
            assert word not in case.source.split()


def test_cases_are_the_edits_that_are_measured_elsewhere(model: Model):
    scene = sample_scene(HELD_OUT_SEEDS[FIRST + 3], things=1)
    height, width = model.default_size
    edits = ground_truth(scene, FIRST + 3, height=height, width=width)
    cases = scene_cases(1, first=FIRST + 3, size=model.default_size)
    source_image, caption = scene_image(scene, model)
    for case, edit in zip(cases, edits, strict=True):
        assert (case.kind, case.source, case.target) == (edit.kind, caption, edit.prompt)
        assert open_image(case.image, model).sha256 == source_image.sha256
        assert np.array_equal(np.asarray(case.changed) == 0, edit.outside.numpy())


@pytest.mark.parametrize(("scenes", "first"), [(0, 0), (1, -1), (2, len(HELD_OUT_SEEDS) - 1)])
def test_scenes_that_are_not_held_out_are_refused(scenes, first):
    with pytest.raises(SettingError, match="expected at least one, and seeds from 0 to 9999999"):
        scene_cases(scenes, first=first)


# --------------------------------------------------------------------------------------------------------------- folder

CAT, DOG = "a cat on a mat", "a dog on a mat"


@pytest.fixture
def pets(tmp_path):
    """A folder of images of 40 x 30, and masks."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("cat.png", "deep/er/cat.png", "größe.png", "edited.png"):
        Image.new("RGB", (40, 30), (90, 60, 30)).save(tmp_path / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 40)).save(tmp_path / "turned.jpg", exif=exif)  # 40 x 30 once it is upright
    mask = Image.new("RGBA", (40, 30))
    mask.paste((255, 255, 255, 255), (10, 5, 20, 15))
    mask.save(tmp_path / "mask.png")
    Image.new("L", (40, 30)).save(tmp_path / "black.png")
    Image.new("L", (30, 40), 255).save(tmp_path / "other.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "cat.png").read_bytes()[:60])
    return tmp_path


def write(pets, text, name="captions.csv"):
    (pets / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return pets


def test_csv(pets, folder_cases):
    write(
        pets,
        "\ufeffFile,source,target,name,kind,blend_source,blend_target,mask,truth,seed\r\n"
        f'cat.png,"a cat, on a mat","a ""dog"", on a mat",tom,pets,cat,"dog, mat",mask.png,edited.png,7\r\n'
        "\r\n"
        f"deep\\er\\cat.png,{CAT},{DOG},,,,,,,\r\n"
        f"größe.png,{CAT},{DOG},Größe,,,,,,\r\n"
        f"turned.jpg,{CAT},{DOG},,,,,mask.png,,\r\n",
    )
    tom, deep, size, turned = folder_cases(pets)
    assert (tom.name, tom.kind, tom.seed, tom.words) == ("tom", "pets", 7, {})
    assert (tom.source, tom.target) == ("a cat, on a mat", 'a "dog", on a mat')
    assert tom.blend == (("cat",), ("dog", "mat"))
    assert tom.image == pets / "cat.png"
    assert tom.truth.getpixel((0, 0)) == (90, 60, 30)
    assert tom.changed.mode == "L"
    assert tom.changed.getbbox() == (10, 5, 20, 15)
    assert (deep.name, deep.kind, deep.seed) == ("deep-er-cat", "", 0)
    assert (deep.changed, deep.truth, deep.blend) == (None, None, None)
    assert size.name == "Größe"
    assert turned.changed.size == (40, 30)


def test_jsonl_says_the_same_as_csv(pets, folder_cases):
    write(pets, f"file,source,target,blend_target,seed\ncat.png,{CAT},{DOG},dog,3\ndeep/er/cat.png,{CAT},{DOG},,\n")
    rows = [
        {"file": "cat.png", "source": CAT, "target": DOG, "blend_target": ["dog"], "seed": 3},
        {"file": "deep/er/cat.png", "source": CAT, "target": DOG, "blend_target": None, "seed": "0"},
    ]
    write(pets, "\n".join(map(json.dumps, rows)) + "\r\n\n", "captions.jsonl")
    with pytest.raises(CaseError, match=r"got captions.csv, captions.jsonl; expected one file"):
        folder_cases(pets)
    tables, lines = folder_cases(pets / "captions.csv"), folder_cases(pets / "captions.jsonl")
    assert [case.where for case in lines] == [f"{pets / 'captions.jsonl'}, line {number}" for number in (1, 2)]
    assert [vars(case) | {"where": ""} for case in tables] == [vars(case) | {"where": ""} for case in lines]
    assert lines[0].blend == ((), ("dog",))


def test_accents_composed_or_not(pets, folder_cases):
    write(pets, f"file,source,target\ngro\u0308ße.png,{CAT},{DOG}\n")
    (case,) = folder_cases(pets)
    assert isinstance(case.image, Path)
    assert case.image.is_file()
    assert case.name == "größe"


def test_images_can_be_opened(pets, model: Model, folder_cases):
    write(pets, f"file,source,target\nturned.jpg,{CAT},{DOG}\n")
    assert open_image(folder_cases(pets)[0].image, model).frame.size == (30, 40)


HEADER = "file,source,target"
GOOD = f"cat.png,{CAT},{DOG}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "got no rows"),
        (HEADER, "got no rows"),
        (f"file,source\ncat.png,{CAT}", r"line 1: got no 'target'; expected the columns file, source, target"),
        (f"{HEADER},blend_sorce\n{GOOD},cat", r"line 1: got the unknown 'blend_sorce'"),
        (GOOD.replace(",", ";"), r"line 1: got no 'file', 'source', 'target'; .*commas separate those of a CSV"),
        (f"{HEADER},file\n{GOOD},cat", r"line 1: got twice 'file'"),
        (f"{HEADER}\n{GOOD}\ncat.png,a cat, on a mat,{DOG}", r"line 3: got 4 values; expected 3.*Put quotes"),
        (f"{HEADER}\n\n{GOOD}\ndog.png,{CAT},{DOG}", r"line 4: there is no file 'dog.png'.*capitals"),
        (f"{HEADER}\ndeep,{CAT},{DOG}", r"line 2: there is no file 'deep'"),
        (f"{HEADER}\n\0,{CAT},{DOG}", r"line 2: there is no file"),
        (f"{HEADER}\n{'x' * 5000},{CAT},{DOG}", r"line 2: there is no file"),
        (f"{HEADER}\nbroken.png,{CAT},{DOG}", r"line 2: .*broken.png is (truncated|not an image)"),
        (f"{HEADER}\ncat.png,{CAT}, ", r"line 2: got no target; expected the caption of the edit"),
        (f"{HEADER}\n,{CAT},{DOG}", r"line 2: got no file; expected the path of an image"),
        (f"{HEADER}\n../cat.png,{CAT},{DOG}", r"line 2: got the file '../cat.png'; expected a path inside"),
        (f"{HEADER}\ndeep\\..\\..\\cat.png,{CAT},{DOG}", r"line 2: .*expected a path inside"),
        (f"{HEADER}\n/cat.png,{CAT},{DOG}", r"line 2: .*expected a path inside"),
        (f"{HEADER}\nC:\\cat.png,{CAT},{DOG}", r"line 2: .*expected a path inside"),
        (f"{HEADER}\n{GOOD}\ncat.png,{CAT},{CAT}", r"line 3: the name 'cat' is taken, see .*line 2; expected names"),
        (f"{HEADER},name\n{GOOD},Tom\n{GOOD},tom", r"line 3: the name 'tom' is taken"),
        (f"{HEADER},name\n{GOOD},a/b", r"line 2: got the name 'a/b'; expected 1 to 100 characters"),
        (f"{HEADER},name\n{GOOD},..", r"line 2: got the name '\.\.'"),
        (f"{HEADER},name\n{GOOD},NUL", r"line 2: got the name 'NUL'"),
        (f"{HEADER},name\n{GOOD},{'x' * 101}", r"line 2: got the name 'xxx"),
        (f"{HEADER},mask\n{GOOD},other.png", r"line 2: .*other.png is 30 x 40; expected the photograph's 40 x 30"),
        (f"{HEADER},mask\n{GOOD},black.png", r"line 2: the mask .*black.png is black all over"),
        (f"{HEADER},mask\n{GOOD},nowhere.png", r"line 2: there is no file 'nowhere.png'"),
        (f"{HEADER},truth\n{GOOD},other.png", r"line 2: .*other.png is 30 x 40; expected the photograph's 40 x 30"),
        (f"{HEADER},truth\n{GOOD},../cat.png", r"line 2: .*expected a path inside"),
        (f"{HEADER},blend_source\n{GOOD},dog", r"line 2: the word 'dog' is not in the prompt 'a cat on a mat'"),
        (f"{HEADER},blend_target\n{GOOD},dogs", r"line 2: the word 'dogs' is not .* Did you mean 'dog'"),
        (f"{HEADER},seed\n{GOOD},1.5", r"line 2: got seed '1.5'; expected a whole number"),
        (f"{HEADER},seed\n{GOOD},-1", r"line 2: got seed '-1'"),
        (f'{HEADER}\n{GOOD}\ncat.png,"{CAT},{DOG}', r"line 3: got CSV that cannot be read"),
        (f'{HEADER}\n"deep/er/cat.png",{CAT},"{DOG}\nby day"\nx.png,{CAT},{DOG}', r"line 4: there is no file 'x.png'"),
        (f"{HEADER}\n{GOOD}\ncaf".encode() + b"\xe9.png", r"line 3: got the byte 0xe9, which is not UTF-8"),
        (f"{HEADER}\n{GOOD}".encode("utf-16"), r"line 1: got the byte 0xff"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said_with_its_line(pets, text, expected, folder_cases):
    write(pets, text)
    with pytest.raises(CaseError, match=rf"captions.csv.*{expected}"):
        folder_cases(pets)


ROW = {"file": "cat.png", "source": CAT, "target": DOG}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", r"line 2: got JSON that cannot be read"),
        ("[" * 100_000, r"line 2: got JSON that cannot be read"),
        ("[1]", r"line 2: got '\[1\]'; expected an object"),
        ('{"file": "cat.png", "file": "dog.png"}', r"line 2: .*the key 'file' stands twice"),
        (json.dumps({**ROW, "source": None}), r"line 2: got no source"),
        (json.dumps({**ROW, "source": 7}), r"line 2: got 7 as source; expected text"),
        (json.dumps({**ROW, "blend_source": [7]}), r"line 2: got \[7\] as blend_source; expected text"),
        (json.dumps({**ROW, "seed": True}), r"line 2: got True as seed"),
        (json.dumps({**ROW, "name": "\ud800"}), r"line 2: name has half of a character"),
        (json.dumps({**ROW, "target": "a \ud800"}), r"line 2: target has half of a character"),
        (json.dumps({**ROW, "prompt": "a"}), r"line 2: got the unknown 'prompt'"),
    ],
)
def test_what_is_wrong_with_a_jsonl_is_said_with_its_line(pets, line, expected, folder_cases):
    write(pets, f"{json.dumps({**ROW, 'name': 'first'})}\n{line}\n", "captions.jsonl")
    with pytest.raises(CaseError, match=rf"captions.jsonl, {expected}"):
        folder_cases(pets)


def test_a_line_separator_inside_of_a_caption_ends_no_line(pets, folder_cases):
    write(pets, json.dumps({**ROW, "target": "a dog\u2028on a mat"}, ensure_ascii=False), "captions.jsonl")
    assert folder_cases(pets)[0].target == "a dog\u2028on a mat"


def test_the_folder_itself(pets, tmp_path, folder_cases):
    with pytest.raises(CaseNotFoundError, match="there is no folder or file"):
        folder_cases(tmp_path / "nowhere")
    with pytest.raises(CaseError, match=r"got none; expected one file of captions"):
        folder_cases(pets)
    with pytest.raises(CaseError, match=r"cat.png; expected a folder, or a file of captions"):
        folder_cases(pets / "cat.png")
    write(pets, f"{HEADER}\nmissing.png,{CAT},{DOG}")
    with pytest.raises(FileNotFoundError, match=r"missing.png"):
        folder_cases(pets)
