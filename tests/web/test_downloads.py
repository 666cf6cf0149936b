"""Models that are not here: said at once, fetched only where somebody asks, by who may, with progress."""

import threading
import time

import pytest
from huggingface_hub import constants
from starlette.testclient import TestClient
from tests.hub import COMMIT, PART, Hub, files_of, serving_hub, until

from nulltext.models.hub import is_complete, loaded_of
from nulltext.web.server import build
from nulltext.web.workshop import Workshop

NAME = "somebody/small"
NEVER = ("README.md", "whole.ckpt", "safety_checker/model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors")
"""What lies beside a model and is not read."""


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    files = files_of(folder("epsilon")) | dict.fromkeys(NEVER, b"x" * 99)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", PART)  # how often it tells
    with serving_hub(Hub(NAME, files)) as made:
        monkeypatch.setattr(constants, "ENDPOINT", made.url)  # as HF_ENDPOINT has it, before anything is imported
        files_at = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.url + files_at)
        yield made


@pytest.fixture
def visitor(hub, tmp_path):
    """Makes visitors of a server that offers the model of the hub."""
    workshop = Workshop(tmp_path / "kept", models=("scenes", NAME), device="cpu")
    with TestClient(build(workshop)) as client:
        yield lambda: client if not client.cookies else TestClient(client.app)
    workshop.close()


def test_nothing_computes_any_more_once_a_server_has_ended(tmp_path):
    with TestClient(build(Workshop(tmp_path, models=("scenes",), device="cpu"))):
        assert any(thread.name.startswith("nulltext") for thread in threading.enumerate())
    assert not [thread for thread in threading.enumerate() if thread.name in {"nulltext samples", "nulltext jobs"}]


def look(client):
    answer = client.get("/v1/downloads", params={"model": NAME})
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(client):
    return next(one["here"] for one in client.get("/v1/models").json() if one["name"] == NAME)


def test_a_model_is_fetched_where_somebody_asks_and_not_before(hub, visitor, sample):
    client = visitor()
    assert listed(client) is False
    assert hub.asked == []
    image = client.post("/v1/images", files={"image": ("a.png", sample)}).json()["node"]["id"]
    refused = client.post("/v1/inversions", json={"image": image, "prompt": "a cat", "model": NAME})
    assert (refused.status_code, hub.asked) == (400, [])
    assert "is not on this machine" in refused.json()["detail"]

    before = look(client)
    read = sum(len(data) for name, data in hub.files.items() if name not in NEVER)
    assert (before["state"], before["bytes"], hub.fetched) == ("absent", read, [])

    begun = client.post("/v1/downloads", json={"model": NAME})
    assert (begun.status_code, begun.json()["state"]) == (202, "running")
    until(lambda: look(client)["done"] > PART)
    assert look(client)["done"] < read
    assert listed(client) is False
    assert client.post("/v1/downloads", json={"model": NAME}).status_code == 429
    hub.gate.set()
    until(lambda: look(client)["state"] != "running")
    assert look(client)["state"] == "here"
    assert listed(client) is True
    assert hub.fetched == sorted(hub.files.keys() - {*NEVER})


def test_who_has_not_asked_cannot_cancel_and_what_has_come_is_kept(hub, visitor):
    one = visitor()
    one.get("/v1/models")
    other = visitor()
    one.post("/v1/downloads", json={"model": NAME})
    until(lambda: look(one)["done"] > PART)
    assert other.delete("/v1/downloads", params={"model": NAME}).status_code == 404
    assert one.delete("/v1/downloads", params={"model": NAME}).status_code == 204
    hub.gate.set()
    until(lambda: look(one)["state"] == "cancelled")
    assert not is_complete(NAME)
    hub.asked.clear()
    one.post("/v1/downloads", json={"model": NAME})
    until(lambda: look(one)["state"] == "here")
    assert len(hub.fetched) < len(hub.files.keys() - {*NEVER})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda hub: setattr(hub, "name", "somebody/else"), "cannot get 'somebody/small' from the hub"),
        (lambda hub: setattr(hub, "pipeline", "AudioPipeline"), "on the hub is AudioPipeline; expected one of"),
        (lambda hub: hub.files.pop("model_index.json"), "StableDiffusionPipeline; expected one of"),
    ],
)
def test_what_is_no_model_is_said_before_anything_is_fetched(hub, visitor, change, said):
    change(hub)
    answer = visitor().get("/v1/downloads", params={"model": NAME})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert hub.fetched == []


def test_a_hub_that_breaks_off(hub, visitor):
    client = visitor()
    hub.gone.add("unet/config.json")
    hub.gate.set()
    client.post("/v1/downloads", json={"model": NAME})
    until(lambda: look(client)["state"] != "running")
    assert look(client)["state"] == "failed"
    assert "from the hub: " in look(client)["message"]
    hub.gone.clear()
    assert client.post("/v1/downloads", json={"model": NAME}).status_code == 202
    until(lambda: look(client)["state"] == "here")


def test_a_disk_that_takes_nothing_is_said_and_another_download_begins(hub, visitor, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    client = visitor()
    hub.gate.set()
    with monkeypatch.context() as patch:
        patch.setattr("nulltext.web.downloads.fetch", full)
        client.post("/v1/downloads", json={"model": NAME})
        until(lambda: look(client)["state"] == "failed")
        assert "cannot be kept: No space left" in look(client)["message"]
    assert client.post("/v1/downloads", json={"model": NAME}).status_code == 202
    until(lambda: look(client)["state"] == "here")


def test_only_models_that_are_offered(hub, visitor):
    client = visitor()
    for answer in (
        client.get("/v1/downloads", params={"model": "other/model"}),
        client.post("/v1/downloads", json={"model": "other/model"}),
    ):
        assert answer.status_code == 400
        assert "does not offer" in answer.json()["detail"]
    assert hub.asked == []


@pytest.mark.parametrize("told", [True, False], ids=["told", "found"])
def test_offline_is_said_within_a_second_or_so(visitor, monkeypatch, told):
    client = visitor()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", told)
    monkeypatch.setattr(constants, "ENDPOINT", "http://192.0.2.1:9")  # of an address that nobody has
    start = time.monotonic()
    answer = client.post("/v1/downloads", json={"model": NAME})
    assert time.monotonic() - start < 2
    assert answer.status_code == 400
    assert "the hub cannot be reached" in answer.json()["detail"]


def test_no_room(hub, visitor, monkeypatch):
    client = visitor()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    client.post("/v1/downloads", json={"model": NAME})
    until(lambda: look(client)["state"] != "running")
    assert look(client)["state"] == "failed"
    assert "are free; expected as much" in look(client)["message"]


def test_what_is_half_there_is_not_here(hub, tmp_path):
    folder = tmp_path / "cache" / "models--somebody--small"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for name, data in hub.files.items():
        file = folder / "snapshots" / COMMIT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    assert is_complete(NAME)
    weights = folder / "snapshots" / COMMIT / "vae" / "diffusion_pytorch_model.safetensors"
    pieces = [weights.with_name(f"diffusion_pytorch_model-0000{n}-of-00002.safetensors") for n in (1, 2)]
    weights.rename(pieces[0])
    assert not is_complete(NAME)
    pieces[1].write_bytes(b"")
    assert is_complete(NAME)
    pieces[0].unlink()
    assert not is_complete(NAME)


def test_half_precision_is_fetched_where_a_network_has_no_other():
    names = [
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors", "text_encoder/pytorch_model.bin",
    ]  # fmt: skip
    assert loaded_of(names) == sorted({*names} - {names[4], names[6]})
