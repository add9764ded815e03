"""The calls with the token of an interaction, made once and at once: when, and whether again, is decided here.

discord.py would wait after the call that takes the last token of a window, for longer than Discord asks for. It would
also make a call again whose answer is an error, though a message that was posted has no nonce there by which Discord
would recognize a second copy: https://github.com/discord/discord-api-docs/pull/6647.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aiohttp
import discord
from discord.http import Route, json_or_text
from discord.webhook.async_ import AsyncWebhookAdapter, async_context

_NO_PREVIEWS = discord.MessageFlags(suppress_embeds=True).value
_ERRORS = {403: discord.Forbidden, 404: discord.NotFound}


class _TokenCalls(AsyncWebhookAdapter):
    async def request(
        self,
        route: Route,
        session: aiohttp.ClientSession,
        *,
        payload: dict[str, Any] | None = None,
        multipart: list[dict[str, Any]] | None = None,
        proxy: str | None = None,
        proxy_auth: aiohttp.BasicAuth | None = None,
        files: Sequence[discord.File] | None = None,
        reason: str | None = None,
        auth_token: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        if route.method == "PATCH" and payload is not None:
            # The answer that says that the bot is thinking has previews, and discord.py edits it without this flag.
            payload = {**payload, "flags": _NO_PREVIEWS}
        headers = {} if payload is None else {"Content-Type": "application/json"}
        data: str | aiohttp.FormData | None = None if payload is None else json.dumps(payload)
        if multipart:
            data = aiohttp.FormData(quote_fields=False)
            for field in multipart:
                data.add_field(**field)
        async with session.request(
            route.method, route.url, data=data, headers=headers, params=params, proxy=proxy, proxy_auth=proxy_auth
        ) as response:
            answer = await json_or_text(response)
        if 200 <= response.status < 300:
            return answer
        error = discord.DiscordServerError if response.status >= 500 else _ERRORS.get(response.status)
        raise (error or discord.HTTPException)(response, answer)


_CALLS = _TokenCalls()  # type: ignore[no-untyped-call]


@contextmanager
def made_once() -> Iterator[None]:
    """Have discord.py make the calls with a token neither late nor again in this task."""
    before = async_context.set(_CALLS)
    try:
        yield
    finally:
        async_context.reset(before)
