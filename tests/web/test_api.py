import base64
import io
import json
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from nulltext.web.answers import STATUS
from nulltext.web.requests import InversionRequest

STEPS = "5"
SOON = 60.0


@pytest.fixture
def blue(sample_prompt):
    return sample_prompt.replace("white", "blue")


def wait(client, number):
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        answer = client.get(f"/api/jobs/{number}")
        assert answer.status_code == 200, answer.text
        if answer.json()["state"] not in {"waiting", "running"}:
            return answer.json()
        time.sleep(0.02)
    pytest.fail("the job does not end")


def start(client, sample, sample_prompt, **form):
    files = {"image": ("photo.png", sample)}
    return client.post("/api/inversions", files=files, data={"prompt": sample_prompt, "steps": STEPS, **form})


@pytest.fixture
def inverted(client, sample, sample_prompt):
    """The number of a job that has inverted the sample."""
    answer = start(client, sample, sample_prompt)
    assert answer.status_code == 202, answer.text
    number = answer.json()["job"]
    assert wait(client, number)["state"] == "done"
    return number


def edit(client, job, prompt, **body):
    return client.post("/api/edits", json={"job": job, "prompt": prompt, **body})


def test_there_and_back(client, sample, sample_prompt, inverted, blue):
    result = client.get(f"/api/jobs/{inverted}").json()["result"]
    assert result.keys() == {"inversion", "method", "psnr", "vae_psnr", "seconds", "warning", "verdict", "recommended"}
    assert result["recommended"] == dict.fromkeys(("cross", "self_share"), "0.8, recommended by the model 'scenes'")
    answer = edit(client, inverted, blue)
    assert answer.status_code == 202
    job = wait(client, answer.json()["job"])
    assert (job["state"], job["message"], job["seconds_left"]) == ("done", None, None)
    assert job["result"].keys() == {"images", "python", "shell", "editor", "settings", "seconds"}
    (number,) = job["result"]["images"]
    file = client.get(f"/api/files/{number}")
    assert file.headers["content-type"] == "image/png"
    assert "no-store" in file.headers["cache-control"]
    assert "content-disposition" not in file.headers  # who fetches it names it
    image = Image.open(io.BytesIO(file.content))
    assert (image.format, image.size) == ("PNG", (160, 128))
    source = Image.open(io.BytesIO(sample))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(source)).max() > 30
    assert np.array_equal(np.asarray(image)[:, :16], np.asarray(source)[:, :16])  # cropped, and put back


def test_a_kept_inversion_goes_the_same_way(client, inverted, blue):
    number = client.get(f"/api/jobs/{inverted}").json()["result"]["inversion"]
    file = client.get(f"/api/files/{number}")
    assert file.headers["content-type"] == "application/octet-stream"
    answer = client.post("/api/inversions", files={"image": ("kept.safetensors", file.content)})
    assert answer.status_code == 202
    assert wait(client, answer.json()["job"])["state"] == "done"
    assert wait(client, edit(client, answer.json()["job"], blue).json()["job"])["state"] == "done"


def test_the_whole_edit(client, inverted, sample, blue, encode):
    mask = Image.new("L", (160, 128))
    mask.paste(255, (30, 30, 130, 100))
    body = {
        "cross": 0.5,
        "self_share": 0.4,
        "weights": {"blue": 2.0},
        "blend_words": ["cube"],
        "mask": base64.b64encode(encode(mask, "PNG")).decode(),
    }
    job = wait(client, edit(client, inverted, blue, **body).json()["job"])
    assert job["state"] == "done", job["message"]
    (shell,) = job["result"]["shell"]
    assert "--cross 0.5 --self 0.4 --weight blue=2" in shell
    four = wait(client, edit(client, inverted, blue, vary="layout").json()["job"])
    assert len(four["result"]["images"]) == 4
    chained = wait(client, edit(client, inverted, blue.replace("grass", "snow"), before=[blue]).json()["job"])
    assert "--chain" in chained["result"]["shell"][0]


