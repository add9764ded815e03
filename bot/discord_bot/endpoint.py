"""Where discord.py connects to, and how: Discord itself or the stand-in, by a proxy or directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

import aiohttp
import yarl
from discord import VoiceClient
from discord.asset import Asset
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.network.connections import Network

# The bot does not use voice. Without this, discord.py warns at every start that the libraries for voice are missing.
VoiceClient.warn_nacl = VoiceClient.warn_dave = False


class Connecting(TypedDict):
    """The options of a client of discord.py for its connections."""

    proxy: str | None
    connector: aiohttp.BaseConnector


def connecting(network: Network) -> Connecting:
    """The options for one client. Has to be called in the event loop.

    discord.py takes one proxy for all of Discord's hosts, so that of the REST API decides.
    """
    return Connecting(proxy=network.proxy(Route.BASE), connector=aiohttp.TCPConnector(limit=0, ssl=network.tls()))


@contextmanager
def connect_to(rest_url: str, gateway_url: str, cdn_url: str) -> Iterator[None]:
    """Have every client of this process use these addresses until the block ends; `rest_url` ends in `/api/v10`."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = rest_url, yarl.URL(gateway_url), cdn_url
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = before
