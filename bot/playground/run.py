"""Assembly of the playground. It connects the stand-ins, the real bot and the page, then starts and ends them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.config import Settings
from bot.core.access import AccessSettings
from bot.core.figures import Figures
from bot.core.loop_delay import loop_delay_measured
from bot.core.protocols import ChatModel
from bot.core.service import ConversationService
from bot.core.turns import Attempt
from bot.discord_bot.channels import PLATFORM
from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.options import Options
from bot.discord_bot.runner import run
from bot.llm.servers import ModelRouter
from bot.playground.address import Address
from bot.playground.browser import opened_in_browser
from bot.playground.model import Described, SwitchedModel, demo_client, demo_server
from bot.playground.page import Page
from bot.playground.private import Private
from bot.playground.runner import Runner
from bot.playground.stage import Stage, settle
from bot.playground.switches import Switches
from bot.playground.uploads import Uploads
from bot.playground.view import View
from bot.playground.wire import Wire
from bot.standin.entities import Intent
from bot.standin.server import DiscordStandin
from bot.standin.sharding import Sharding
from bot.standin.world import Keep
from bot.store import Store
from bot.texts import playground as words

_KEEP = Keep(messages=2_000, shown=1, file_bytes=256 * 2**20)
_REQUESTS_KEPT = 300
_LAST_WORDS = 1.0
"""Seconds that the bot has at the end to report unfinished work."""


async def playground(
    settings: Settings,
    store: Store,
    conversations: Callable[[ChatModel], ConversationService],
    figures: Figures,
    *,
    port: int | None,
    database: Path,
    open_browser: bool,
    stop: asyncio.Event,
    say: Callable[[str], None],
) -> None:
    """Run the playground until `stop` is set.

    The page shows the `figures`, which the store and the conversations count in too. It uses `port` or the next free
    port, and any free port for 0. Beside the database a file keeps its address for the
    next start. An error that keeps the bot from starting is raised.
    """
    async with AsyncExitStack() as stack:
        discord = DiscordStandin(
            token=secrets.token_urlsafe(32),
            rtt=lambda: switches.round_trip(),
            privileged=Intent.MESSAGE_CONTENT if settings.message_content else Intent.NONE,
            # A bot that is started again at once does not have to wait.
            sharding=Sharding(identify_every=0.0),
            keep_requests=_REQUESTS_KEPT,
            keep=_KEEP,
        )
        settle(discord)
        model_server = await stack.enter_async_context(demo_server())
        demo = await stack.enter_async_context(demo_client(model_server))
        configured = None
        if settings.model_configured:
            configured = await stack.enter_async_context(ModelRouter.of(settings, store.server_facts))
        model = SwitchedModel(model_server, demo, configured, settings.fallback_model)
        # The settings may name servers and people of the real Discord, and the playground has none of these.
        options = replace(Options.of(settings, grace=0.0), access=AccessSettings())

        async def serve(until: asyncio.Event) -> None:
            async with conversations(model) as core:
                reads_all = Intent.MESSAGE_CONTENT in discord.privileged
                allowed = replace(options, message_content=reads_all)
                await run(discord.token, store, core, allowed, stop=until, figures=figures)

        runner = Runner(serve, lambda: discord.gateway.connected, discord.world.changed)
        discord.world.on_change.append(runner.notice)
        switches = Switches(discord, model, runner)
        private = Private(discord)
        stack.push_async_callback(private.close)
        stage = Stage(
            discord,
            runner,
            switches,
            private,
            Uploads(),
            View(discord, private),
            Wire(discord),
            Described.of(settings),
            figures,
        )
        await stack.enter_async_context(loop_delay_measured(figures))
        await stack.enter_async_context(discord)
        stack.enter_context(connect_to(discord.url, discord.gateway_url, discord.cdn_url))
        kept = Path(f"{database}.address")
        page = await stack.enter_async_context(Page(stage, port, Address.read(kept)))
        page.address.keep(kept)
        stack.callback(page.address.keep, kept)
        stack.push_async_callback(switches.close)
        stack.push_async_callback(runner.close, _LAST_WORDS)
        await _end_left_over(store)
        await runner.start()
        say(
            words.welcome(
                page.address.url,
                database=str(database),
                model=stage.model.name,
                host=stage.model.host,
                taken_port=page.taken_port,
                bot=discord.bot.display_name or discord.bot.name,
            )
        )
        if open_browser:
            stack.enter_context(opened_in_browser(page.address.url, database.parent))
        await _first(stop, runner.failure)


async def _end_left_over(store: Store) -> None:
    """Keep what an earlier playground left unfinished as it is.

    Its messages were gone with its Discord. The bot would take them for deleted by people, and forget what they asked.
    """
    await store.turns.interrupt_left_over(PLATFORM)
    for turn in await store.turns.undelivered(PLATFORM):
        await store.turns.mark_delivered(Attempt(turn.id, turn.attempt))


async def _first(stop: asyncio.Event, failure: asyncio.Future[BaseException]) -> None:
    """Return when `stop` is set, or raise the failure if that comes first."""
    stopping = asyncio.create_task(stop.wait())
    both: list[asyncio.Future[Any]] = [stopping, failure]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if failure.done():
        raise failure.result()