def test_a_mask_that_is_found(client, inverted, blue):
    job = wait(client, edit(client, inverted, blue, mask_source="diffedit").json()["job"])
    assert job["state"] == "done", job["message"]
    assert "--mask diffedit" in job["result"]["shell"][0]
    chained = edit(client, inverted, blue.replace("grass", "snow"), before=[blue], mask_source="diffedit")
    assert wait(client, chained.json()["job"])["state"] == "done"


def test_an_editor_with_a_mask(client, inverted, sample, blue, encode):
    mask = Image.new("L", (160, 128))
    mask.paste(255, (30, 30, 130, 100))
    body = {"editor": "blended-diffusion", "mask": base64.b64encode(encode(mask, "PNG")).decode()}
    job = wait(client, edit(client, inverted, blue, **body).json()["job"])
    assert job["state"] == "done", job["message"]
    assert "--editor blended-diffusion --mask mask.png" in job["result"]["shell"][0]
    made = client.get(f"/api/files/{job['result']['images'][0]}")
    output, source = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (made.content, sample))
    changed = np.abs(output - source).max(-1)
    assert changed[40:90, 40:120].max() > 30
    outside = np.asarray(mask) == 0
    assert changed[outside].max() <= 1
    other = wait(client, edit(client, inverted, blue, **body, settings={"seed": 1}).json()["job"])
    assert other["result"]["settings"][0]["seed"] == 1
    refused = wait(client, edit(client, inverted, blue, editor="inpaint", mask_source="diffedit").json()["job"])
    assert refused["state"] == "failed"
    assert "got inpaint with scenes, whose denoiser is shown no mask" in refused["message"]


def test_a_kept_inversion_is_known_by_its_content(client, inverted):
    number = client.get(f"/api/jobs/{inverted}").json()["result"]["inversion"]
    file = client.get(f"/api/files/{number}").content
    answer = client.post("/api/inversions", files={"image": ("kept.png", file)})
    assert wait(client, answer.json()["job"])["state"] == "done"


def test_nobody_elses(client, new_client, inverted, blue):
    other = new_client()
    number = client.get(f"/api/jobs/{inverted}").json()["result"]["inversion"]
    for answer in (
        other.get(f"/api/jobs/{inverted}"),
        other.delete(f"/api/jobs/{inverted}"),
        other.get(f"/api/files/{number}"),
        edit(other, inverted, blue),
    ):
        assert answer.status_code == 404
        assert "of yours" in answer.json()["detail"]
    guessed = other.get("/api/jobs/" + "A" * 22)
    assert guessed.json()["detail"].replace("A" * 22, inverted) == other.get(f"/api/jobs/{inverted}").json()["detail"]
    assert client.get(f"/api/files/{number}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/files/nothing",
        "/api/files/" + "A" * 22 + ".png",
        "/api/files/..%2F..%2Finversions",
        "/api/files/%2Fetc%2Fpasswd",
        "/api/files/%00.png",
        "/api/jobs/%00",
        "/api/jobs/..%2F",
        "/api/nothing",
    ],
)
def test_what_is_not_there(client, path):
    assert client.get(path).status_code == 404


@pytest.fixture
def blocked(workshop):
    """The network waits until it is let go."""
    go, begun = threading.Event(), threading.Event()

    def block(*_):
        begun.set()
        go.wait(SOON)

    handle = workshop.model("scenes").denoiser.register_forward_pre_hook(block)
    yield begun
    go.set()
    handle.remove()


def test_cancelling(client, sample, sample_prompt, blocked):
    running, waiting = (start(client, sample, sample_prompt, steps=steps).json()["job"] for steps in "67")
    assert blocked.wait(SOON)
    assert client.get(f"/api/jobs/{running}").json()["state"] == "running"
    assert client.get(f"/api/jobs/{waiting}").json()["position"] == 1
    for number in (waiting, running):
        begun = time.monotonic()
        answer = client.delete(f"/api/jobs/{number}")
        assert time.monotonic() - begun < 1
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert client.get(f"/api/jobs/{number}").json()["state"] == "cancelled"
    assert edit(client, running, sample_prompt).status_code == 400


