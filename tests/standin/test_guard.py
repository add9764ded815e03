from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import pytest

from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"Host": "localhost:{port}"}, False),
        ({"Host": "evil.example:{port}"}, True),
        ({"Origin": "http://127.0.0.1:{port}"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
    ],
)
async def test_web_pages_are_refused_everywhere(
    standin: DiscordStandin, headers: Mapping[str, str], refused: bool
) -> None:
    async with ModelStandin() as model, aiohttp.ClientSession() as client:
        doors = (f"{standin.url}/gateway", standin.gateway_url.replace("ws:", "http:"), f"{standin.cdn_url}/a.png")
        for door in (*doors, f"{model.base_url}/models"):
            port = door.split(":")[2].split("/")[0]
            sent = {name: value.replace("{port}", port) for name, value in headers.items()}
            async with client.get(door, headers=sent) as answer:
                assert (answer.status == 403) is refused, door
