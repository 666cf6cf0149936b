"""What cannot be measured is a row that says why, and nothing of the others is lost."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pyarrow import parquet

from nulltext import DDIM, PromptSwap
from nulltext.bench.candidate import Candidate, Outcome, always
from nulltext.bench.case import Case, Refused
from nulltext.bench.run import run
from nulltext.errors import Cancelled, CaseError, DivergedError, EmptyMaskError, OutputWriteError
from nulltext.inversion.invert import Inverter
from nulltext.metrics import psnr
from nulltext.progress import silent

KNOWN = {"kind": "", "changed": None, "blend": None, "truth": None, "words": {}, "seed": 0}


def case(name: str, shade: int = 0, **changes: object) -> Case:
    image = Image.new("RGB", (64, 64), (shade, 90, 30))
    where = f"captions.csv, line {shade + 2}"
    given = {"name": name, "image": image, "source": "a cat", "target": "a dog", "where": where}
    return Case(**{**KNOWN, **given, **changes})


def none_for_bad(case: Case) -> DDIM:
    if case.name == "bad":
        raise DivergedError("there is no method for it.")
    return DDIM(steps=1)


@dataclass(frozen=True, kw_only=True)
class Breaking(Inverter):
    """DDIM inversion that fails on red images."""

    error: type[Exception]
    steps: int = 1

    def solve(self, problem):
        if problem.z0.mean() > 0.0165:  # latents of red; those of the other images here are below 0.0152
            raise self.error("broke on red.")
        return DDIM(steps=self.steps).solve(problem)


@dataclass(frozen=True)
class Choosy:
    """An editor that fails on prompts of pigs, alone or beside others."""

    def __call__(self, model, inversion, prompts, on_progress=silent):
        if any("pig" in prompt for prompt in prompts):
            raise EmptyMaskError("nothing of a pig is here.")
        return PromptSwap(guidance=2.0)(model, inversion, prompts, on_progress)


def kept_psnr(outcome: Outcome) -> float:
    return psnr(outcome.output, outcome.image.pixels)


def broken_measure(outcome: Outcome, *, error: type[BaseException]) -> float:
    if outcome.case.name == "bad":
        raise error("broke while measuring.")
    return 1.0


def swap(inverter: Any) -> Candidate:
    return Candidate(name="swap", inverter=always(inverter), editor=always(PromptSwap(guidance=2.0)))


GOOD = swap(DDIM(steps=1))
Row = Mapping[str, Any]


def outcomes(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    return {(row["case"], row["method"]): row["reason"] for row in rows if row["status"] == "failed"}


BAD_CASES: dict[str, tuple[Callable[[Path], Case | Refused], str]] = {
    "a prompt too long": (lambda _: case("bad", 1, source="a cat " * 40), "line 3: .*These words do not fit"),
    "a new prompt too long": (lambda _: case("bad", 1, target="a dog " * 40), "line 3: .*These words do not fit"),
    "an empty prompt": (lambda _: case("bad", 1, target=" "), "line 3: .*at least one word"),
    "a word that is not there": (
        lambda _: case("bad", 1, blend=(("cat",), ("pig",))),
        "line 3: the word 'pig' is not in the prompt 'a dog'",
    ),
    "refused before": (
        lambda _: Refused(name="bad", where="captions.csv, line 3", error=CaseError("captions.csv, line 3: no image")),
        "^captions.csv, line 3: no image$",
    ),
    "a file that is gone": (lambda folder: case("bad", 1, image=folder / "gone.png"), "line 3: .*gone.png"),
    "a file that is none": (lambda folder: case("bad", 1, image=text(folder)), "line 3: .*text.png is not an image"),
}


def text(folder: Path) -> Path:
    (folder / "text.png").write_text("no image")
    return folder / "text.png"


@pytest.mark.parametrize(("bad", "expected"), BAD_CASES.values(), ids=BAD_CASES)
def test_a_case_that_cannot_be_used_is_a_row_and_the_others_go_on(model, tmp_path, bad, expected):
    entries = [bad(tmp_path), case("good", 9)]
    rows = run(model, entries, [GOOD], {"psnr": kept_psnr}, tmp_path, samples=0)
    assert [(row["case"], row["status"]) for row in rows] == [("bad", "failed"), ("good", "measured")]
    assert rows[0]["psnr"] is None
    assert re.search(expected, str(rows[0]["reason"]))
    assert rows[0].keys() == rows[1].keys()
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows


BREAKS: dict[str, tuple[Candidate, Mapping[str, Callable[..., float]], str]] = {
    "diverged": (swap(Breaking(error=DivergedError)), {}, "broke on red"),
    "out of memory": (swap(Breaking(error=torch.OutOfMemoryError)), {}, "the memory of cpu does not suffice"),
    "out of the system's memory": (swap(Breaking(error=MemoryError)), {}, "not enough memory"),
    "a fault of the program": (swap(Breaking(error=ZeroDivisionError)), {}, "ZeroDivisionError: broke on red"),
    "a measure": (GOOD, {"x": partial(broken_measure, error=DivergedError)}, "broke while measuring"),
    "the choice of a method": (
        replace(GOOD, inverter=none_for_bad),
        {},
        "there is no method for it",
    ),
}


@pytest.mark.parametrize(("candidate", "measures", "expected"), BREAKS.values(), ids=BREAKS)
def test_what_fails_on_one_image_is_a_row_and_the_others_go_on(model, tmp_path, candidate, measures, expected):
    rows = run(model, [case("bad", 255), case("good", 9)], [candidate], measures, tmp_path, samples=0)
    assert list(outcomes(rows)) == [("bad", "swap")]
    assert expected in outcomes(rows)["bad", "swap"]
    assert outcomes(rows)["bad", "swap"].startswith("captions.csv, line 257: ")


def test_of_methods_that_share_a_batch_those_that_work_have_their_rows(model, tmp_path):
    again = replace(GOOD, name="again", editor=None)
    methods = [swap(Breaking(error=DivergedError)), GOOD, again]
    cases = [case("bad", 255), case("good", 9)]
    rows = run(model, cases, [replace(each, name=f"{n}") for n, each in enumerate(methods)], {}, tmp_path, at_once=3)
    assert list(outcomes(rows)) == [("bad", "0")]


@pytest.mark.slow  # two processes that load everything
def test_the_same_with_several_workers(model, tmp_path):
    cases = [case("first"), case("bad", 255), case("last", 9)]
    rows = run(
        model, cases, [swap(DDIM(steps=1))], {"x": partial(broken_measure, error=MemoryError)}, tmp_path, workers=2
    )
    assert [row["status"] for row in rows] == ["measured", "failed", "measured"]
    assert "memory" in outcomes(rows)["bad", "swap"]


def test_of_edits_drawn_side_by_side_those_that_can_be_drawn_are(model, tmp_path):
    one = case("one")
    choosy: Any = Choosy()
    cases = [one, replace(one, name="pig", target="a pig"), replace(one, name="two", target="a ball")]
    rows = run(model, cases, [replace(GOOD, editor=always(choosy))], {}, tmp_path)
    assert outcomes(rows) == {("pig", "swap"): "captions.csv, line 2: nothing of a pig is here."}


def test_what_failed_is_tried_again_and_the_rest_is_kept(model, tmp_path):
    cases = [case("first"), case("bad", 255)]
    failing = {"x": partial(broken_measure, error=MemoryError)}
    run(model, cases, [GOOD], failing, tmp_path, samples=0)
    (path,) = (tmp_path / "rows").iterdir()
    when = path.stat().st_mtime_ns
    assert outcomes(run(model, cases, [GOOD], failing, tmp_path, samples=0))
    assert path.stat().st_mtime_ns == when
    assert [kept.name for kept in (tmp_path / "rows").iterdir()] == [path.name]


def test_nothing_that_could_be_measured_is_an_error(model, tmp_path):
    with pytest.raises(
        CaseError, match=r"none of the 2 entries could be measured. The first: captions.csv, line 3: .*fit"
    ):
        run(model, [case(name, 1, source="a cat " * 40) for name in ("a", "b")], [GOOD], {}, tmp_path)
    assert parquet.read_table(tmp_path / "rows.parquet").num_rows == 2


@pytest.mark.parametrize("error", [Cancelled, OutputWriteError, KeyboardInterrupt])
def test_what_is_not_of_one_image_ends_the_run(model, tmp_path, error):
    with pytest.raises(error):
        run(model, [case("bad"), case("last", 9)], [GOOD], {"x": partial(broken_measure, error=error)}, tmp_path)


def test_prompts_are_checked_before_the_first_image_is_inverted(model, tmp_path):
    names: list[object] = []
    long = case("bad", 1, source="a cat " * 40)

    def inverter(of: Case) -> DDIM:
        names.append(of.name)
        return DDIM(steps=1)

    with pytest.raises(CaseError):
        run(model, [long], [replace(GOOD, inverter=inverter)], {}, tmp_path)
    assert names == []
