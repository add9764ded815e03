"""Points discord.py at the stand-in for Discord instead of Discord itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import yarl
from discord.asset import Asset
from discord.gateway import DiscordWebSocket
from discord.http import Route


@contextmanager
def connect_to(rest_url: str, gateway_url: str, cdn_url: str) -> Iterator[None]:
    """Have every client of this process use these addresses until the block ends; `rest_url` ends in `/api/v10`."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = rest_url, yarl.URL(gateway_url), cdn_url
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = before
