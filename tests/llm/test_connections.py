"""What the operator is told of a model server to which no connection comes about, over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from bot.config import ModelServerSettings
from bot.core.turns import FailureReason
from bot.llm.client import OpenAIModel
from bot.llm.timeouts import Timeouts
from bot.network.connections import Network
from tests.llm.conftest import client, failure
from tests.network.certificates import certificate
from tests.waiting import PATIENCE

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


async def hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    pass


async def hangs_up_on_a_request(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def says(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await reader.read()

    return talk


NGINX = b"<html><body><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</body></html>"
CLOSED = "The reason: it closed the connection without an answer"
START = "Start it, or correct OPENAI_BASE_URL"


def bad_request(body: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@asynccontextmanager
async def listening(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port of this machine: the port. It ends when all its clients have left."""
    talks: set[asyncio.Task[object]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            talks.add(task)
        with suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async with await asyncio.start_server(take, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*talks)


@pytest.mark.parametrize(
    ("talk", "scheme", "words", "problem"),
    [
        (None, "http", (START, "The reason: connection refused"), FailureReason.UNREACHABLE),
        (
            hangs_up,
            "http",
            ("Look at its log, or try OPENAI_BASE_URL=https://127.0.0.1:{port}/v1 in .env", CLOSED),
            FailureReason.UNREACHABLE,
        ),
        (
            hangs_up,
            "https",
            ("try OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 in .env", CLOSED),
            FailureReason.UNREACHABLE,
        ),
        (hangs_up_on_a_request, "http", ("Look at its log", CLOSED), FailureReason.UNREACHABLE),
        (
            says_nothing,
            "https",
            (f"{START} or CONNECT_TIMEOUT", "The reason: no connection within CONNECT_TIMEOUT, 0.5 s"),
            FailureReason.UNREACHABLE,
        ),
        (
            says(bad_request(b"")),
            "https",
            ("Set OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 in .env", "it doesn't speak TLS (https) on this port"),
            FailureReason.CONFIGURATION,
        ),
        (
            says(bad_request(NGINX)),
            "http",
            ("Set OPENAI_BASE_URL=https://127.0.0.1:{port}/v1 in .env", "it only speaks TLS (https) on this port"),
            FailureReason.CONFIGURATION,
        ),
        (
            says(b"\x15\x03\x01\x00\x02\x02\x46"),
            "http",
            ("try OPENAI_BASE_URL=https://127.0.0.1:{port}/v1 in .env", "its answer isn't HTTP"),
            FailureReason.UNREACHABLE,
        ),
    ],
)
async def test_failed_connection_has_its_true_reason(
    talk: Talk | None, scheme: str, words: tuple[str, ...], problem: FailureReason
) -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(talk or hangs_up))
        if talk is None:
            await stack.aclose()
        patience = 0.5 if talk is says_nothing else PATIENCE
        timeouts = Timeouts(connect=patience, first_delta=PATIENCE, retry_within=0)
        model = OpenAIModel(ModelServerSettings(f"{scheme}://127.0.0.1:{port}/v1"), timeouts=timeouts)
        error = await failure(await stack.enter_async_context(model))
    assert error.failure is problem
    for each in words:
        assert each.format(port=port) in error.detail
    assert "Timeout" not in error.detail
    # One cause is one alert to the owner.
    assert error.detail.startswith(error.advice)


@pytest.mark.parametrize(
    ("name", "days", "words", "problem"),
    [
        ("IP:127.0.0.1", 2, ("SSL_CERT_FILE", "not trusted (self-signed certificate)"), FailureReason.CONFIGURATION),
        ("IP:127.0.0.1", -1, ("Renew the server's certificate", "has expired"), FailureReason.UNREACHABLE),
        ("DNS:example.com", 2, ("Change the host in OPENAI_BASE_URL", "for another host"), FailureReason.CONFIGURATION),
    ],
)
async def test_bad_certificate_has_its_true_reason(
    tmp_path: Path,
    name: str,
    days: int,
    words: tuple[str, ...],
    problem: FailureReason,
) -> None:
    file, context = certificate(tmp_path, name=name, days=days)
    network = Network() if "SSL_CERT_FILE" in words else Network(certificates=file)
    async with (
        listening(says_nothing, context) as port,
        OpenAIModel(
            ModelServerSettings(f"https://127.0.0.1:{port}/v1"), timeouts=Timeouts(retry_within=0), network=network
        ) as model,
    ):
        error = await failure(model)
    assert error.failure is problem
    for each in words:
        assert each in error.detail


async def test_unknown_host_is_named() -> None:
    async with client("http://no-such-host.invalid/v1") as model:
        error = await failure(model)
    assert "The reason: unknown host no-such-host.invalid" in error.detail
    assert error.nothing_answered
    assert not error.accepted


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://example.com/v1/hunter2?key=hunter2#hunter2", "redirects to https://example.com. Correct"),
        ("http://me:hunter2@example.com:8080/hunter2", "redirects to http://example.com:8080. Correct"),
        ("//example.com/hunter2", "redirects to example.com. Correct"),
        ("/hunter2", "redirects to another path. Correct OPENAI_BASE_URL in .env"),
        ("http://[hunter2", "redirects to another address. Correct"),
        ("", "redirects to another path. Correct OPENAI_BASE_URL in .env"),
    ],
)
async def test_redirect_shows_no_more_than_its_host(location: str, shown: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 307 Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.read()

    async with listening(talk) as port, client(f"http://127.0.0.1:{port}/v1") as model:
        error = await failure(model)
    assert shown in error.detail
    assert "hunter2" not in f"{error.detail} {error.advice} {error.server_message}"
    # Each redirect may lead elsewhere; it is one cause all the same.
    assert error.advice == f"OPENAI_BASE_URL http://127.0.0.1:{port}/v1 redirects. Correct it in .env and restart."
