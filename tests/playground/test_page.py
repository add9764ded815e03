from __future__ import annotations

import asyncio
import json
import socket
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
import pytest

from bot.playground import tabs
from tests.playground.conftest import Home
from tests.waiting import PATIENCE

PIXEL = b"\x89PNG\r\n\x1a\n"


CALLERS: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    ({"Host": "localhost:{port}"}, 200),
    ({"Origin": "http://localhost:{port}"}, 200),
    ({"Host": "evil.example:{port}"}, 403),
    ({"Host": "127.0.0.1"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
]


async def test_only_its_own_page_is_admitted(home: Home) -> None:
    port = str(urlsplit(home.url).port)
    for headers, status in CALLERS:
        sent = {name: value.replace("{port}", port) for name, value in headers.items()}
        async with home.client.get(home.url, headers=sent) as answer:
            assert answer.status == status, sent
        if status == 200:
            async with home.client.ws_connect(f"{home.url}ws", headers=sent) as page:
                assert json.loads((await page.receive()).data)["t"] == "hello"
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError, match=str(status)):
                await home.client.ws_connect(f"{home.url}ws", headers=sent)


async def test_request_without_the_secret_gets_a_hint(home: Home) -> None:
    for path in ("", "ws", "wrong/", "wrong/ws", "static/index.html", "%ff/", "%F0%9F%A6%89/"):
        async with home.client.get(f"{home.origin}/{path}") as answer:
            assert answer.status == 404, path
            assert await answer.text() == "Open the address that the terminal shows."
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")


async def test_every_response_has_security_headers(home: Home) -> None:
    async with home.client.get(home.url) as page:
        assert page.content_type == "text/html"
    for path in ("", "static/index.html", "static/icon.svg", "static/none.js", "attachments/1/a", "ws"):
        async with home.client.get(home.url + path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert answer.headers["Cache-Control"] == "no-store", path
            assert answer.headers["Referrer-Policy"] == "no-referrer", path
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


async def test_unknown_attachment_is_not_found(home: Home) -> None:
    for number in ("9" * 20, "9" * 5000, "\u0663", "-1"):
        async with home.client.get(f"{home.url}attachments/{number}/a.png") as answer:
            assert answer.status == 404


async def test_files_beside_the_page_are_not_served(home: Home) -> None:
    address = urlsplit(home.url)
    for name in ("..%2frun.py", "..%2f..%2fcli.py", "%2e%2e/run.py", "....//run.py", "%2fetc%2fpasswd", "../run.py"):
        # Over a plain socket: a client's library would tidy the path.
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
        writer.write(f"GET {address.path}static/{name} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        assert b" 404 " in await reader.readline(), name
        writer.close()
        await writer.wait_closed()


async def test_only_harmless_files_are_shown(home: Home) -> None:
    tab = await home.tab()
    sent = [("a.png", "image/png", PIXEL), ("x.html", "text/html", b"<script>alert(1)</script>")]
    sent += [("x.svg", "image/svg+xml", b"<svg/>"), ('"; filename=../é\n.txt', "text/plain", b"hello")]
    files = []
    for name, kind, data in sent:
        async with home.client.post(
            f"{home.url}files", params={"name": name}, data=data, headers={"Content-Type": kind}
        ) as answer:
            files.append((await answer.json())["file"])
    message = await tab.say("look", files=files)
    assert [each["image"] for each in message["attachments"]] == [True, False, False, False]
    for attachment, (_, _, data) in zip(message["attachments"], sent, strict=True):
        async with home.client.get(home.url + attachment["url"]) as answer:
            assert await answer.read() == data
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            shown = answer.headers["Content-Disposition"].startswith("inline"), answer.content_type
            assert shown == ((True, "image/png") if attachment["image"] else (False, "application/octet-stream"))
    assert "/" not in message["attachments"][3]["name"]
    assert await tab.refused("say", channel=tab.channel, content="", reply_to=None, ping=True, files=files)


async def test_too_large_file_is_refused(home: Home) -> None:
    async with home.client.post(f"{home.url}files?name=big", data=BytesIO(bytes(20 * 2**20 + 1))) as answer:
        assert answer.status == 413
        assert await answer.text() == "Files here can be up to 20 MB. Choose a smaller one."


async def test_invalid_frame_closes_only_its_tab(home: Home) -> None:
    other = await home.tab("Bo")
    for frame in ("{", "[]", "1" * 5000, '{"do": 1}', "[" * 50_000, "\x00"):
        broken = await home.tab()
        await broken.socket.send_str(frame)
        await broken.closed()
    await other.say("still here")


async def test_unread_tab_is_cut_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabs, "_PATIENCE", 0.3)
    tab = await home.tab()
    for _ in range(8):
        await tab.say("x" * 2000)
    address = urlsplit(home.url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", address.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
    writer.write(
        f"GET {address.path}ws HTTP/1.1\r\nHost: 127.0.0.1:{address.port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readline()
    asked = json.dumps({"n": 1, "do": "older", "channel": tab.channel, "before": "9" * 19}).encode()
    frame = bytes([0x81, 0x80 | len(asked), 0, 0, 0, 0]) + asked
    with pytest.raises(ConnectionError):  # noqa: PT012  it takes as many as the buffers on the way hold
        async with asyncio.timeout(PATIENCE):
            while True:
                writer.write(frame)
                await writer.drain()
                await asyncio.sleep(0)
    writer.transport.abort()
    await tab.say("and I go on")
