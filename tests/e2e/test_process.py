"""What can be seen only from outside the process: how fast it starts, how it stops, what is on which stream."""

import json
import os
import resource
import select
import signal
import subprocess
import sys

import pytest
import typer
from tests.e2e.one_process import in_one_process

from nulltext.cli.command import Command


def processor_seconds(args: list[str], environment: dict[str, str], times: int = 3) -> float:
    """Seconds of processor time of the quickest run: its wall time on a machine that does nothing else."""
    seconds: list[float] = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(args, check=True, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(seconds)


def test_help_is_immediate(program, environment):
    assert processor_seconds([*program, "--help"], environment) < 0.5


def test_import_is_quick(environment):
    bare = processor_seconds([sys.executable, "-c", "pass"], environment)
    assert processor_seconds([sys.executable, "-c", "import nulltext"], environment) - bare < 0.3


def test_help_of_no_command_imports_a_heavy_library(environment):
    code = """
import sys
from typer.testing import CliRunner
from nulltext.cli.app import app
for command in sys.argv[1:]:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0, (command, result.output)
    heavy = {"torch", "numpy", "PIL", "diffusers", "transformers"} & set(sys.modules)
    assert not heavy, (command, heavy)
"""
    commands = ("demo", "invert", "edit", "show", "generate", "train", "bench reconstruction", "bench model")
    subprocess.run([sys.executable, "-c", code, *commands], check=True, env=environment)


def test_json_is_all_there_is(here, image_file, tiny, environment):
    """Of two commands, one after the other: what they have in common takes a process long to load."""
    measure = ["bench", "model", "--limit", "1", "--steps", "1", "--json"]
    invert = ["invert", str(image_file), "a red ball", "--model", str(tiny), "--steps", "2", "--json"]
    result = subprocess.run(
        in_one_process([measure, invert]), check=True, capture_output=True, text=True, env=environment
    )
    measured, inverted, rest = result.stdout.split("\f")
    assert json.loads(measured)["pictures"] == 1
    assert json.loads(inverted)["file"] == "photo.safetensors"
    assert rest == ""
    of_measuring, of_inverting, rest = result.stderr.split("\f")
    assert of_measuring == ""
    assert "Warning" not in of_inverting
    assert rest == ""


def test_ctrl_c_leaves_nothing_behind(here, image_file, tiny, program, environment):
    args = ["invert", str(image_file), "a red ball", "--model", str(tiny), "--steps", "90"]
    args += ["--method", "null-text", "--inner-steps", "1000000"]
    terminal, stderr = os.openpty()  # on which the command shows how far it is
    # A shell starts background jobs with Ctrl-C ignored, and the tests may be one: a terminal's default is meant here.
    inherited = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen([*program, *args], stdout=subprocess.PIPE, stderr=stderr, env=environment)
    finally:
        signal.signal(signal.SIGINT, inherited)
        os.close(stderr)
    shown = b""
    while b"null-text optimisation" not in shown:
        shown += os.read(terminal, 4096)
    process.send_signal(signal.SIGINT)
    while process.poll() is None or select.select([terminal], [], [], 0)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # how a terminal of Linux ends
            break
    os.close(terminal)
    assert process.wait(timeout=60) == 130, shown
    assert shown.decode().strip().endswith("Stopped. Nothing half-written was left behind.")
    assert process.communicate()[0] == b""
    assert list(here.iterdir()) == []


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
SLOW = """
import time, typer
from nulltext.cli.command import Command
from nulltext.files import writing

app = typer.Typer()

@app.command(cls=Command)
def work():
    with writing("a.bin", overwrite=True) as file:
        file.write(b"ne")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)

app()
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_signal_in_the_middle_of_a_write_leaves_what_was_there(number, before, here, environment):
    if before is not None:
        (here / "a.bin").write_bytes(before)
    inherited = signal.signal(signal.SIGINT, signal.SIG_DFL)  # as above
    try:
        process = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True, env=environment)
    finally:
        signal.signal(signal.SIGINT, inherited)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == SIGNALS[number]
    assert {path.name: path.read_bytes() for path in here.iterdir()} == ({} if before is None else {"a.bin": before})


def test_ctrl_c_that_a_library_turns_into_another_error_is_still_one(capfd):
    app = typer.Typer()

    @app.command(cls=Command)
    def work():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stopped:
            app([])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert stopped.value.code == 130
    assert capfd.readouterr().err.strip() == "Stopped. Nothing half-written was left behind."
