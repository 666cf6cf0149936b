import json

import pytest
from typer.testing import CliRunner

from nulltext.bench.speed import full_size
from nulltext.bench.speed.full_size_parts import PARTS, Bench
from nulltext.bench.speed.profiling import kind_of
from nulltext.cli.app import app

PLAIN = [name for name in PARTS if not name.startswith("compiled")]
SMALL = ["--device", "cpu", "--tiny", "--steps", "2", "--inner-steps", "1", "--batch", "2", "--few", "2"]


def test_every_part_but_the_compiled_ones_runs_at_small_size(tmp_path):
    """The very command for a GPU, with tiny networks."""
    record = tmp_path / "figures.json"
    result = CliRunner().invoke(app, ["bench", "full-size", *SMALL, "--record", str(record), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == json.loads(record.read_text())
    assert [name for name in found if name in PARTS] == PLAIN
    for null_text, images in ((found["plain"]["null_text"], 1), (found["plain"]["null_text_in_batch"], 2)):
        assert null_text["seconds_an_image"] * images == pytest.approx(null_text["seconds_of_all_steps"])
        assert 0 < null_text["rate_share"] < 1
        assert null_text["step_seconds"]["least"] > 0
    assert len(found["edit"]["both"]["runs"]) == 3
    assert found["published"]["float32"]["seconds"] > 0
    assert found["sdxl"]["null_text"]["seconds_of_all_steps"] == found["sdxl"]["null_text"]["seconds"]
    assert found["sd35m"]["direct_and_edit"]["seconds"] > found["sd35m"]["direct"]["seconds"]
    shares = found["profile"]["one"]["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    assert {"attention", "convolution", "matrix product", "normalisation"} <= shares.keys()


def test_a_part_that_fails_stops_no_other_and_what_was_measured_is_kept(tmp_path, monkeypatch):
    def measured_first(bench, tell):
        tell("seconds", 1.0)
        assert json.loads((tmp_path / "a.json").read_text())["first"] == {"seconds": 1.0}
        raise RuntimeError("no driver\nat all")

    monkeypatch.setattr(full_size, "PARTS", {"first": measured_first, "second": lambda _, tell: tell("bytes", 2)})
    bench = Bench(family="sd15", device=full_size.choose_device("cpu"), steps=2, inner_steps=1, few=2, batch=2)
    found = full_size.measure_full_size(bench, ["first", "second"], record=tmp_path / "a.json")
    assert found["first"] == {"seconds": 1.0, "error": "RuntimeError: no driver"}
    assert found["second"] == {"bytes": 2}
    assert full_size.FullSizeFigures(found).complaint() == "first failed: RuntimeError: no driver"


def test_parts_are_chosen():
    assert full_size.chosen_parts(None, compiled=True) == list(PARTS)
    assert full_size.chosen_parts("edit, products", compiled=False) == ["edit", "products"]
    result = CliRunner().invoke(app, ["bench", "full-size", "--device", "cpu", "--parts", "edit,sd99"])
    assert result.exit_code != 0
    assert "not sd99" in result.stderr


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64>>", "attention"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", "convolution"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_TNT", "matrix product"),
        ("void at::native::RowwiseMomentsCUDAKernel<float>", "normalisation"),
        ("void at::native::vectorized_elementwise_kernel<4, silu>", "elementwise"),
        ("ampere_sgemm_32x128_tn", "matrix product"),
        ("Memcpy DtoD (Device -> Device)", "copy"),
    ],
)
def test_kernels_are_told_apart_by_their_names(kernel, kind):
    assert kind_of(kernel) == kind
