"""Files of messages are downloaded from Discord alone, within their limits, however the server behaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.inbound import downloads as module
from bot.discord_bot.inbound.downloads import MAX_BYTES, MAX_CONCURRENT, Downloads, RemoteFile, is_of_discord
from bot.files import FileProblem, FileReader, Text, Unreadable
from bot.network.connections import Network
from bot.standin.entities import Attachment
from bot.standin.faults import DOWNLOAD, Answered, BrokenOff, DownloadAction, Endless, Redirected, ServerError, Slow
from bot.standin.server import DiscordStandin
from tests.network.proxy import proxying
from tests.waiting import until

NOT_FETCHED = Unreadable(FileProblem.NOT_FETCHED)


class Place:
    """A server with files, and the downloads under test."""

    def __init__(self, discord: DiscordStandin, downloads: Downloads) -> None:
        self.discord = discord
        self.downloads = downloads
        self.renewed = 0

    async def upload(self, data: bytes = b"what it says", size: int = -1, name: str = "a.txt") -> Attachment:
        file = Attachment(name, data, size=size)
        await self.discord.say(self.discord.general, self.discord.bo, "look", attachments=[file])
        return file

    async def read(self, file: Attachment, *, gone: bool = False) -> object:
        """What is read of a file, whose message is `gone`."""
        return await self.read_from(RemoteFile(file.url, file.size), None if gone else file)

    async def read_from(self, remote: RemoteFile, file: Attachment | None = None) -> object:
        async def renew() -> str | None:
            self.renewed += 1
            return None if file is None else file.url

        return await self.downloads.read(remote, 1000, renew)


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(DiscordStandin())
        stack.enter_context(connect_to(discord.url, discord.gateway_url, discord.cdn_url))
        downloads = Downloads(Network(), FileReader(time_limit=60))
        stack.push_async_callback(downloads.close)
        yield Place(discord, downloads)


@pytest.mark.parametrize("name", ["a.txt", "späß #1 100%.txt", "../../etc/passwd", "a\nb.txt", "\u202etxt.exe"])
async def test_a_file_is_downloaded_and_read(place: Place, name: str) -> None:
    assert await place.read(await place.upload(name=name)) == Text("what it says")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://cdn.discordapp.com/attachments/1/2/a.png?ex=1&is=2&hm=3", True),
        ("https://media.discordapp.net/attachments/1/2/a.png", True),
        ("https://images-ext-1.discordapp.net/external/abc/https/example.com/a.png", True),
        ("http://cdn.discordapp.com/attachments/1/2/a.png", False),
        ("https://cdn.discordapp.com:8443/attachments/1/2/a.png", False),
        ("https://cdn.discordapp.com.example.com/a.png", False),
        ("https://cdn.discordapp.com@example.com/a.png", False),
        ("https://images-ext-1.discordapp.net.example.com/a.png", False),
        ("https://example.com/cdn.discordapp.com", False),
        ("http://127.0.0.1/a.png", False),
        ("http://169.254.169.254/latest/meta-data/", False),
        ("file:///etc/passwd", False),
        ("https://[::1/a.png", False),
        ("", False),
    ],
)
def test_only_discords_hosts_are_asked(url: str, allowed: bool) -> None:
    assert is_of_discord(url) is allowed


async def test_no_other_server_is_asked(place: Place) -> None:
    elsewhere = DiscordStandin()
    async with elsewhere:
        file = Attachment("a.txt", b"secret")
        await elsewhere.say(elsewhere.general, elsewhere.bo, "look", attachments=[file])
        assert await place.read(file) == NOT_FETCHED
        assert elsewhere.downloads == []


@pytest.mark.parametrize(
    "fault",
    [
        ServerError(503),
        Answered(200, b"short", "text/plain"),
        Answered(200, b"longer than stated", "text/plain"),
        BrokenOff(),
        Endless(),
    ],
    ids=str,
)
async def test_a_server_that_fails_or_lies_is_a_problem(place: Place, fault: DownloadAction) -> None:
    file = await place.upload()
    place.discord.faults.add(fault, route=DOWNLOAD)
    assert await place.read(file) == NOT_FETCHED
    assert await place.read(file) == Text("what it says")


async def test_a_redirection_is_not_followed(place: Place) -> None:
    file, other = await place.upload(), await place.upload(b"another one!")
    place.discord.faults.add(Redirected(other.url), route=DOWNLOAD)
    assert await place.read(file) == NOT_FETCHED
    assert place.discord.downloads == [file]


async def test_no_more_is_read_than_is_stated_and_allowed(place: Place) -> None:
    large = await place.upload(b"x", size=MAX_BYTES + 1)
    assert await place.read(large) == Unreadable(FileProblem.TOO_LARGE)
    understated = await place.upload(bytes(5_000_000), size=1000)
    assert await place.read(understated) == NOT_FETCHED
    assert place.discord.downloads == [understated]
    place.discord.faults.add(Endless(piece=2**20), route=DOWNLOAD)
    assert await place.read_from(RemoteFile((await place.upload()).url, None)) == NOT_FETCHED


async def test_a_slow_server_has_a_time_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    file = await place.upload(bytes(1000))
    place.discord.faults.add(Endless(piece=1, pause=0.05), route=DOWNLOAD)
    assert await place.read(file) == NOT_FETCHED


async def test_an_expired_address_is_renewed_once(place: Place) -> None:
    file = await place.upload()
    before = replace(file)
    place.discord.expire_attachments()
    assert await place.read_from(RemoteFile(before.url, before.size), file) == Text("what it says")
    assert place.renewed == 1
    assert await place.read_from(RemoteFile(before.url, before.size), before) == Unreadable(FileProblem.GONE)
    assert await place.read_from(RemoteFile(before.url, before.size)) == Unreadable(FileProblem.GONE)
    assert place.renewed == 3


async def test_three_files_are_in_memory_at_a_time(place: Place) -> None:
    files = [await place.upload(f"file {number}".encode()) for number in range(MAX_CONCURRENT + 2)]
    fault = place.discord.faults.add(Slow(3600), route=DOWNLOAD, times=MAX_CONCURRENT)
    reading = [asyncio.create_task(place.read(file)) for file in files]
    await until(lambda: fault.hits == MAX_CONCURRENT)
    # A fourth one would have come by now.
    await asyncio.sleep(0.1)
    assert len(place.discord.downloads) == MAX_CONCURRENT
    for each in reading[:MAX_CONCURRENT]:
        each.cancel()
    assert await asyncio.gather(*reading[MAX_CONCURRENT:]) == [Text("file 3"), Text("file 4")]


async def test_what_is_asked_for_at_the_end_or_after_it_is_not_downloaded(place: Place) -> None:
    file, waiting = await place.upload(), await place.upload()
    fault = place.discord.faults.add(Slow(3600), route=DOWNLOAD, times=MAX_CONCURRENT)
    reading = [asyncio.create_task(place.read(each)) for each in [*[file] * MAX_CONCURRENT, waiting]]
    await until(lambda: fault.hits == MAX_CONCURRENT)
    await place.downloads.close()
    assert await asyncio.gather(*reading) == [NOT_FETCHED] * len(reading)
    assert await place.read(waiting) == NOT_FETCHED
    assert waiting not in place.discord.downloads


async def test_downloads_go_through_the_proxy(place: Place) -> None:
    async with proxying() as proxy:
        network = Network(http_proxy=proxy.url)
        downloads = Downloads(network, FileReader(time_limit=60))
        # On this computer there is no proxy; a name that only the proxy knows needs one.
        url = (await place.upload()).url.replace("127.0.0.1", "standin.test")
        with connect_to(place.discord.url, place.discord.gateway_url, url.partition("/attachments")[0]):
            await downloads.read(RemoteFile(url, 12), 1000, lambda: asyncio.sleep(0))
        await downloads.close()
        assert proxy.asked == [f"GET {url}"]
