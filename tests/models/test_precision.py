import pytest
import torch

import nulltext
from nulltext.errors import SettingError
from nulltext.models.precision import FLOAT32_ROUNDING, TF32_ROUNDING, choose_dtype, precision_of, rounding_of

CPU = torch.device("cpu")


@pytest.fixture
def with_tf32(monkeypatch):
    """A device that has TF32; what torch is set to is put back."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr("nulltext.models.precision._has_tf32", lambda _device: True)
    yield
    torch.set_float32_matmul_precision(before)


def test_tf32_is_float32_with_torchs_switch(with_tf32):
    assert choose_dtype("tf32", CPU) == torch.float32
    assert torch.get_float32_matmul_precision() == "high"


def test_other_precisions_leave_the_switch_alone(with_tf32):
    for dtype in ("float32", "float16", torch.bfloat16, None):
        choose_dtype(dtype, CPU)
    assert torch.get_float32_matmul_precision() == "highest"


def test_tf32_where_there_is_none():
    with pytest.raises(SettingError, match=r"got dtype tf32 on cpu, .* Take float32 or bfloat16"):
        nulltext.load(device="cpu", dtype="tf32")


@pytest.mark.parametrize(("dtype", "expected"), [("float32", 2**-23), ("float16", 2**-10), ("bfloat16", 2**-7)])
def test_how_much_a_network_rounds(folder, dtype, expected):
    assert rounding_of(nulltext.load(folder("epsilon"), device="cpu", dtype=dtype)) == expected


def test_float32_rounds_more_where_torch_is_set_to(model, with_tf32, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert rounding_of(model) == FLOAT32_ROUNDING
    torch.set_float32_matmul_precision("high")
    assert rounding_of(model) == TF32_ROUNDING
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert rounding_of(model) == TF32_ROUNDING, "convolutions alone"


def test_records_tell_tf32_from_float32(folder, model, with_tf32):
    half = nulltext.load(folder("epsilon"), device="cpu", dtype="bfloat16")
    assert (precision_of(model), precision_of(half)) == ("torch.float32", "torch.bfloat16")
    torch.set_float32_matmul_precision("high")
    assert (precision_of(model), precision_of(half)) == ("tf32", "torch.bfloat16")