def test_too_many_jobs(client, new_client, sample, sample_prompt, blocked, limits):
    jobs = [start(client, sample, sample_prompt, steps=8 + each) for each in range(limits.jobs)]
    assert [answer.status_code for answer in jobs] == [202] * limits.jobs
    refused = start(client, sample, sample_prompt, steps=20)
    assert refused.status_code == 429
    assert "3 of your jobs" in refused.json()["detail"]
    other = new_client()
    another = start(other, sample, sample_prompt, steps=8)
    assert another.status_code == 202
    other.delete(f"/api/jobs/{another.json()['job']}")
    for answer in jobs:
        client.delete(f"/api/jobs/{answer.json()['job']}")


def test_an_edit_of_an_inversion_that_is_not_done(client, sample, sample_prompt, blocked):
    job = start(client, sample, sample_prompt, steps=9).json()["job"]
    answer = edit(client, job, sample_prompt)
    assert answer.status_code == 400
    assert "not done" in answer.json()["detail"]
    client.delete(f"/api/jobs/{job}")


def test_files_that_are_too_large(client, sample, sample_prompt, limits, encode):
    for data in (sample + b"\0" * limits.upload_bytes, encode(Image.new("L", (limits.side + 1, 1)), "PNG")):
        answer = start(client, data, sample_prompt)
        assert answer.status_code == 413
        assert "expected at most" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({"steps": "0"}, "0 steps"),
        ({"steps": "101"}, "101 steps"),
        ({"method": "null-text", "settings": '{"inner_steps": 51}'}, "51 optimiser steps"),
        ({"guidance": "-1"}, "guidance"),
        ({"guidance": "nan"}, "guidance"),
        ({"guidance": "1e9"}, "guidance"),
        ({"size": "128x1280"}, "at most 2 times as many"),
        ({"prompt": "a zebra"}, "zebra"),
        ({"prompt": ""}, "empty"),
        ({"prompt": "a" * 501}, "501 characters"),
    ],
)
def test_settings_out_of_bounds(client, sample, sample_prompt, form, named):
    answer = start(client, sample, sample_prompt, **form)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"cross": 2}, "composition"),
        ({"self_share": -0.1}, "layout"),
        ({"weights": {"cube": 100}}, "strength"),
        ({"prompt": ""}, "empty"),
        ({"prompt": "a zebra"}, "zebra"),
        ({"editor": "sdedit", "settings": {"negative_prompt": "a zebra"}}, "zebra"),
        ({"settings": {"negative_prompt": "a zebra"}}, "zebra"),
        ({"before": ["a cube"] * 20}, "edits on top"),
        ({"before": ["a cube"], "vary": "layout"}, "one of the two"),
        ({"mask_source": "magic"}, "what finds the mask"),
        ({"editor": "inpaint"}, "got no mask for inpaint"),
        ({"mask": "é"}, "base64"),
        ({"mask": "abc"}, "base64"),
        ({"mask": base64.b64encode(b"no image").decode()}, "image"),
        ({"mask": base64.b64encode(b"\0" * 300_001).decode()}, "MB"),
    ],
)
def test_edits_out_of_bounds(client, inverted, blue, body, named):
    answer = edit(client, inverted, **{"prompt": blue, **body})
    assert answer.status_code in {400, 413}, answer.text
    assert named in answer.json()["detail"]


def test_a_field_that_an_edit_does_not_have_is_refused(client, inverted, blue):
    answer = edit(client, inverted, blue, weight={"ball": 2.0})
    assert answer.status_code == 422
    assert "weight" in answer.text


