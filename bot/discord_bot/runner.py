"""Runs the bot on Discord until it is told to stop or Discord refuses it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import aiohttp
import discord

from bot.core.errors import DiscordError, DiscordUnavailable
from bot.core.figures import Figures
from bot.core.gate import Gate
from bot.core.protocols import ListModels, SharedLimits
from bot.core.service import ConversationService
from bot.core.shards import Shards
from bot.discord_bot.client import ParleyClient
from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.shared_budget import SharedBudget
from bot.discord_bot.health import HealthChecks, PublishHealth, count_shards
from bot.discord_bot.options import Options
from bot.network.failures import REMEDIES, failure
from bot.store import Store

log = logging.getLogger(__name__)

MESSAGE_CONTENT_REMEDY = (
    "Switch on Message Content Intent (Developer Portal, Bot, Privileged Gateway Intents), or set"
    " MESSAGE_CONTENT=false."
)
"""What to do where MESSAGE_CONTENT is set and Discord does not allow it."""
_AUTHENTICATION_FAILED = 4004


async def run(
    token: str,
    store: Store,
    conversations: ConversationService,
    options: Options,
    *,
    stop: asyncio.Event,
    list_models: Sequence[ListModels] = (),
    publish_health: PublishHealth | None = None,
    figures: Figures | None = None,
    gate: Gate | None = None,
    limits: SharedLimits | None = None,
) -> None:
    """Run until `stop` is set, then end the replies under way within `options.grace` seconds.

    With `list_models`, one for each model server, the owner is alerted before a model is shut down. `publish_health`
    gets the bot's health checks, and `figures` take how its requests go. While the `gate` is closed, nothing is done;
    once it is shut, everything is left to the process that does it from then on, and `run` returns. The `limits` are
    shared with the other processes.

    Raises DiscordError if Discord refuses the bot, and DiscordUnavailable if it cannot be reached at the start.
    """
    async with (
        _budget(options, limits) as budget,
        Scheduler(budget, figures, gate) as scheduler,
        ParleyClient(conversations, store, scheduler, options, list_models, limits) as client,
        AsyncExitStack() as stack,
    ):
        checks = HealthChecks(
            client.connections.away_for,
            client.unanswered_for,
            store.engine.ping,
            lambda: conversations.last_reply_at,
        )
        if figures is not None:
            count_shards(figures, checks)
        if publish_health is not None:
            await stack.enter_async_context(publish_health(checks))
        serving = asyncio.create_task(client.start(token))
        stopping = asyncio.create_task(stop.wait())
        losing = asyncio.create_task(scheduler.gate.until_shut())
        try:
            with discord_errors(message_content=options.message_content):
                await asyncio.wait([serving, stopping, losing], return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()
            if not losing.done():
                log.info("stopping: running replies have %g s to finish", options.grace)
                await client.drain(options.grace)
        finally:
            stopping.cancel()
            losing.cancel()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await client.close()


@asynccontextmanager
async def _budget(options: Options, limits: SharedLimits | None) -> AsyncIterator[Budget]:
    """The budget of requests: a process that serves all shards shares it with nobody."""
    if limits is None or not isinstance(options.shards, Shards) or options.shards.are_all:
        yield Budget()
        return
    shared = SharedBudget(limits)
    try:
        yield shared
    finally:
        await shared.close()


@contextmanager
def discord_errors(*, message_content: bool = False) -> Iterator[None]:
    """Turn the errors of a start into DiscordError, whose sentence says what to do.

    `message_content` tells whether the bot asks for that intent.
    """
    refused = "Discord refused DISCORD_TOKEN. Copy the bot's token again (Developer Portal, Bot, Reset Token)."
    try:
        yield
    except discord.LoginFailure:
        raise DiscordError(refused) from None
    except discord.PrivilegedIntentsRequired:
        if message_content:
            raise DiscordError(
                f"Discord does not let this bot read messages. {MESSAGE_CONTENT_REMEDY} The reason: code 4014."
            ) from None
        raise DiscordError(
            "Discord refused the bot's intents, though none of them is privileged. "
            "Update discord.py, and see in the Developer Portal whether the application is restricted."
        ) from None
    except discord.ConnectionClosed as error:
        if error.code == _AUTHENTICATION_FAILED:
            raise DiscordError(refused) from None
        raise DiscordError(
            f"Discord closed the connection for good (code {error.code}). Start the bot again later."
        ) from None
    except discord.RateLimited as error:
        raise DiscordUnavailable(
            f"Discord accepts no requests from this bot for {error.retry_after:.0f} s.",
            "Start the bot again after that.",
            pause=error.retry_after,
        ) from None
    except discord.HTTPException as error:
        raise DiscordUnavailable(
            f"Discord answered {error.status} at the start.", "Start the bot again in a few minutes."
        ) from None
    except (aiohttp.ClientError, discord.GatewayNotFound, OSError) as error:
        found = failure(error)
        remedy = REMEDIES.get(found.cause, "Check the network of this computer.")
        raise DiscordUnavailable("Discord cannot be reached.", remedy, f"The reason: {found.reason}.") from None
