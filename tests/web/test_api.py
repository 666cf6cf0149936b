import base64
import io
import json
import time

import numpy as np
import pytest
from PIL import Image
from tests.web.visitor import SOON, edit, made, start, upload, wait

from nulltext.web.answers import STATUS
from nulltext.web.requests import InversionRequest

STEPS = 5


@pytest.fixture
def blue(sample_prompt):
    return sample_prompt.replace("white", "blue")


@pytest.fixture
def inverted(client, sample, sample_prompt):
    """The id of an inversion of the sample."""
    (node,) = made(client, start(client, sample, sample_prompt, steps=STEPS))
    return node["id"]


def test_there_and_back(client, sample, sample_prompt, inverted, blue):
    facts = client.get(f"/v1/history/{inverted}").json()["facts"]
    assert facts["recommended"]["why"] == dict.fromkeys(
        ("cross", "self_share"), "0.8, recommended by the model 'scenes'"
    )
    answer = edit(client, inverted, blue)
    assert answer.status_code == 202
    job = wait(client, answer.json()["job"])
    assert (job["state"], job["message"], job["seconds_left"]) == ("done", None, None)
    (number,) = job["result"]["nodes"]
    file = client.get(f"/v1/files/{number}.png")
    assert file.headers["content-type"] == "image/png"
    assert "private" in file.headers["cache-control"]
    assert "content-disposition" not in file.headers  # who fetches it names it
    image = Image.open(io.BytesIO(file.content))
    assert (image.format, image.size) == ("PNG", (160, 128))
    source = Image.open(io.BytesIO(sample))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(source)).max() > 30
    assert np.array_equal(np.asarray(image)[:, :16], np.asarray(source)[:, :16])  # cropped, and put back


def test_a_kept_inversion_goes_the_same_way(client, inverted, blue):
    file = client.get(f"/v1/files/{inverted}.safetensors")
    assert file.headers["content-type"] == "application/octet-stream"
    (opened,) = made(client, upload(client, file.content, "kept.png"))  # it is known by its content
    assert made(client, edit(client, opened["id"], blue))


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
    (node,) = made(client, edit(client, inverted, blue, **body))
    assert "--cross 0.5 --self 0.4 --weight blue=2" in node["facts"]["shell"]
    assert "mask" in node["files"]
    (plain,) = made(client, edit(client, inverted, blue, cross=0.5, self_share=0.4))
    then = blue.replace("grass", "snow")
    (chained,) = made(client, edit(client, plain["id"], then, cross=0.5, self_share=0.4))
    assert chained["parent"] == plain["id"]


def test_a_mask_that_is_found(client, inverted, blue):
    (node,) = made(client, edit(client, inverted, blue, mask_source="diffedit"))
    assert "--mask diffedit" in node["facts"]["shell"]
    (plain,) = made(client, edit(client, inverted, blue))
    assert made(client, edit(client, plain["id"], blue.replace("grass", "snow"), mask_source="diffedit"))


def test_an_editor_with_a_mask(client, inverted, sample, blue, encode):
    mask = Image.new("L", (160, 128))
    mask.paste(255, (30, 30, 130, 100))
    body = {"editor": "blended-diffusion", "mask": base64.b64encode(encode(mask, "PNG")).decode()}
    (node,) = made(client, edit(client, inverted, blue, **body))
    assert "--editor blended-diffusion --mask mask.png" in node["facts"]["shell"]
    file = client.get(f"/v1/files/{node['files']['png']}")
    output, source = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (file.content, sample))
    changed = np.abs(output - source).max(-1)
    assert changed[40:90, 40:120].max() > 30
    outside = np.asarray(mask) == 0
    assert changed[outside].max() <= 1
    (other,) = made(client, edit(client, inverted, blue, **body, settings={"seed": 1}))
    assert other["facts"]["settings"]["seed"] == 1
    refused = wait(client, edit(client, inverted, blue, editor="inpaint", mask_source="diffedit").json()["job"])
    assert refused["state"] == "failed"
    assert "got inpaint with scenes, whose denoiser is shown no mask" in refused["message"]


def test_nobody_elses(client, new_client, inverted, sample, sample_prompt, blue):
    other, job = new_client(), start(client, sample, sample_prompt, steps=STEPS).json()["job"]
    for answer in (
        other.get(f"/v1/jobs/{job}"),
        other.delete(f"/v1/jobs/{job}"),
        other.get(f"/v1/files/{inverted}.png"),
        edit(other, inverted, blue),
    ):
        assert answer.status_code == 404
        assert "of yours" in answer.json()["detail"]
    guessed = other.get("/v1/jobs/" + "A" * 22)
    assert guessed.json()["detail"].replace("A" * 22, job) == other.get(f"/v1/jobs/{job}").json()["detail"]
    assert client.get(f"/v1/files/{inverted}.png").status_code == 200
    wait(client, job)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/nothing",
        "/v1/files/" + "A" * 22 + ".png",
        "/v1/files/..%2F..%2Finversions",
        "/v1/files/%2Fetc%2Fpasswd",
        "/v1/files/%00.png",
        "/v1/jobs/%00",
        "/v1/jobs/..%2F",
        "/v1/nothing",
    ],
)
def test_what_is_not_there(client, path):
    assert client.get(path).status_code == 404


def test_cancelling(client, sample, sample_prompt, blocked):
    running, waiting = (start(client, sample, sample_prompt, steps=steps).json()["job"] for steps in (6, 7))
    begun, _ = blocked
    assert begun.wait(SOON)
    assert client.get(f"/v1/jobs/{running}").json()["state"] == "running"
    assert client.get(f"/v1/jobs/{waiting}").json()["position"] == 1
    for number in (waiting, running):
        begun = time.monotonic()
        answer = client.delete(f"/v1/jobs/{number}")
        assert time.monotonic() - begun < 1
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert client.get(f"/v1/jobs/{number}").json()["state"] == "cancelled"


