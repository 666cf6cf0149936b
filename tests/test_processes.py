import time

from nulltext.processes import processes

SLOW = """
import time
from nulltext.files import writing
with writing({path!r}) as file:
    file.write(b"ne")
    file.flush()
    time.sleep(60)
"""


def test_a_worker_that_is_stopped_tidies_up(tmp_path):
    with processes(1) as pool:
        pool.apply_async(exec, (SLOW.format(path=str(tmp_path / "a.bin")), {}))
        while not any(tmp_path.iterdir()):
            time.sleep(0.01)
    assert not any(tmp_path.iterdir())
