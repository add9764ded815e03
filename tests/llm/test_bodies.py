"""What a server may send at the most. Each body comes over a socket, and the suite's guard watches the callbacks."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import cycle

import pytest

from bot.core.errors import ModelError
from bot.core.model_events import End
from bot.core.turns import FailureReason
from bot.llm.client import OpenAIModel
from tests.llm.conftest import ask, client, failure, text
from tests.llm.wire import DONE, STOP, say
from tests.waiting import PATIENCE

MORE_MEMORY = 20 * 2**20
SSE = "text/event-stream"


class Tap:
    """A server that answers every request with the same head and pieces. `stays`: then it says no more, nor leaves."""

    def __init__(
        self, status: str, headers: dict[str, str], pieces: Callable[[], Iterable[bytes]], *, stays: bool = False
    ) -> None:
        lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
        self._head = "\r\n".join([*lines, "", ""]).encode()
        self._pieces = pieces
        self._stays = stays
        self._talks: set[asyncio.Task[object] | None] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        listening = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with listening:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        await asyncio.gather(*filter(None, self._talks))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._head)
            for piece in self._pieces():
                writer.write(piece)
                await writer.drain()
            if self._stays:
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def peak(work: Callable[[], Awaitable[object]]) -> int:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


async def watched(model: OpenAIModel) -> None:
    """Ask in a task of the client's own, which the suite's guard looks at."""
    await asyncio.create_task(model.probe("gpt-x", 100))


def packed(pieces: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


BLOCK = 2**16
SPACES = b" " * BLOCK
BOMB = packed([b"data: " + SPACES, *[SPACES] * 1024])
EVENTS_BOMB = packed([say("") * 100] * 4000 + [say("Hi") + STOP])
GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("status", "headers", "begin", "on", "words"),
    [
        pytest.param("200 OK", {"Content-Type": SSE}, b"data: ", b"x" * BLOCK, "longer than 1 MiB", id="line"),
        pytest.param("200 OK", {"Content-Type": SSE}, b"data: [", b"\ndata: [" * 8000, "longer than 1 MiB", id="event"),
        pytest.param("200 OK", {"Content-Type": SSE}, b"", SPACES, "FIRST_DELTA_TIMEOUT", id="nothing"),
        pytest.param(
            "200 OK", {"Content-Type": "application/json"}, b'{"a":"', b"x" * BLOCK, "longer than 1 MiB", id="JSON"
        ),
        pytest.param(
            "200 OK",
            {"Content-Type": "application/json"},
            b"[",
            b"[],\n" * 16000,
            "longer than 1 MiB",
            id="JSON of lists",
        ),
        pytest.param("200 OK", {"Content-Type": SSE}, b"data: ", b"[" * BLOCK, "longer than 1 MiB", id="deep line"),
        pytest.param("200 OK", {"Content-Type": SSE, **GZIP}, b"", BOMB, "longer than 1 MiB", id="bomb"),
        pytest.param(
            "200 OK", {"Content-Type": SSE, **GZIP}, b"", EVENTS_BOMB, "more than 16 MiB", id="bomb of events"
        ),
        pytest.param(
            "500 Oh", {"Content-Type": "application/json", **GZIP}, b"", BOMB, "(500)", id="error that is a bomb"
        ),
        pytest.param("500 Oh", {"Content-Type": "text/plain"}, b"", b"x" * BLOCK, "(500)", id="error"),
        pytest.param(
            "400 Oh", {"Content-Type": "text/plain"}, b"", b"context lengt " * 4000, "(400)", id="error in words"
        ),
        pytest.param("500 Oh", {"Content-Type": "application/json"}, b"[", b"[" * BLOCK, "(500)", id="deep error"),
    ],
)
async def test_endless_body_is_left(status: str, headers: dict[str, str], begin: bytes, on: bytes, words: str) -> None:
    def pieces() -> Iterable[bytes]:
        yield begin
        yield from cycle([on])

    tap = Tap(status, headers, pieces)
    async with (
        tap.listening() as base_url,
        client(base_url, first_delta_timeout=3.0 if on == SPACES else 3600.0) as model,
    ):
        said = []

        async def read() -> None:
            with pytest.raises(ModelError) as raised:
                await watched(model)
            said.append(f"{raised.value.detail} {raised.value.server_message}")

        await read()  # what is imported late is no body's memory
        assert await peak(read) < MORE_MEMORY
    assert [words in each for each in said] == [True, True]


@pytest.mark.parametrize("size", [1, 1000])
async def test_long_line_in_small_pieces_costs_little(size: int) -> None:
    """Without a limit on it, each piece would copy all of the line so far."""
    whole = b'data: {"choices": [{"delta": {"content": "' + b"x" * (40_000 * size) + b'"}}]}\n\n' + DONE

    def pieces() -> Iterable[bytes]:
        for at in range(0, len(whole), size):
            piece = whole[at : at + size]
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"

    tap = Tap("200 OK", {"Transfer-Encoding": "chunked"}, pieces)
    async with tap.listening() as base_url, client(base_url, first_delta_timeout=PATIENCE) as model:
        if size == 1:
            assert len(text(await ask(model))) == 40_000
            return
        with pytest.raises(ModelError) as raised:
            await watched(model)
    assert "longer than 1 MiB" in raised.value.server_message


@pytest.mark.parametrize("delta", [b"data:1\n", b"data:{}\n\n", b":\n", b"\n", say("x")])
async def test_flood_of_events_leaves_others_their_turn(delta: bytes) -> None:
    block = delta * (BLOCK // len(delta))
    tap = Tap("200 OK", {"Content-Type": SSE}, lambda: [block] * 16 + [STOP + DONE])
    async with tap.listening() as base_url, client(base_url, first_delta_timeout=PATIENCE) as model:
        with suppress(StopAsyncIteration):
            await watched(model)
        assert (await ask(model))[-1] == End()


async def test_packed_stream_is_unpacked() -> None:
    stream = say("Hi") + STOP + DONE
    for packing, body in (
        ("gzip", gzip.compress(stream)),
        ("deflate", zlib.compress(stream)),
        ("GZIP", gzip.compress(stream)),
        ("identity", stream),
    ):
        tap = Tap("200 OK", {"Content-Type": SSE, "Content-Encoding": packing}, partial(list, [body[:9], body[9:]]))
        async with tap.listening() as base_url, client(base_url) as model:
            assert text(await ask(model)) == "Hi"


@pytest.mark.parametrize(("packing", "words"), [("gzip", "cannot be unpacked"), ("br", "packed as br")])
async def test_unknown_packing_is_an_error(packing: str, words: str) -> None:
    tap = Tap("200 OK", {"Content-Encoding": packing}, lambda: [say("Hi") + DONE])
    async with tap.listening() as base_url, client(base_url) as model:
        error = await failure(model)
    assert (error.failure, words in error.server_message) == (FailureReason.UNREACHABLE, True)


async def test_packed_error_says_what_it_is() -> None:
    body = gzip.compress(json.dumps({"error": {"message": "maximum context length is 9"}}).encode())
    tap = Tap("400 Oh", GZIP, lambda: [body])
    async with tap.listening() as base_url, client(base_url) as model:
        assert (await failure(model)).failure is FailureReason.TOO_LONG


async def test_error_whose_body_never_ends_is_told_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.llm.bodies._ERROR_TIMEOUT", 0.2)
    tap = Tap("401 Oh", {"Content-Length": "100"}, lambda: [b"no"], stays=True)
    async with tap.listening() as base_url, client(base_url) as model:
        assert "refused OPENAI_API_KEY (401)" in (await failure(model)).detail


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"%b"}}' % (b"x" * 900_000),
        b'{"error":[%b1]}' % (b"[]," * 300_000),
        b'{"error":{"a":[%b1]}}' % (b'"bbbbbbbbbbbb",' * 60_000),
    ],
    ids=["text", "lists", "texts"],
)
async def test_error_within_a_stream_is_searched_at_its_beginning(body: bytes) -> None:
    tap = Tap("200 OK", {}, lambda: [b"data: " + body + b"\n\n"])
    async with tap.listening() as base_url, client(base_url) as model:
        with pytest.raises(ModelError) as raised:
            await watched(model)
    assert raised.value.failure is FailureReason.UNREACHABLE


@pytest.mark.parametrize("headers", [{}, GZIP])
async def test_endless_model_list_is_left(headers: dict[str, str]) -> None:
    block = b'{"id":"m","object":"model"},' * 2000
    tap = Tap("200 OK", headers, lambda: [packed([block] * 2000)] if headers else cycle([block]))
    async with tap.listening() as base_url, client(base_url) as model:
        assert await peak(lambda: asyncio.create_task(model.models())) < MORE_MEMORY
