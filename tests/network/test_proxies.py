"""Proxies and certificates of one's own, for the model and Discord alike, with the unmodified clients over sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.config import ModelServerSettings, Secret
from bot.core.access import AccessSettings
from bot.discord_bot.check import account
from bot.discord_bot.endpoint import connect_to
from bot.llm.client import OpenAIModel
from bot.llm.timeouts import Timeouts
from bot.network.connections import Network
from bot.standin import guard
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from tests import forkserver
from tests.discord_bot.conftest import OPTIONS, RUN, serving
from tests.llm.conftest import KEY, ask, failure, text
from tests.network.certificates import certificate
from tests.network.proxy import Proxy, proxying, tls_before
from tests.waiting import FOR_A_PROCESS, until

HOST = "standin.test"
"""A name that only the proxy knows."""
LOGIN = "Basic bWU6aHVudGVyOGh1bnRlcjg="
"""The name `me` with the password `hunter8hunter8`."""


@pytest.fixture(autouse=True)
def stand_in_answers_to_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "own_hosts", lambda request: (request.headers["Host"],))


@asynccontextmanager
async def addressed(port: int, scheme: str, folder: Path) -> AsyncIterator[tuple[str, Network]]:
    """The address of a stand-in by its name, with http or https, and whom the clients trust."""
    if scheme == "http":
        yield f"http://{HOST}:{port}", Network()
        return
    file, context = certificate(folder, name=f"DNS:{HOST}")
    async with tls_before(port, context) as secure:
        yield f"https://{HOST}:{secure}", Network(certificates=file)


def through(network: Network, proxy: Proxy, login: str = "") -> Network:
    """With a name and a password in the proxy's URL, if they are given."""
    url = proxy.url.replace("://", f"://{login}@") if login else proxy.url
    return replace(network, https_proxy=url, http_proxy=url)


# The SDK's transport hands the name and the password over as aiohttp no longer wants them.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'proxy_auth' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_model_is_asked_through_the_proxy(scheme: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ModelStandin())
        proxy = await stack.enter_async_context(proxying(LOGIN))
        port = urlsplit(server.base_url).port or 0
        address, network = await stack.enter_async_context(addressed(port, scheme, tmp_path))

        async def failing(network: Network) -> str:
            async with OpenAIModel(
                ModelServerSettings(f"{address}/v1", Secret(KEY)), timeouts=Timeouts(retry_within=0), network=network
            ) as model:
                error = await failure(model)
                assert "hunter8" not in f"{error.detail} {error.server_message} {error.advice}"
                return error.detail

        for login in ("me:hunter8hunter8", "me:hunter8hunte%728"):
            async with OpenAIModel(
                ModelServerSettings(f"{address}/v1", Secret(KEY)), network=through(network, proxy, login)
            ) as model:
                assert text(await ask(model)) == "Hello from the model."
        assert len(server.requests) == 2
        method = "POST" if scheme == "http" else "CONNECT"
        target = f"{address}/v1/chat/completions" if scheme == "http" else address.removeprefix("https://")
        assert proxy.asked == [f"{method} {target}"] * 2

        wanted = await failing(through(network, proxy, "me:hunter8"))
        assert f"cannot be reached through the proxy {proxy.url}. Write the proxy's name and password into" in wanted
        if scheme == "https":
            proxy.refusal = "403 Forbidden"
            forbidden = await failing(through(network, proxy))
            assert "Allow the host in the proxy, or add it to NO_PROXY" in forbidden
            assert forbidden.endswith("The reason: the proxy refused to connect to it (403)")
            proxy.asked.pop()
        # Directly, the name leads nowhere.
        assert f"unknown host {HOST}" in await failing(replace(through(network, proxy), no_proxy=(HOST,)))
        assert len(proxy.asked) == 3
    refused = await failing(through(network, proxy, "me:hunter8hunter8"))
    assert "Start the proxy, or correct HTTPS_PROXY or HTTP_PROXY" in refused
    assert refused.endswith(f"The reason: the proxy {urlsplit(proxy.url).netloc}: connection refused")