def test_too_many_jobs(client, new_client, sample, sample_prompt, blocked, limits):
    jobs = [start(client, sample, sample_prompt, steps=8 + each) for each in range(limits.jobs)]
    assert [answer.status_code for answer in jobs] == [202] * limits.jobs
    refused = start(client, sample, sample_prompt, steps=20)
    assert refused.status_code == 429
    assert "3 of your jobs" in refused.json()["detail"]
    other = new_client()
    another = start(other, sample, sample_prompt, steps=8)
    assert another.status_code == 202
    other.delete(f"/v1/jobs/{another.json()['job']}")
    for answer in jobs:
        client.delete(f"/v1/jobs/{answer.json()['job']}")


def test_an_edit_of_an_image_that_is_not_inverted(client, sample, sample_prompt):
    node = upload(client, sample).json()["node"]
    answer = edit(client, node["id"], sample_prompt)
    assert answer.status_code == 400
    assert "Invert the image first" in answer.json()["detail"]


def test_an_inversion_of_an_inversion(client, inverted, sample_prompt):
    answer = client.post("/v1/inversions", json={"image": inverted, "prompt": sample_prompt})
    assert answer.status_code == 400
    assert "expected an image" in answer.json()["detail"]


def test_files_that_are_too_large(client, sample, sample_prompt, limits, encode):
    for data in (sample + b"\0" * limits.upload_bytes, encode(Image.new("L", (limits.side + 1, 1)), "PNG")):
        answer = start(client, data, sample_prompt)
        assert answer.status_code == 413
        assert "expected at most" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({"steps": 0}, "0 steps"),
        ({"steps": 101}, "101 steps"),
        ({"method": "null-text", "settings": {"inner_steps": 51}}, "51 optimiser steps"),
        ({"guidance": -1}, "guidance"),
        ({"guidance": 1e9}, "guidance"),
        ({"size": "128x1280"}, "at most 2 times as many"),
        ({"prompt": "a zebra"}, "zebra"),
        ({"prompt": ""}, "empty"),
        ({"prompt": "a" * 501}, "501 characters"),
    ],
)
def test_settings_out_of_bounds(client, sample, sample_prompt, form, named):
    answer = start(client, sample, **{"prompt": sample_prompt, **form})
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
        lambda client: client.post("/v1/images"),
        lambda client: client.post("/v1/images", data={"image": "text"}),
        lambda client: client.post("/v1/images", content=b"\xff", headers={"content-type": "multipart/form-data"}),
        lambda client: client.post("/v1/inversions", json={"image": "a", "prompt": "b", "steps": "many"}),
        lambda client: client.post("/v1/inversions", json={"image": "a", "prompt": "b", "method": "magic"}),
        lambda client: client.post("/v1/edits", content=b"{"),
        lambda client: client.post("/v1/edits", json=[]),
        lambda client: client.post("/v1/edits", json={"parent": "a", "prompt": "b", "vary": "all"}),
        lambda client: client.post("/v1/edits", json={"parent": "a", "prompt": "b", "weights": {"b": "much"}}),
        lambda client: client.post("/v1/edits", content=b'{"parent": "a", "prompt": "b", "cross": NaN}'),
        lambda client: client.put("/v1/jobs/x"),
    ],
)
def test_what_is_no_request(client, send):
    assert 400 <= send(client).status_code < 500


def test_a_name_is_said_back_as_json_only(client, sample_prompt):
    answer = client.get("/v1/jobs/<script>alert(1)<%2Fscript>")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_form_of_a_request_is_documented(client):
    described = client.get("/v1/openapi.json").json()
    wanted = {"images", "inversions", "edits", "jobs/{number}", "jobs/{number}/events", "files/{number}", "models"}
    assert {f"/v1/{path}" for path in wanted} <= described["paths"].keys()
    assert described["paths"]["/v1/jobs/{number}"].keys() == {"get", "delete"}
    assert described["paths"]["/v1/inversions"]["post"]["summary"] == "Invert an image"
    fields = json.dumps(described["components"]["schemas"])
    assert all(name in fields for name in ("blend_words", "self_share", "editor", "seconds_left"))


def test_models(client):
    (model,) = client.get("/v1/models").json()
    assert (model["name"], model["here"], model["loaded"]) == ("scenes", True, True)
    assert "ball" in model["words"]


def test_another_model_than_is_offered(client, sample, sample_prompt):
    answer = start(client, sample, sample_prompt, model="/etc")
    if answer.status_code == 202:
        job = wait(client, answer.json()["job"])
        assert job["state"] == "failed"
        assert "does not offer" in job["message"]
    else:
        assert answer.status_code == 400


def test_every_setting_of_an_inversion_can_be_given(client):
    described = client.get("/v1/openapi.json").json()["components"]["schemas"]
    assert set(InversionRequest.__dataclass_fields__) <= described["InversionBody"]["properties"].keys()


def test_a_body_larger_than_any_file_is_not_even_read(client, limits):
    """The framework writes a body to the disk before anybody can look how large the file is."""
    assert 4 * limits.upload_bytes < limits.request_bytes <= 8 * limits.upload_bytes
    answer = client.post("/v1/images", content=b"\0" * (8 * limits.upload_bytes + 1))
    assert answer.status_code == 413
    assert "larger than the server takes" in answer.json()["detail"]


def test_statuses():
    assert {404, 413, 429} == {int(status) for status in STATUS.values()}
