"""Several commands in one process, where starting one for each would cost more than they do."""

import json
import sys
from collections.abc import Sequence

_CODE = """
import json, sys
from nulltext.cli.app import main

expected = int(sys.argv[2])
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["nulltext", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert (ended.code or 0) == expected, ended
    for stream in sys.stdout, sys.stderr:
        print(end="\\f", file=stream, flush=True)
"""


def in_one_process(commands: Sequence[Sequence[object]], *, code: int = 0) -> list[str]:
    """What to run: each command must end with the exit code, and a form feed ends what it prints."""
    return [sys.executable, "-c", _CODE, json.dumps([list(map(str, each)) for each in commands]), str(code)]
