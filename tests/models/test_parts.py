"""Of a model's folder the weights and the configs are read; no code is run, and nothing is built that is not used."""

import json
import shutil
from typing import Any

import diffusers
import pytest
from diffusers.utils import dummy_torch_and_scipy_objects as without_scipy

import nulltext
from nulltext.errors import ModelLoadError, NulltextError, UnsupportedPipelineError, UnsupportedScheduleError
from nulltext.models.schedulers import ddim_config

SCHEDULERS = [
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
]


@pytest.fixture
def copy(folder, tmp_path):
    """A folder of our own to spoil."""
    return shutil.copytree(folder("epsilon"), tmp_path / "copy")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


# ---- the scheduler


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_config_alone_says_what_the_scheduler_would(tmp_path, name):
    scheduler = getattr(diffusers, name)(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    scheduler.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "scheduler_config.json").read_text(encoding="utf-8"))
    loaded = getattr(diffusers, name).from_pretrained(tmp_path)
    scheduler: Any = diffusers.DDIMScheduler.from_config(loaded.config)
    expected = dict(scheduler.config)
    found = ddim_config(written, "here")
    assert {key: value for key, value in found.items() if not key.startswith("_")} == {
        key: value for key, value in expected.items() if not key.startswith("_")
    }


@pytest.mark.parametrize("name", ["LMSDiscreteScheduler", "SchedulerOfTheFuture", "UNet2DConditionModel", "os.system"])
def test_a_scheduler_that_cannot_be_built_is_not_needed(copy, folder, monkeypatch, name):
    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", without_scipy.LMSDiscreteScheduler)  # as without scipy
    edit(copy / "scheduler" / "scheduler_config.json", _class_name=name)
    edit(copy / "model_index.json", scheduler=["diffusers", name])
    assert nulltext.load(copy, device="cpu").schedule(10) == nulltext.load(folder("epsilon"), device="cpu").schedule(10)


def test_a_scheduler_of_something_else(copy):
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedScheduleError, match=r"is FlowMatchEulerDiscreteScheduler, whose config has no beta"):
        nulltext.load(copy, device="cpu")


def test_parts_that_are_not_used_may_be_anything(copy):
    for part in ("safety_checker", "feature_extractor", "image_encoder"):
        (copy / part).mkdir()
        (copy / part / "config.json").write_text("no JSON at all")
        edit(copy / "model_index.json", **{part: ["no_such_library", "NoSuchClass"]})
    nulltext.load(copy, device="cpu")


# ---- configs that say less


@pytest.mark.parametrize("size", [None, "absent"])
def test_no_sample_size(copy, size):
    path = copy / "unet" / "config.json"
    config = json.loads(path.read_text()) | {"sample_size": None}
    if size == "absent":
        del config["sample_size"]
    path.write_text(json.dumps(config))
    assert nulltext.load(copy, device="cpu").default_size == (64, 64)  # the autoencoder's


def test_no_size_anywhere(copy):
    for part in ("unet", "vae"):
        path = copy / part / "config.json"
        config = json.loads(path.read_text())
        del config["sample_size"]
        path.write_text(json.dumps(config))
    assert nulltext.load(copy, device="cpu").default_size == (512, 512)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("unet/config.json", {"sample_size": [8, 8, 8]}, r"sample_size=\[8, 8, 8\]; expected the side"),
        ("unet/config.json", {"norm_eps": "small"}, r'unet/config\.json has norm_eps="small"; expected float'),
        ("unet/config.json", {"layers_per_block": None}, r"unet/config\.json has layers_per_block=null"),
        ("vae/config.json", {"scaling_factor": None}, r"vae/config\.json has scaling_factor=null; expected float"),
        ("vae/config.json", {"scaling_factor": 0}, r"vae/config\.json has scaling_factor=0"),
        ("vae/config.json", {"block_out_channels": "8"}, r'vae/config\.json has block_out_channels="8"; expected'),
        ("text_encoder/config.json", {"num_attention_heads": "4"}, r"text_encoder.*num_attention_heads"),
        ("scheduler/scheduler_config.json", {"beta_start": "x"}, r'scheduler_config\.json has beta_start="x"'),
        ("scheduler/scheduler_config.json", {"beta_schedule": "flat"}, r"scheduler_config\.json.*flat"),
        (
            "tokenizer/tokenizer_config.json",
            {"model_max_length": "x"},
            r"tokenizer_config.json has model_max_length='x'",
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_named(copy, name, values, expected):
    edit(copy / name, **values)
    with pytest.raises(NulltextError, match=expected):
        nulltext.load(copy, device="cpu")


@pytest.mark.parametrize("text", ["", "null", "[]", '"x"', "{", "[" * 100_000, "\udcff"])
@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json"])
def test_a_config_that_is_no_object_is_named(copy, name, text):
    (copy / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ModelLoadError, match=name):
        nulltext.load(copy, device="cpu")


# ---- code in a folder

ENTRIES = [
    {"_class_name": ["pipeline", "Mine"]},
    {"unet": ["mine", "Mine"]},
    {"vae": ["mine", "Mine"]},
    {"text_encoder": ["mine", "Mine"]},
    {"tokenizer": ["mine", "Mine"]},
    {"scheduler": ["mine", "Mine"]},
    {"text_encoder": ["builtins", "print"]},
    {"text_encoder": ["transformers", "__builtins__"]},
    {"tokenizer": ["transformers", "pipeline"]},
    {"_custom_pipeline": "pipeline.py"},
]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_no_code_of_a_folder_is_run(copy, tmp_path, entry):
    marker = tmp_path / "marker"
    code = f"from pathlib import Path\nPath({str(marker)!r}).touch()\nclass Mine: pass\n"
    for path in (copy, *(path for path in copy.iterdir() if path.is_dir())):
        for name in ("pipeline", "mine", "modeling_mine", "__init__"):
            (path / f"{name}.py").write_text(code)
    edit(copy / "model_index.json", **entry)
    own = {"AutoModel": "mine.Mine", "AutoConfig": "mine.Mine", "AutoTokenizer": ["mine.Mine", "mine.Mine"]}
    for name in ("unet/config.json", "vae/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"):
        edit(copy / name, auto_map=own, trust_remote_code=True, custom_pipeline="pipeline.py")
    try:
        nulltext.load(copy, device="cpu")
    except UnsupportedPipelineError as error:
        assert "expected" in str(error)  # noqa: PT017 - either is right, as long as nothing runs
    assert not marker.exists()
