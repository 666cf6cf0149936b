"""A batch in object storage, against a server of this machine that speaks S3: results, images and the resume."""

import csv
import io
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from nulltext.batch import read_manifest, run
from nulltext.batch import storage as storage_module
from nulltext.batch.folder import MARK
from nulltext.batch.report import write_report
from nulltext.batch.results import Results
from nulltext.batch.storage import Storage
from nulltext.errors import ImageDecodeError, ImageNotFoundError, OutputError

IN, OUT = "s3://photos", "s3://edits/run 1"
PROMPT, EDIT = "a red ball", "a blue ball"
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # the server's sockets, which it leaves to Python
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # the client's own
]


def _fine(method: str, what: str) -> bool:
    return False


class Server:
    """S3 on a free port, which refuses a request, by its method and what it asks for, of which `refuse` says so."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        assert self.server._server is not None
        self.app, self.server._server.app = self.server._server.app, self.answer
        self.url = "http://{}:{}".format(*self.server.get_host_and_port())
        self.refuse: Callable[[str, str], bool] = _fine

    def answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        what = f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
        if self.refuse(environ["REQUEST_METHOD"], what):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>not you</Message></Error>"]
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.stop()


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of two empty buckets, and the environment by which a batch finds them."""
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "a key",
        "AWS_SECRET_ACCESS_KEY": "a secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    storage_module._system_of.cache_clear()
    client = boto3.client("s3")
    for bucket in ("photos", "edits"):
        client.create_bucket(Bucket=bucket)
    yield client
    server.refuse = _fine
    for bucket in ("photos", "edits"):
        for each in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=each["Key"])
        client.delete_bucket(Bucket=bucket)
    client.close()
    storage_module._system_of.cache_clear()


def _png(at: int, size: tuple[int, int] = (40, 48), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 255 if mode == "L" else (at * 37 % 256, at * 91 % 256, at * 17 % 256)).save(buffer, "PNG")
    return buffer.getvalue()


def _fill(client: Any, count: int) -> str:
    """Photographs, a mask and a manifest of them, whose paths count from its folder; one photograph is missing."""
    rows = [
        {"image": f"deep/{at}.png", "prompt": PROMPT, "edit": EDIT, "mask": "mask.png" if at == 1 else ""}
        for at in range(count)
    ]
    for at, row in enumerate(rows):
        client.put_object(Bucket="photos", Key=row["image"], Body=_png(at))
    client.put_object(Bucket="photos", Key="mask.png", Body=_png(0, mode="L"))
    rows.append({"image": f"{IN}/missing.png", "prompt": PROMPT, "edit": EDIT, "mask": ""})
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    client.put_object(Bucket="photos", Key="rows.csv", Body=text.getvalue().encode())
    return f"{IN}/rows.csv"


def _keys(client: Any, *more: str) -> list[Any]:
    """What lies in the folder of results, by name; what is empty marks a folder."""
    found = client.list_objects_v2(Bucket="edits").get("Contents", [])
    names = [(each["Key"].removeprefix("run 1/"), *(each[one] for one in more)) for each in found if each["Size"]]
    return names if more else [name for (name,) in names]


def _table() -> dict[str, dict[str, Any]]:
    return {record["id"]: record for record in Results(Storage(OUT)).records()}


def test_photographs_edits_and_the_table_are_all_in_buckets(s3, plan, model):
    manifest = _fill(s3, 3)
    records = list(run(manifest, OUT, plan=replace(plan, inversions=True), model=model))
    assert [record["status"] for record in sorted(records, key=lambda each: each["row"])] == ["done"] * 3 + ["failed"]
    assert {name: record["status"] for name, record in _table().items()} == {
        "0": "done", "1": "done", "2": "done", "missing": "failed",
    }  # fmt: skip
    assert "there is no file s3://photos/missing.png" in _table()["missing"]["reason"]
    made = [key for key in _keys(s3) if not key.startswith(("results/", MARK))]
    assert made == [f"{folder}/{at}.{end}" for folder, end in (("images", "png"), ("inversions", "safetensors"))
                    for at in range(3)]  # fmt: skip
    assert len(_keys(s3)) == len(made) + 2  # the table, joined to one file
    image = Image.open(io.BytesIO(s3.get_object(Bucket="edits", Key="run 1/images/2.png")["Body"].read()))
    assert image.size == (40, 48)
    assert write_report(Storage(OUT)) == f"{OUT}/report.html"
    assert b"3 edits, 1 failed" in s3.get_object(Bucket="edits", Key="run 1/report.html")["Body"].read()