async def test_model_on_this_computer_needs_no_proxy() -> None:
    async with ModelStandin() as server, proxying() as proxy:
        for name in ("127.0.0.1", "localhost"):
            base_url = server.base_url.replace("127.0.0.1", name)
            async with OpenAIModel(ModelServerSettings(base_url), network=through(Network(), proxy)) as model:
                assert text(await ask(model)) == "Hello from the model."
        assert proxy.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_discord_is_reached_through_the_proxy(
    scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(DiscordStandin())
        model = await stack.enter_async_context(ModelStandin())
        proxy = await stack.enter_async_context(proxying(LOGIN))
        port = urlsplit(discord.url).port or 0
        address, network = await stack.enter_async_context(addressed(port, scheme, tmp_path))
        network = through(network, proxy, "me:hunter8hunter8")
        stack.enter_context(
            connect_to(f"{address}/api/v10", f"{address.replace('http', 'ws', 1)}/gateway", f"{address}/cdn")
        )
        found = await account(discord.token, AccessSettings(), network)
        assert found.bot.startswith(discord.bot.name)
        stop = asyncio.Event()
        bot = serving(discord, model, tmp_path / "parley.db", stop, options=replace(OPTIONS, network=network))
        world = await stack.enter_async_context(bot)
        assert (await world.answered()).content == "Hello from the model."
    # REST and gateway alike: nobody else knows the name.
    target = address.removeprefix("https://") if scheme == "https" else f"{address}/api/v10/"
    assert proxy.asked
    assert all(target in asked for asked in proxy.asked)
    assert "hunter8" not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_password_of_the_proxy_stays_out_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(DiscordStandin())
        proxy = await stack.enter_async_context(proxying(LOGIN))
        port = urlsplit(discord.url).port or 0
        address, network = await stack.enter_async_context(addressed(port, "https", tmp_path))
        monkeypatch.setattr(DiscordStandin, "gateway_url", f"{address.replace('http', 'ws', 1)}/gateway")
        process = await forkserver.start(
            *("-c", RUN, f"{address}/api/v10", discord.gateway_url, f"{address}/cdn"),
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path.cwd()),
                "DISCORD_TOKEN": discord.token,
                "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
                "DATABASE_PATH": str(tmp_path / "parley.db"),
                "https_proxy": through(network, proxy, "me:hunter8hunter8").https_proxy or "",
                "SSL_CERT_FILE": str(network.certificates),
                "SHUTDOWN_GRACE": "0.3",
            },
            cwd=tmp_path,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            discord.patience = FOR_A_PROCESS
            await discord.ready()
            asked = len(proxy.asked)
            proxy.login = "Basic b3RoZXI="
            proxy.cut()
            # The second one comes after the first one is in the log.
            await until(lambda: len(proxy.asked) > asked + 1, within=FOR_A_PROCESS)
        finally:
            process.terminate()
            _, log = await process.communicate()
    said = log.decode()
    assert "407, message='Proxy Authentication Required', url='http://***@127.0.0.1:" in said
    assert "hunter8" not in said
    assert LOGIN.removeprefix("Basic ") not in said


async def test_tls_is_refused_without_the_certificate(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ModelStandin())
        proxy = await stack.enter_async_context(proxying())
        port = urlsplit(server.base_url).port or 0
        address, network = await stack.enter_async_context(addressed(port, "https", tmp_path))
        nobody = through(replace(network, certificates=None), proxy)
        async with OpenAIModel(
            ModelServerSettings(f"{address}/v1"), timeouts=Timeouts(retry_within=0), network=nobody
        ) as model:
            assert "SSL_CERT_FILE" in (await failure(model)).detail
    assert server.requests == []


def test_own_certificates_count_beside_those_of_the_system(tmp_path: Path) -> None:
    file, _ = certificate(tmp_path)
    own, system = Network(certificates=file).tls(), Network().tls()
    assert len(own.get_ca_certs()) == len(system.get_ca_certs()) + 1


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://discord.com/api", "", False),
        ("https://discord.com/api", "*", True),
        ("https://discord.com/api", "example.com,DISCORD.com", True),
        ("https://gateway.discord.gg", ".discord.gg", True),
        ("https://gateway.discord.gg", "*.discord.gg", True),
        ("https://gateway.discord.gg", "discord.gg", True),
        ("https://notdiscord.gg", "discord.gg", False),
        ("https://discord.gg.example.com", "discord.gg", False),
        ("http://models.lan:8080/v1", "models.lan:8080", True),
        ("http://models.lan:8081/v1", "models.lan:8080", False),
        ("https://models.lan/v1", "models.lan:443", True),
        ("http://10.1.2.3:8080/v1", "10.0.0.0/8", True),
        ("http://10.1.2.3:8080/v1", "10.1.2.3", True),
        ("http://10.1.2.3:8080/v1", "10.1.2.3:8080", True),
        ("http://10.1.2.3:8080/v1", "10.1.2", False),
        ("http://11.1.2.3:8080/v1", "10.0.0.0/8", False),
        ("http://[fd00::1]:8080/v1", "fd00::/8", True),
        ("http://[fd00::1]:8080/v1", "[fd00::1]", True),
        ("http://[fd00::1]:8080/v1", "[fd00::1]:8080", True),
        ("http://127.0.0.1:1/v1", "", True),
        ("http://127.9.9.9:1/v1", "", True),
        ("http://LOCALHOST./v1", "", True),
        ("http://models.localhost/v1", "", True),
        ("http://[::1]:1/v1", "", True),
        ("http://host.docker.internal:1/v1", "", False),
    ],
)
def test_no_proxy_names_hosts(url: str, no_proxy: str, direct: bool) -> None:
    network = Network("http://secure:1", "http://plain:1", tuple(filter(None, no_proxy.split(","))))
    proxy = "http://secure:1" if url.startswith("https") else "http://plain:1"
    assert network.proxy(url) == (None if direct else proxy)
