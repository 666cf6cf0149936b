"""No address has all connections, and one is closed that asks for nothing or does not read."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from nulltext.web.connections import Connections, room
from nulltext.web.entrance import Peer

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n"
WHOLE = ASK + b"\r\n"
LARGE = bytes(16 * 2**20)
"""More than the system keeps for who does not read."""


async def app(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(0.4)
    pieces = {"/large": [LARGE], "/pieces": [LARGE[: 2**16]] * (len(LARGE) // 2**16)}.get(scope["path"], [b"ok"])
    length = str(sum(map(len, pieces))).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for left, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


def on_a_server(talk, **bounds):
    """Runs `talk`, which is given a way to connect, and says whether all connections were counted out."""

    async def run():
        connections = Connections(**bounds)
        protocol: Any = connections.protocol  # made anew for every connection, which its annotation takes for a class
        config = uvicorn.Config(
            app, port=0, http=protocol, ws="none", lifespan="off", log_level="error",
            limit_concurrency=connections.in_all + 1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port, opened = server.servers[0].sockets[0].getsockname()[1], []

        async def connect(host="127.0.0.1"):
            ours = socket.socket()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            ours.setblocking(False)
            ours.bind((host, 0))
            await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", port))
            pair = await asyncio.open_connection(sock=ours)
            opened.append(pair[1])
            return pair

        try:
            await asyncio.wait_for(talk(connect), 20)
        finally:
            for writer in opened:
                writer.transport.abort()
            for _ in range(100):
                await asyncio.sleep(0)
            for _ in range(200):
                if not connections._by_address:
                    break
                await asyncio.sleep(0.01)
            server.servers[0].close()
        assert not connections._by_address

    asyncio.run(run())


async def ask(pair, sent=WHOLE):
    """What is answered; nothing if the connection is closed."""
    reader, writer = pair
    try:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(2)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def test_an_address_has_its_share_and_others_theirs():
    async def talk(connect):
        mine = [await connect() for _ in range(3)]
        assert [bool(await ask(pair)) for pair in mine] == [True, True, False]
        assert (await ask(await connect("127.0.0.2"))).endswith(b"ok")
        assert (await ask(await connect("127.0.0.3"))).endswith(b"ok")
        assert (await ask(await connect("127.0.0.4"))).endswith(b"ok")  # all together have four, and mine were two
        assert b"" in [await ask(pair) for pair in mine[:2]]
        assert await ask(await connect("127.0.0.5")) == b""
        for _, writer in mine[:2]:
            writer.close()
        for _ in range(100):
            if answer := await ask(await connect()):
                break
        assert answer.endswith(b"ok")

    on_a_server(talk, most=2, in_all=4)


def test_a_trusted_proxy_has_more():
    async def talk(connect):
        assert all([await ask(await connect()) for _ in range(5)])
        assert [bool(await ask(await connect("127.0.0.2"))) for _ in range(3)] == [True, True, False]

    on_a_server(talk, most=2, trusts=Peer(app, ["127.0.0.1"]).trusts)


@pytest.mark.parametrize("sent", [b"", b"G", ASK, WHOLE + ASK])
def test_who_asks_for_nothing_whole_is_sent_away(sent):
    async def talk(connect):
        reader, writer = await connect()
        writer.write(sent)
        try:
            got = await asyncio.wait_for(reader.read(), 3)
        except ConnectionError:
            got = b""
        assert len(got) < 200

    on_a_server(talk, most=2, seconds=0.1)


def test_an_answer_may_take_longer():
    async def talk(connect):
        pair = await connect()
        assert (await ask(pair, WHOLE.replace(b"/ ", b"/slow ", 1))).endswith(b"ok")
        assert (await ask(pair)).endswith(b"ok")

    on_a_server(talk, most=2, seconds=0.15)


@pytest.mark.parametrize("drip", [b"", b"a"])
def test_a_body_that_goes_on_after_its_answer_is_cut_off(drip):
    async def talk(connect):
        pair = await connect()
        assert (await ask(pair, ASK + b"Content-Length: 1000\r\n\r\n")).endswith(b"ok")
        end = asyncio.get_running_loop().time() + 3
        while not (pair[0].at_eof() or pair[1].is_closing()):
            assert asyncio.get_running_loop().time() < end
            pair[1].write(drip)
            await asyncio.sleep(0.02)

    on_a_server(talk, most=2, linger=0.2)


@pytest.mark.parametrize("proxy", ["10.0.0.9", "2001:db8::9"])
def test_where_all_have_as_many_as_they_may_who_has_most_gives_up_what_is_idle(proxy):
    closed = []
    connections = Connections(9, in_all=5, trusts=lambda host: host == proxy)
    for number, busy in enumerate([True, False, False]):
        connections.enter("10.0.0.1", lambda busy=busy: busy, lambda number=number: closed.append(number))
    assert connections.enter(proxy)
    assert connections.enter(proxy)
    assert connections.enter("10.0.0.2")
    assert closed == [1]
    assert connections.enter("10.0.0.1") is None
    assert connections.enter("10.0.0.3") is not None
    assert closed == [1, 2]
    assert connections.enter("10.0.0.4") is None  # nobody but the proxy has two


def test_there_is_room():
    assert 1 <= room() <= 2000
    assert room() == room()


def test_ipv4_within_ipv6_is_one_address():
    connections = Connections(1)
    first, second = connections.enter("::ffff:10.0.0.1"), connections.enter("10.0.0.2")
    assert first is not None
    assert second is not None
    assert (first.address, second.address) == ("10.0.0.1", "10.0.0.2")
    assert connections.enter("10.0.0.1") is None
    assert Peer(app, ["10.0.0.0/8"]).trusts("::ffff:10.0.0.1")


@pytest.mark.parametrize("path", [b"/large", b"/pieces"])
def test_who_does_not_read_is_not_waited_for(path):
    async def talk(connect):
        reader, writer = await connect()
        writer.write(WHOLE.replace(b"/", path, 1))
        await asyncio.sleep(0.6)  # reads nothing
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(LARGE))

    on_a_server(talk, most=1, linger=0.2)


@pytest.mark.parametrize("path", [b"/large", b"/pieces"])
def test_who_reads_slowly_gets_all(path):
    """In longer than a connection may be idle, and than it may stand still."""

    async def talk(connect):
        reader, writer = await connect()
        writer.write(WHOLE.replace(b"/", path, 1))
        got = len(await reader.readuntil(b"\r\n\r\n")) * 0
        while got < len(LARGE):
            piece = await reader.read(2**16)
            assert piece, f"ended after {got} bytes"
            got += len(piece)
            await asyncio.sleep(0.003)
        writer.write(WHOLE)  # and may ask for more
        assert b"200" in await reader.readline()

    on_a_server(talk, most=1, linger=0.3, seconds=0.3)
