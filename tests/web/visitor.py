"""What the tests of the app send to it: uploads, inversions, edits, and waiting for them."""

import time

import pytest

SOON = 60.0


def wait(client, job):
    """How a job ended."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        answer = client.get(f"/v1/jobs/{job}")
        assert answer.status_code == 200, answer.text
        if answer.json()["state"] not in {"waiting", "running"}:
            return answer.json()
        time.sleep(0.02)
    return pytest.fail("the job does not end")


def upload(client, data, name="photo.png", **headers):
    """The answer to an image or an inversion file."""
    return client.post("/v1/images", files={"image": (name, data)}, **headers)


def start(client, data, prompt, name="photo.png", **body):
    """The answer to an image that is to be inverted: that to the upload, if it was refused or is an inversion."""
    answer = upload(client, data, name)
    if answer.status_code != 201 or answer.json()["node"] is None:
        return answer
    return client.post("/v1/inversions", json={"image": answer.json()["node"]["id"], "prompt": prompt, **body})


def edit(client, parent, prompt, **body):
    """The answer to an edit."""
    return client.post("/v1/edits", json={"parent": parent, "prompt": prompt, **body})


def made(client, answer):
    """The nodes that came of what was started."""
    assert answer.status_code in {201, 202}, answer.text
    job = wait(client, answer.json()["job"])
    assert job["state"] == "done", job["message"]
    return [client.get(f"/v1/history/{number}").json() for number in job["result"]["nodes"]]