def test_a_truncated_mask(client, inverted, blue, encode):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 160), dtype=np.uint8))
    data = encode(noise, "PNG")
    answer = edit(client, inverted, blue, mask=base64.b64encode(data[: len(data) // 2]).decode())
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.post("/api/inversions"),
        lambda client: client.post("/api/inversions", data={"image": "text", "prompt": "a"}),
        lambda client: client.post("/api/inversions", content=b"\xff", headers={"content-type": "multipart/form-data"}),
        lambda client: client.post("/api/inversions", files={"image": ("a.png", b"")}, data={"steps": "many"}),
        lambda client: client.post("/api/inversions", files={"image": ("a.png", b"")}, data={"method": "magic"}),
        lambda client: client.post("/api/edits", content=b"{"),
        lambda client: client.post("/api/edits", json=[]),
        lambda client: client.post("/api/edits", json={"job": "a", "prompt": "b", "vary": "all"}),
        lambda client: client.post("/api/edits", json={"job": "a", "prompt": "b", "weights": {"b": "much"}}),
        lambda client: client.post("/api/edits", content=b'{"job": "a", "prompt": "b", "cross": NaN}'),
        lambda client: client.put("/api/jobs/x"),
    ],
)
def test_what_is_no_request(client, send):
    assert 400 <= send(client).status_code < 500


def test_a_name_is_said_back_as_json_only(client, sample_prompt):
    answer = client.get("/api/jobs/<script>alert(1)<%2Fscript>")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_form_of_a_request_is_documented(client):
    described = client.get("/api/openapi.json").json()
    assert {"/api/inversions", "/api/edits", "/api/jobs/{number}", "/api/files/{number}", "/api/models"} <= (
        described["paths"].keys()
    )
    assert described["paths"]["/api/jobs/{number}"].keys() == {"get", "delete"}
    assert described["paths"]["/api/inversions"]["post"]["summary"] == "Invert an image"
    fields = json.dumps(described["components"]["schemas"])
    assert all(name in fields for name in ("inner_steps", "self_share", "editor", "seconds_left"))


def test_models(client):
    assert client.get("/api/models").json() == ["scenes"]


def test_another_model_than_is_offered(client, sample, sample_prompt):
    answer = start(client, sample, sample_prompt, model="/etc")
    if answer.status_code == 202:
        job = wait(client, answer.json()["job"])
        assert job["state"] == "failed"
        assert "does not offer" in job["message"]
    else:
        assert answer.status_code == 400


def test_every_setting_of_an_inversion_can_be_given(client):
    described = client.get("/api/openapi.json").json()["components"]["schemas"]
    (form,) = [schema for name, schema in described.items() if "inversions" in name]
    assert set(InversionRequest.__dataclass_fields__) <= form["properties"].keys()


def test_the_page_is_there_and_lets_nobody_through_the_back(client, workshop):
    assert client.get("/").status_code == 200
    for path in ("/gradio_api/file=/etc/passwd", f"/gradio_api/file={workshop.people.root}/people"):
        assert client.get(path).status_code == 403
    for path in ("/gradio_api/proxy=http://example.com", "/gradio_api/deep_link"):
        assert client.get(path).status_code == 404


def test_an_upload_to_the_page_is_its_senders_alone(client, new_client, sample):
    answer = client.post("/gradio_api/upload", files={"files": ("../../<b>.png", sample)})
    (path,) = answer.json()
    assert client.get(f"/gradio_api/file={path}").content == sample
    other = new_client()
    assert other.get(f"/gradio_api/file={path}").status_code == 403
    other.post("/api/edits", json={"job": {"path": path}, "prompt": "a"})  # which is said back
    other.get("/api/jobs/x", params={"path": path})
    assert other.get(f"/gradio_api/file={path}").status_code == 403


def test_a_body_larger_than_any_file_is_not_even_read(client, limits):
    """The library writes a body to the disk before anybody can look how large the file is."""
    assert 4 * limits.upload_bytes < limits.request_bytes <= 8 * limits.upload_bytes
    answer = client.post("/api/inversions", content=b"\0" * (8 * limits.upload_bytes + 1))
    assert answer.status_code == 413
    assert "larger than the server takes" in answer.json()["detail"]


def test_the_samples_of_the_page_outlast_the_sweep(client, workshop):
    page = client.get("/config").json()
    (gallery,) = [each for each in page["components"] if each["props"].get("elem_id") == "samples"]
    paths = [entry["image"]["path"] for entry in gallery["props"]["value"]]
    assert len(paths) == 4
    for path in paths:
        assert client.get(f"/gradio_api/file={path}").status_code == 200
        os.utime(path, (0, 0))
    workshop.people.sweep()
    assert [client.get(f"/gradio_api/file={path}").status_code for path in paths] == [200] * 4


def test_statuses():
    assert {404, 413, 429} == {int(status) for status in STATUS.values()}
