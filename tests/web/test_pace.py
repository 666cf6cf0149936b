"""A body comes at a minimum rate or gives its place back, and who stands still keeps nobody out."""

import asyncio
import itertools
import json
import re
from typing import Any

import pytest
import uvicorn

from nulltext.web.clients import Client
from nulltext.web.connections import Connections
from nulltext.web.incoming import Incoming
from nulltext.web.limits import Limits

MB = 2**20
QUICK = Limits(upload_bytes=MB, memory_bytes=80 * MB, body_seconds=0.2, body_rate=10_000)
"""20 MB on their way, 5 MB of them from one address; a body may stand still for a fifth of a second."""
PATIENT = Limits(upload_bytes=MB, memory_bytes=80 * MB)
STALLED = None
"""In the place of a piece: nothing more comes."""


async def app(scope, receive, send):
    """Says how long the body was."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the sender is gone")
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


async def post(incoming, pieces, address="10.0.0.1", *, every=0.0, length=None, path="/v1/images"):
    """The status and what is answered to a body in pieces."""
    left, messages = iter(pieces), []

    async def receive():
        await asyncio.sleep(every)
        piece = next(left, b"")
        if piece is STALLED:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    async def send(message):
        messages.append(message)

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    state = {"client": Client(address=address)}
    await incoming({"type": "http", "path": path, "headers": headers, "state": state}, receive, send)
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages)


@pytest.mark.parametrize(
    ("pieces", "every", "status"),
    [
        pytest.param([STALLED], 0, 408, id="nothing comes"),
        pytest.param([bytes(MB)] * 4 + [STALLED], 0, 408, id="stalls after much came quickly"),
        pytest.param(itertools.repeat(b" "), 0.01, 408, id="drips"),
        pytest.param([bytes(50_000), *[b" "] * 1000], 0.01, 408, id="drips after much came quickly"),
        pytest.param([bytes(1000)] * 30, 0.015, 200, id="is slow, but no slower than it may be"),
        pytest.param([bytes(MB)] * 3, 0.1, 200, id="pauses", marks=pytest.mark.slow),
        pytest.param(itertools.repeat(bytes(MB)), 0, 413, id="does not end"),
    ],
)
def test_a_body_that(pieces, every, status):
    async def run():
        incoming, begun = Incoming(app, QUICK), asyncio.get_running_loop().time()
        answered, text = await asyncio.wait_for(post(incoming, pieces, every=every), 5)
        assert answered == status, text
        assert incoming.size == 0
        assert asyncio.get_running_loop().time() - begun < 2
        if status != 200:
            assert json.loads(text)["detail"].endswith(".")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sizes", "addresses", "address", "kept"),
    [
        pytest.param([4.9] * 4, ["a", "b", "c", "d"], "e", 3, id="four addresses with much each"),
        pytest.param([4, 0.9] * 4, [*"aabbccdd"], "e", 7, id="in two requests each"),
        pytest.param([0.9] * 22, [*"abcdefghijklmnopqrstuv"], "z", 21, id="many addresses with little each"),
        pytest.param([2.4] * 2, ["a", "a"], "a", 1, id="others behind the same address"),
    ],
)
def test_who_stands_still_keeps_nobody_out(monkeypatch, sizes, addresses, address, kept):
    monkeypatch.setattr("nulltext.web.incoming.SLOW", 0.1)

    async def run():
        incoming = Incoming(app, PATIENT)
        stalled = [
            asyncio.create_task(post(incoming, [bytes(int(size * MB)), STALLED], whose))
            for size, whose in zip(sizes, addresses, strict=True)
        ]
        await asyncio.sleep(0.15)
        assert incoming.size == sum(int(size * MB) for size in sizes)
        answer = await post(incoming, [bytes(MB // 4)] * 4, address, length=MB)
        assert answer == (200, b"%d" % MB)
        await asyncio.sleep(0.01)
        assert sum(not task.done() for task in stalled) == kept
        assert all(task.result()[0] == 429 for task in stalled if task.done())
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)
        assert incoming.size == 0

    asyncio.run(run())


def test_who_sends_at_speed_gives_way_only_where_it_holds_more_than_an_image():
    async def run():
        incoming, much, go = Incoming(app, PATIENT), list[asyncio.Task[tuple[int, bytes]]](), asyncio.Event()

        async def held(address, size):
            def pieces():
                yield bytes(size)
                go.set()
                yield STALLED

            go.clear()
            much.append(asyncio.create_task(post(incoming, pieces(), address)))
            await go.wait()

        for address in "abcd":
            await held(address, int(4.9 * MB))
        assert (await post(incoming, [bytes(4 * MB)], "e", length=4 * MB))[0] == 429
        assert (await post(incoming, [bytes(MB)], "e", length=MB))[0] == 200
        await asyncio.sleep(0.01)
        assert [task.done() for task in much].count(True) == 1
        for task in much:
            task.cancel()
        await asyncio.gather(*much, return_exceptions=True)

    asyncio.run(run())


def test_what_goes_wrong_in_the_app_is_not_taken_for_a_body_that_is_slow():
    async def failing(scope, receive, send):
        await app(scope, receive, send)
        raise ZeroDivisionError

    incoming = Incoming(failing, QUICK)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(post(incoming, [b"a"]))
    assert incoming.size == 0


def test_over_the_wire_a_sentence_and_an_end():
    """With the server's own connections, 40 of them at once, each from an address of its own."""

    async def run():
        connections = Connections(2)
        protocol: Any = connections.protocol  # made anew for every connection, which its annotation takes for a class
        config = uvicorn.Config(
            Incoming(app, QUICK), port=0, http=protocol, ws="none", lifespan="off", log_level="error"
        )
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]

        async def stalled(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{number}", 0))
            writer.write(b"POST /v1/images HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n" + b"a" * number)
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.transport.abort()
            return answer

        answers = await asyncio.gather(*(stalled(number) for number in range(2, 42)))
        server.servers[0].close()
        assert {int(re.findall(rb"HTTP/1.1 (\d+)", answer)[0]) for answer in answers} == {408}
        assert all(b"connection: close" in answer.lower() for answer in answers)
        assert all(b'Send it again."}' in answer for answer in answers)

    asyncio.run(run())
