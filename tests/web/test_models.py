"""Which models a server has nobody finds out by asking for others."""

import pytest
from starlette.testclient import TestClient
from tests.web.visitor import upload

from nulltext.models.hub import is_here

NAMES = (
    "nothing", "/nowhere", "/etc", "/etc/passwd", "/dev/zero", "/dev/null", "/proc/self/mem", "/", ".", "..", "../..",
    "~", "~root", "\0", "a\0b", "x" * 255, "a/b", "a/b/c", "https://example.com/x", "file:///etc", "C:\\x", "-rf", " ",
    "scenes/", "./scenes", "SCENES", "$(id)", "no.safetensors", "/etc/no.ckpt", "stabilityai/no-such-model", "é",
)  # fmt: skip
HUB_IDS = ("a/b", "stabilityai/no-such-model", "owner/name")
"""What could be fetched by its form alone, the last of which is the name of a folder here."""


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
        image, said = upload(visitor, sample).json()["node"]["id"], {True: set(), False: set()}
        for name in (*NAMES, *folders):
            body = {"image": image, "prompt": "a red ball", "model": name}
            answer = visitor.post("/v1/inversions", json=body)
            to_fetch = any_model and visitor is here and name in HUB_IDS
            said[to_fetch].add((answer.status_code, answer.json()["detail"].replace(repr(name[:100]), "NAME")))
        assert {status for answers in said.values() for status, _ in answers} == {400}
        assert max(map(len, said.values())) == 1, said


def test_what_is_a_model_is_here(folder, folders, tmp_path):
    assert is_here(str(folder("epsilon")))
    assert is_here("scenes")
    assert is_here(str(tmp_path / "weights" / "model.safetensors"))
    assert not any(is_here(name) for name in (*NAMES, *folders))
