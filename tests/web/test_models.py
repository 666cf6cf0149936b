"""Which models a server has nobody finds out by asking for others."""

import pytest
from starlette.testclient import TestClient
from tests.web.visitor import upload

from nulltext.web.checkpoints import can_be_had, is_here

NAMES = (
    "nothing", "/nowhere", "/etc", "/etc/passwd", "/dev/zero", "/dev/null", "/proc/self/mem", "/", ".", "..", "../..",
    "~", "~root", "\0", "a\0b", "x" * 255, "a/b", "a/b/c", "https://example.com/x", "file:///etc", "C:\\x", "-rf", " ",
    "scenes/", "./scenes", "SCENES", "$(id)", "no.safetensors", "/etc/no.ckpt", "stabilityai/no-such-model", "é",
)  # fmt: skip


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Names of what is there and is no model: an empty folder, one with weights alone, one that is closed."""
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "weights", "closed", "owner/name"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"")
    (tmp_path / "text.txt").write_text("a")
    (tmp_path / "closed").chmod(0)
    yield [*(str(tmp_path / name) for name in ("empty", "weights", "closed", "closed/in", "text.txt")), "owner/name"]
    (tmp_path / "closed").chmod(0o700)


@pytest.mark.parametrize("any_model", [True, False])
def test_one_answer_for_all_that_is_not_offered(app, client, workshop, sample, folders, monkeypatch, any_model):
    monkeypatch.setattr(workshop, "any_model", any_model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    here = TestClient(app, client=("127.0.0.1", 1), base_url="http://localhost", raise_server_exceptions=False)
    for visitor in (here, client):
        image, said = upload(visitor, sample).json()["node"]["id"], set()
        for name in (*NAMES, *folders):
            body = {"image": image, "prompt": "a red ball", "model": name}
            answer = visitor.post("/v1/inversions", json=body)
            said.add((answer.status_code, answer.json()["detail"].replace(repr(name[:100]), "NAME")))
        assert len(said) == 1, said
        assert said.pop()[0] == 400


@pytest.mark.parametrize("answer", ["it is there", "it is not", "nothing"])
def test_what_the_hub_says(monkeypatch, folders, answer):
    def info(name, timeout):
        if answer != "it is there":
            raise {"it is not": ValueError, "nothing": ConnectionError}[answer](f"{name}, after {timeout} s")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("nulltext.web.checkpoints.model_info", info)
    assert can_be_had("some/model") is (answer == "it is there")
    assert not can_be_had("owner/name")  # which is a folder here
    assert not can_be_had("/etc")


def test_what_is_a_model_is_had(folder, folders, tmp_path):
    assert can_be_had(str(folder("epsilon")))
    assert can_be_had("scenes")
    assert can_be_had(str(tmp_path / "weights" / "model.safetensors"))
    assert not any(is_here(name) for name in (*NAMES, *folders))
