"""`nulltext train`: the whole recipe from the command line, on a handful of pictures and no time."""

from nulltext.training.recipe import read_stamp

TINY = ("--pictures", 128, "--hours", 0.0001, "--limit", 2, "--work", "work")


def test_train_writes_a_measured_checkpoint_and_does_not_overwrite_it(run, run_json, here):
    figures = run_json("train", "small", *TINY)
    assert figures["pictures"] == figures["generated"] == 2
    stamped = read_stamp(here / "small")
    assert stamped["scores"] == figures
    assert stamped["recipe"]["pictures"] == 128
    again = run("train", "small", *TINY)
    assert again.exit_code == 2
    assert "--force" in again.stderr


def test_train_does_not_touch_a_folder_of_something_else(run, here):
    (here / "papers").mkdir()
    (here / "papers" / "thesis.txt").write_text("mine")
    result = run("train", "papers", *TINY)
    assert result.exit_code == 2
    assert "thesis" not in result.stderr
    assert [path.name for path in (here / "papers").iterdir()] == ["thesis.txt"]
