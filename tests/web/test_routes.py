"""The HTTP API: images, inversions, edits, jobs and the history, over the whole server in one process."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from nulltext.web.recipes import recipe_in

STEPS = 4


@pytest.fixture(scope="module")
def target_prompt(sample_prompt):
    return sample_prompt.replace("grass", "sand")


def started(answer):
    assert answer.status_code == 202, answer.text
    return answer.json()["job"]


def finished(client, job):
    """The nodes that a job made."""
    with client.stream("GET", f"/v1/jobs/{job}/events") as events:
        last = [line for line in events.iter_lines() if line.startswith('data: {"id"')][-1]
    status = json.loads(last.removeprefix("data: "))
    assert status["state"] == "done", status
    return status["result"]["nodes"]


@pytest.fixture(scope="module")
def image(client, sample):
    answer = client.post("/v1/images", files={"image": ("my photo.png", sample)})
    assert answer.status_code == 201, answer.text
    return answer.json()["node"]


@pytest.fixture(scope="module")
def inversion(client, image, sample_prompt):
    body = {"image": image["id"], "prompt": sample_prompt, "steps": STEPS}
    (number,) = finished(client, started(client.post("/v1/inversions", json=body)))
    return client.get(f"/v1/history/{number}").json()


@pytest.fixture(scope="module")
def edited(client, inversion, target_prompt):
    body = {"parent": inversion["id"], "prompt": target_prompt}
    (number,) = finished(client, started(client.post("/v1/edits", json=body)))
    return client.get(f"/v1/history/{number}").json()


def opened(client, number):
    answer = client.get(f"/v1/files/{number}")
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_an_image_is_kept_as_it_was_sent(client, image, sample):
    assert image["name"] == "my photo"
    assert client.get(f"/v1/files/{image['files']['original']}").content == sample
    assert opened(client, image["files"]["view"]).size == tuple(reversed(image["size"]))


def test_an_inversion_knows_all_it_was_made_with(client, inversion, image, sample_prompt):
    assert inversion["parent"] == image["id"]
    assert inversion["request"]["prompt"] == sample_prompt
    assert inversion["request"]["steps"] == STEPS
    assert {line["about"] for line in inversion["facts"]["verdict"]["lines"]} >= {"autoencoder", "reconstruction"}
    maps = inversion["facts"]["maps"]
    assert all(len(values) == maps["rows"] * maps["columns"] for values in maps["words"].values())
    assert opened(client, inversion["files"]["png"]).size == tuple(reversed(image["size"]))


def test_an_edit_carries_its_recipe(client, edited, sample_prompt, target_prompt):
    data = client.get(f"/v1/files/{edited['files']['png']}").content
    recipe = recipe_in(data)
    assert recipe is not None
    assert recipe["prompts"] == [sample_prompt, target_prompt]
    again = client.post("/v1/images", files={"image": ("again.png", data)}).json()["node"]
    assert again["facts"]["recipe"] == recipe


def test_the_same_edit_again_is_the_same_to_the_pixel(client, inversion, edited, target_prompt):
    body = {"parent": inversion["id"], "prompt": target_prompt, **{
        name: edited["request"][name] for name in ("cross", "self_share", "weights", "blend_words")
    }}  # fmt: skip
    (number,) = finished(client, started(client.post("/v1/edits", json=body)))
    first, second = (opened(client, f"{one}.png") for one in (edited["id"], number))
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_an_edit_goes_on_from_an_edit_with_its_mask(client, inversion, target_prompt, sample_prompt):
    height, width = inversion["size"]
    mask = Image.new("L", (width, height))
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    body = {"parent": inversion["id"], "prompt": target_prompt, "mask": base64.b64encode(buffer.getvalue()).decode()}
    (first,) = finished(client, started(client.post("/v1/edits", json=body)))
    assert "mask" in client.get(f"/v1/history/{first}").json()["files"]
    (second,) = finished(client, started(client.post("/v1/edits", json={"parent": first, "prompt": sample_prompt})))
    node = client.get(f"/v1/history/{second}").json()
    assert node["parent"] == first
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/v1/history/{second}/archive").content))
    assert archive.namelist() == ["1-inversion.png", "1-inversion.safetensors", "2-edit.png", "2-edit.mask.png",
                                  "3-edit.png"]  # fmt: skip


def test_variants_are_told_apart(client, inversion, target_prompt):
    body = {"parent": inversion["id"], "prompt": target_prompt, "vary": "layout"}
    numbers = finished(client, started(client.post("/v1/edits", json=body)))
    nodes = [client.get(f"/v1/history/{number}").json() for number in numbers]
    assert [node["facts"]["label"] for node in nodes] == ["0", "0.4", "0.8", "1"]
    assert len({node["facts"]["group"] for node in nodes}) == 1


def test_an_inversion_file_opens_again(client, inversion):
    data = client.get(f"/v1/files/{inversion['files']['safetensors']}").content
    answer = client.post("/v1/images", files={"image": ("kept.safetensors", data)})
    (number,) = finished(client, answer.json()["job"])
    node = client.get(f"/v1/history/{number}").json()
    assert node["request"]["prompt"] == inversion["request"]["prompt"]
    assert client.get(f"/v1/history/{node['parent']}").json()["kind"] == "image"


def test_something_is_renamed_marked_and_deleted_with_what_was_made_from_it(new_client, sample, sample_prompt):
    client = new_client()
    image = client.post("/v1/images", files={"image": ("a.png", sample)}).json()["node"]
    body = {"image": image["id"], "prompt": sample_prompt, "steps": 1}
    (inversion,) = finished(client, started(client.post("/v1/inversions", json=body)))
    changed = client.patch(f"/v1/history/{inversion}", json={"name": "Mine", "favourite": True}).json()
    assert (changed["name"], changed["favourite"]) == ("Mine", True)
    assert [node["name"] for node in client.get("/v1/history").json()] == ["a", "Mine"]
    assert client.delete(f"/v1/history/{image['id']}").json() == [image["id"], inversion]
    assert client.get("/v1/history").json() == []
    assert client.get(f"/v1/files/{inversion}.png").status_code == 404


@pytest.mark.parametrize("end", ["", "/archive"])
def test_what_is_anothers_is_not_there(new_client, inversion, end):
    stranger = new_client()
    assert stranger.get(f"/v1/history/{inversion['id']}{end}").status_code == 404
    assert stranger.get(f"/v1/files/{inversion['id']}.png").status_code == 404
    assert stranger.patch(f"/v1/history/{inversion['id']}", json={"name": "x"}).status_code == 404
    assert stranger.delete(f"/v1/history/{inversion['id']}").status_code == 404
    assert stranger.get("/v1/history").json() == []
    assert stranger.post("/v1/edits", json={"parent": inversion["id"], "prompt": "a ball"}).status_code == 404


def test_the_record_of_a_node_is_no_file(client, inversion):
    assert client.get(f"/v1/files/{inversion['id']}.json").status_code == 404


def test_a_job_of_anothers_is_not_there(client, new_client, image, sample_prompt):
    job = started(client.post("/v1/inversions", json={"image": image["id"], "prompt": sample_prompt, "steps": 1}))
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events"):
        assert new_client().get(path).status_code == 404
    finished(client, job)


def test_a_cancelled_job_ends_its_stream(client, image, sample_prompt):
    body = {"image": image["id"], "prompt": sample_prompt, "method": "null-text", "steps": 50}
    job = started(client.post("/v1/inversions", json=body))
    assert client.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    with client.stream("GET", f"/v1/jobs/{job}/events") as events:
        assert '"state":"cancelled"' in "".join(events.iter_lines())


def test_forms_come_from_the_tables(client):
    forms = client.get("/v1/methods").json()
    strength = next(one for one in forms["editors"]["methods"]["sdedit"]["fields"] if one["name"] == "strength")
    assert strength["kind"] == "number"
    assert strength["about"]
    assert forms["inverters"]["default"] in forms["inverters"]["methods"]


def test_words_that_are_not_known_are_marked_with_the_nearest(client):
    found = client.post("/v1/prompts", json={"prompt": "a photo of a rad ball", "model": "scenes"}).json()
    (one,) = found["unknown"]
    assert "red" in one["nearest"]
    assert "a photo of a rad ball"[one["start"] : one["end"]] == "rad"


def test_samples_can_be_inverted(client):
    for one in client.get("/v1/samples").json():
        found = client.post("/v1/prompts", json={"prompt": one["prompt"], "model": "scenes"}).json()
        assert found["unknown"] == []
        assert Image.open(io.BytesIO(client.get(f"/v1/samples/{one['name']}").content)).width >= 256


def test_health_and_figures(client):
    assert client.get("/health").json()["status"] == "ok"
    figures = client.get("/metrics").text
    assert 'nulltext_model_loaded{model="scenes"} 1.0' in figures