def test_what_is_done_is_not_done_again_and_a_table_that_cannot_be_read_is_not_an_empty_one(s3, server, plan, model):
    manifest = _fill(s3, 1)
    assert len(list(run(manifest, OUT, plan=plan, model=model))) == 2
    before = _keys(s3, "LastModified")
    assert list(run(manifest, OUT, plan=plan, model=model)) == []
    assert _keys(s3, "LastModified") == before
    s3.put_object(Bucket="photos", Key="deep/0.png", Body=_png(7, (56, 48)))
    (again,) = run(manifest, OUT, plan=plan, model=model)
    assert again["id"] == "0"
    s3.put_object(Bucket="photos", Key="missing.png", Body=_png(5))
    (late,) = run(manifest, OUT, plan=plan, model=model)
    assert (late["id"], late["status"]) == ("missing", "done")
    server.refuse = lambda method, what: method == "GET" and what.endswith(".parquet?")
    with pytest.raises(OutputError, match=r"cannot read results/part-.*parquet"):
        next(run(manifest, OUT, plan=plan, model=model))
    server.refuse = lambda method, what: method == "GET" and "list-type" in what
    with pytest.raises(ImageDecodeError, match="cannot read s3://edits/run 1"):
        next(run(manifest, OUT, plan=plan, model=model))


def test_an_upload_that_is_torn_is_never_taken_for_a_result(s3, server, plan, model):
    """Parts that were sent and never joined, as a killed process leaves them, and an upload that is refused midway."""
    manifest = _fill(s3, 3)
    for key in ("run 1/images/0.png", "run 1/results/part-0.parquet"):
        upload = s3.create_multipart_upload(Bucket="edits", Key=key)["UploadId"]
        s3.upload_part(Bucket="edits", Key=key, UploadId=upload, PartNumber=1, Body=b"half of it")
    server.refuse = lambda method, what: method == "POST" and "images/1.png?uploadId" in what
    list(run(manifest, OUT, plan=plan, model=model))
    table = _table()
    assert {name: record["status"] for name, record in table.items()} == {
        "0": "done", "1": "failed", "2": "done", "missing": "failed",
    }  # fmt: skip
    assert table["1"]["error"] == "OutputWriteError"
    assert "not you" in table["1"]["reason"]
    assert [key for key in _keys(s3) if key.startswith("images/")] == ["images/0.png", "images/2.png"]
    server.refuse = _fine
    assert {record["id"] for record in run(manifest, OUT, plan=plan, model=model, retry_failed=True)} == {
        "1",
        "missing",
    }
    assert _table()["1"]["status"] == "done"
    for key in ("images/0.png", "images/1.png", "images/2.png"):
        Image.open(io.BytesIO(s3.get_object(Bucket="edits", Key=f"run 1/{key}")["Body"].read())).load()


def test_a_folder_of_a_bucket_is_a_manifest(s3):
    _fill(s3, 2)
    rows = list(read_manifest(f"{IN}/deep", prompt=PROMPT, edits=[EDIT]))
    assert [(row.id, row.image) for row in rows] == [(f"{at}", f"{IN}/deep/{at}.png") for at in range(2)]


def test_where_nothing_can_be_written_it_is_said_before_any_work(s3, server, plan, model, monkeypatch):
    manifest = _fill(s3, 2)
    server.refuse = lambda method, what: what.startswith("/edits") and method in ("POST", "PUT")
    seen: list[Any] = []
    with pytest.raises(OutputError, match=r"cannot write s3://edits/run 1/\.nulltext-batch.*not you"):
        seen += run(manifest, OUT, plan=plan, model=model)
    assert seen == []
    with pytest.raises(OutputError, match="cannot write s3://nowhere"):
        next(run(manifest, "s3://nowhere/out", plan=plan, model=model))


def test_the_endpoint_may_stand_in_the_address(s3, server, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    storage_module._system_of.cache_clear()
    s3.put_object(Bucket="photos", Key="a.png", Body=b"a photograph")
    where = f"s3://photos?endpoint_override={server.url.removeprefix('http://')}&scheme=http"
    assert Storage(where).read("a.png") == b"a photograph"
    with pytest.raises(ImageNotFoundError, match=r"there is no file s3://photos/b\.png;"):  # and no word of the rest
        Storage(where).read("b.png")


def _work(manifest: str, plan: Any) -> None:
    list(run(manifest, OUT, plan=plan))


@pytest.mark.slow
def test_killed_anywhere_it_loses_what_was_under_way(s3, plan):
    """Three times in a row, in a process of its own; then the rest is done, and no image is torn."""
    manifest = _fill(s3, 24)
    for after in (2, 6, 12):
        worker = multiprocessing.get_context("spawn").Process(target=_work, args=(manifest, replace(plan, at_once=1)))
        worker.start()
        deadline = time.monotonic() + 120
        while worker.is_alive() and time.monotonic() < deadline:
            if sum(key.startswith("images/") for key in _keys(s3)) >= after:
                break
            time.sleep(0.01)
        worker.kill()
        worker.join()
    list(run(manifest, OUT, plan=plan))
    assert sum(record["status"] == "done" for record in _table().values()) == 24
    images = [key for key in _keys(s3) if key.startswith("images/")]
    assert len(images) == 24
    for key in images:
        data = s3.get_object(Bucket="edits", Key=f"run 1/{key}")["Body"].read()
        assert np.asarray(Image.open(io.BytesIO(data))).shape == (48, 40, 3)
