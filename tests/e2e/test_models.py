"""`nulltext models` and `nulltext verify`."""

import pytest

from nulltext.bench import verify as checks
from nulltext.editing import abilities
from nulltext.errors import DivergedError, SettingError
from nulltext.models.families import FAMILIES


@pytest.fixture(autouse=True)
def few_inverters(monkeypatch):
    """Each is tested where it belongs."""
    some = {word: abilities.INVERTERS[word] for word in ("direct", "null-text", "edit-friendly")}
    monkeypatch.setattr(abilities, "INVERTERS", some)


def test_models_says_what_a_family_does_when_it_is_asked(run_json, run, monkeypatch):
    some = {name: FAMILIES[name] for name in ("StableDiffusion3Pipeline",)}
    monkeypatch.setattr("nulltext.models.families.FAMILIES", some)
    (family,) = run_json("models")["families"]
    assert family["pipeline"] == "StableDiffusion3Pipeline"
    assert (family["flow"], family["single_file"], family["guidance"], family["multiple"]) == (True, True, 7.0, 16)
    assert family["inverters"]["null-text"] is family["editors"]["prompt-to-prompt"] is family["masks"]["drawn"] is True
    assert family["refusals"].keys() == {"inpaint", "text-diff"}  # for checkpoints of another kind


def test_models_shows_why_a_method_is_refused(run, monkeypatch):
    def refuses(self, problem):
        raise SettingError("this family has no null embedding. Take direct.")

    some = {name: FAMILIES[name] for name in ("StableDiffusionPipeline",)}
    monkeypatch.setattr("nulltext.models.families.FAMILIES", some)
    monkeypatch.setattr("nulltext.NullText.solve", refuses)
    result = run("models")
    assert result.exit_code == 0, result.output
    assert "null-text: this family has no null embedding" in " ".join(result.stdout.split())
    assert "text to image" in result.stdout


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_models_fits_any_terminal(run, monkeypatch, width):
    some = {name: FAMILIES[name] for name in ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline")}
    monkeypatch.setattr("nulltext.models.families.FAMILIES", some)
    monkeypatch.setattr(abilities, "ARCHITECTURES", {})
    monkeypatch.setenv("COLUMNS", width)
    result = run("models")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert all(word in shown for family in some.values() for word in family.summary.split())
    assert result.stdout.count("yes") == 2, "a single file is read of both"
    assert "?: not tried" in result.stderr


def test_a_family_without_an_architecture_is_listed(run_json, monkeypatch):
    some = {name: FAMILIES[name] for name in ("StableDiffusionPipeline",)}
    monkeypatch.setattr("nulltext.models.families.FAMILIES", some)
    monkeypatch.setattr(abilities, "ARCHITECTURES", {})
    (family,) = run_json("models")["families"]
    assert (family["flow"], family["inverters"], family["guidance"]) == (None, None, 7.5)


@pytest.mark.parametrize(("bound", "code"), [(1e6, 0), (-1e6, 3)])
def test_verify_ends_as_its_checks_do(run, image_file, tiny, monkeypatch, bound, code):
    """Weights that were never trained reconstruct as they like, so the bounds are moved."""
    monkeypatch.setattr(checks, "GAP", bound)
    given = ("--model", tiny, "--image", image_file, "--prompt", "a red ball", "--steps", 2, "--inner-steps", 1)
    result = run("verify", *given)
    assert result.exit_code == code, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith(("pass", "FAIL", "none"))]
    assert len(lines) == 4
    assert lines[0].startswith("FAIL" if code else "pass")
    assert all(line.startswith("pass") for line in lines[1:]), result.stdout
    assert "DirectInversion below the autoencoder" in lines[1]
    assert "float32 against float16" in lines[3]
    assert f"{int(code > 0)} of 4 checks failed" in result.stdout


def test_verify_json_at_a_size_of_its_own(run, image_file, tiny):
    given = ("--model", tiny, "--image", image_file, "--prompt", "a red ball", "--steps", 1, "--inner-steps", 1)
    result = run("verify", *given, "--size", "16x96", "--json")
    assert '"passed"' in result.stdout
    assert "Warning: the model was made for images of about 64 x 64" in result.stderr


def test_verify_takes_a_prompt_for_each_image(run, image_file, tiny):
    result = run("verify", "--model", tiny, "--image", image_file)
    assert result.exit_code == 2
    assert "one prompt for each image" in result.stderr


def test_what_a_model_refuses_is_no_failure():
    check = checks.Check(image="a", name="b", bound=1, unit="dB")
    assert check.without(SettingError("no null")).passed is None
    assert check.without(DivergedError("infinite")).passed is False
    assert check.found(float("inf")).passed is False
    assert str(check.found(0.5)) == "pass  a, b: 0.5 dB, at most 1"


def test_the_photographs_have_prompts_that_a_model_reads(embedded, model):
    assert [case.prompt for case in checks.photographs(embedded)][1] == "a photo of an orange striped ball"
    assert [case.prompt for case in checks.photographs(model)][1] == "a photo of a cat"


def test_sizes_that_a_model_was_not_made_for_are_named(run, here, image_file, tiny):
    given = (image_file, "a red ball", "--model", tiny, "--method", "ddim", "--steps", 1)
    result = run("invert", *given, "--size", "24x128")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Warning: the model was made for images of about 64 x 64 pixels, and of 24 x 128") == 1
    assert "Warning" not in run("invert", *given, "--size", "48x80", "--force").stderr
    result = run("generate", "a red ball", "--model", tiny, "--steps", 1, "--size", "256x256")
    assert "and of 256 x 256 it repeats" in result.stderr
