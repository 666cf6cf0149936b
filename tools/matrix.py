"""Runs the tests under the oldest and the newest versions of what the package stands on that `pyproject.toml` allows.

    python tools/matrix.py                            # both, with the interpreter at hand
    python tools/matrix.py --python 3.11 --python 3.14 --only oldest
    python tools/matrix.py --list                     # which versions these are, and nothing is installed or run

Each run has an environment of its own, made by uv. The oldest versions are those of `--resolution lowest-direct`: the
lowest that `pyproject.toml` names, and of what these in turn need the newest.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = (sys.executable, "-m", "uv")
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
WATCHED = ("torch", "diffusers", "transformers", "typer", "numpy", "pydantic")
TESTS = (
    "-m",
    "not slow and not alone",
    "tests/contract",
    "tests/inversion",
    "tests/editing",
    "tests/models",
    "tests/diffusion",
)


def resolve(resolution: str, python: str, extra: list[str]) -> str:
    """The versions of all packages, as a requirements file."""
    command = [
        *UV,
        "pip",
        "compile",
        "--quiet",
        "--extra",
        "dev",
        "--python-version",
        python,
        "--resolution",
        resolution,
    ]
    done = subprocess.run([*command, *extra, "pyproject.toml"], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def watched(requirements: str) -> str:
    """Of these the versions that matter most, in a line."""
    found = dict(
        line.split(";")[0].strip().split("==")
        for line in requirements.splitlines()
        if "==" in line and not line.startswith(" ")
    )
    return ", ".join(f"{name} {found[name]}" for name in WATCHED if name in found)


def run(requirements: str, python: str, extra: list[str], tests: list[str]) -> int:
    """The exit code of the tests in an environment with these versions."""
    with tempfile.TemporaryDirectory() as folder:
        venv, listed = Path(folder) / "venv", Path(folder) / "requirements.txt"
        listed.write_text(requirements, encoding="utf-8")
        subprocess.run([*UV, "venv", "--quiet", "--python", python, venv], check=True)
        install = [*UV, "pip", "install", "--quiet", "--python", venv / "bin" / "python", *extra]
        subprocess.run([*install, "--requirement", listed], check=True)
        subprocess.run([*install, "--no-deps", "--editable", ROOT], check=True)
        return subprocess.run([venv / "bin" / "python", "-m", "pytest", "-q", *tests], cwd=ROOT, check=False).returncode


def main() -> None:
    """Runs the matrix; ends with 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="a version; may be given several times")
    parser.add_argument("--only", choices=list(RESOLUTIONS))
    parser.add_argument("--list", action="store_true", help="say the versions, install and run nothing")
    parser.add_argument(
        "--uv-args", default="", help="for uv, as '--extra-index-url https://download.pytorch.org/whl/cpu'"
    )
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    arguments = parser.parse_args()
    extra, failed = shlex.split(arguments.uv_args), False
    for python in arguments.python or ["3.11"]:
        for name in [arguments.only] if arguments.only else RESOLUTIONS:
            requirements = resolve(RESOLUTIONS[name], python, extra)
            print(f"Python {python}, {name}: {watched(requirements)}", flush=True)
            if not arguments.list:
                failed |= run(requirements, python, extra, arguments.tests) != 0
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
