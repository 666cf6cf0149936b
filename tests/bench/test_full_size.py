import json

import nulltext
from nulltext.bench.speed.full_size import measure_full_size
from nulltext.models.random_weights import random_pipeline


def test_the_script_for_a_gpu_runs_at_small_size():
    """The embedded model in the full size's place, and a tiny SDXL."""
    events = []
    found = measure_full_size(
        lambda dtype: nulltext.load(device="cpu", dtype=dtype),
        lambda: nulltext.load(random_pipeline("sdxl", tiny=True)),
        steps=2,
        inner_steps=1,
        batch=2,
        sdxl_side=64,
        on_progress=events.append,
    )
    found = json.loads(json.dumps(found))
    for dtype in ("bfloat16", "float32"):
        null_text, fast = found[dtype]["null_text"], found[dtype]["direct"]
        # 2 to invert; at each step one for the prompt, one forward and one backward, one to land
        noise = 2 if dtype == "bfloat16" else 0
        assert (null_text["forwards"], null_text["backwards"]) == (2 + 2 * 3 + noise, 2)
        assert (fast["forwards"], fast["backwards"]) == (3, 0)
        assert null_text["seconds"] > 0 < null_text["seconds_in_batch"]
        assert 0 < null_text["floor_share"] < 1
        assert found[dtype]["predicted_peak_bytes"] > found[dtype]["saved_bytes"] > 0
    assert found["sdxl_unet"]["parameters"] > 0
    assert [event.step for event in events] == [1, 2, 3, 4, 5]
