"""Warnings to the application's owner, in direct messages: tokens that run out, a model that does not answer, and one
that is about to be shut down.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import discord

from bot.core.errors import ModelError, StoreError
from bot.core.generation import MINIMUM_REPLY_TOKENS
from bot.core.protocols import ListModels
from bot.core.quotas import Quota, Quotas
from bot.core.turns import FailureReason, Outcome, StopReason
from bot.core.usage import DAY
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.view import PlatformError, Unavailable
from bot.store import Store
from bot.texts import owner_alerts as words

log = logging.getLogger(__name__)

REPEATED_AFTER = 3600
"""Seconds until the same trouble with the model is told again."""
DAYS_BEFORE = (60, 14, 1)
"""Days before a model is shut down on which that is told."""
LOOK_EVERY, LOOK_AGAIN = float(DAY), 3600.0
"""Seconds from one look at the server's list of models to the next, and until that is tried again where it failed."""

Finish = Callable[[Coroutine[Any, Any, object]], None]
"""Runs something in the background, and waits for it when the bot ends."""


class OwnerAlerts:
    """Over one client. Each cause is told once an hour, or once a day (UTC) where it lasts for the day; that a model is
    shut down, once for each of `DAYS_BEFORE` and once afterwards.

    Without `allowances` none can run out.
    """

    def __init__(self, client: discord.Client, store: Store, allowances: Quotas | None) -> None:
        self._client = client
        self._store = store
        self._allowances = allowances
        self._unsent: dict[str, int] = {}
        """Causes on record as told whose message Discord could not take, and until when they count as told."""

    async def check(self, outcome: Outcome, guild_id: int | None) -> None:
        """Warn the owner if how a turn ended in a server, or in none, gives a reason to. Raises nothing."""
        if outcome.stop_reason is StopReason.SHUTDOWN:
            return
        try:
            await self._of_model(outcome)
            if self._allowances is not None:
                await self._of_tokens(self._allowances, outcome, guild_id)
        except StoreError as error:
            log.warning("whether the owner is to be warned is not known: %s", error)

    async def check_shutdowns_daily(self, models: Sequence[str], list_models: ListModels, finish: Finish) -> None:
        """Warn the owner of the shutdown of those among `models` for which the server tells a day.

        This may be broken off at any time. `finish` gets what may not, as the message is on record before it is sent.
        """
        while True:
            pause = LOOK_EVERY
            try:
                days = await list_models()
            except ModelError as error:
                log.info("whether a model is to be shut down is not known: %s", error)
                pause = LOOK_AGAIN
            else:
                finish(self._of_shutdowns(models, days))
            await asyncio.sleep(pause)

    async def _of_shutdowns(self, models: Sequence[str], days: Mapping[str, date | None]) -> None:
        try:
            for model in models:
                if (day := days.get(model)) is not None:
                    await self._of_shutdown(model, day, "OPENAI_MODEL" if model == models[0] else "MODELS")
        except StoreError as error:
            log.warning("whether the owner is to be warned of a shutdown is not known: %s", error)

    async def _of_shutdown(self, model: str, day: date, setting: str) -> None:
        left = (day - _today()).days
        step = "past" if left < 0 else next((str(days) for days in sorted(DAYS_BEFORE) if left <= days), None)
        if step is not None:
            # A day that is put off is news.
            cause = f"warning: shutdown {model} {day} {step}"
            name = discord.utils.escape_markdown(model)
            until = int(time.time()) + 365 * DAY
            await self._warn(cause, until, words.shutdown(name, day, left, setting))

    async def _of_model(self, outcome: Outcome) -> None:
        until = int(time.time()) + REPEATED_AFTER
        if outcome.failure is FailureReason.UNREACHABLE:
            await self._warn("warning: unreachable", until, words.unreachable(outcome.detail))
        elif outcome.failure is FailureReason.CONFIGURATION:
            # What is wrong next, once the first thing is mended, is news.
            cause = f"warning: setup {zlib.crc32(outcome.advice.encode()):08x}"
            await self._warn(cause, until, words.set_up(outcome.detail))

    async def _of_tokens(self, most: Quotas, outcome: Outcome, guild_id: int | None) -> None:
        spent = await self._store.quotas.usage_today(guild_id=guild_id, reserved=False)
        gone = None if outcome.quota_exceeded is None else outcome.quota_exceeded.quota
        await self._of_share("bot", spent.total, most.daily_tokens_total, gone is Quota.TOTAL, None)
        if guild_id is not None:
            name = self._name(guild_id)
            await self._of_share(
                f"server {guild_id}", spent.guild, most.daily_tokens_per_server, gone is Quota.GUILD, name
            )

    async def _of_share(self, whose: str, used: int, most: int, gone: bool, server: str | None) -> None:
        until = (int(time.time()) // DAY + 1) * DAY
        mostly, wholly = f"warning: {whose} 80 %", f"warning: {whose} 100 %"
        if gone or most - used < MINIMUM_REPLY_TOKENS:
            # The lesser warning would be no news after this one.
            await self._store.processed.claim_notice(mostly, until)
            await self._warn(wholly, until, words.used_up(most, until, server))
        elif used * 5 >= most * 4:
            await self._warn(mostly, until, words.mostly_used(used, most, until, server))

    async def _warn(self, cause: str, until: int, sentence: str) -> None:
        """Tell the owner of a cause, unless that was done; where Discord is in trouble, it is tried at the next one."""
        if self._unsent.pop(cause, 0) <= time.time() and not await self._store.processed.claim_notice(cause, until):
            return
        owner = _owner(self._client.application)
        if owner is None:
            log.warning("nobody is known to own the application, so nobody was warned: %s", sentence)
            return
        try:
            with platform_errors():
                channel = await self._client.create_dm(discord.Object(owner))
                await channel.send(sentence, suppress_embeds=True)
        except Unavailable as error:
            self._unsent[cause] = until
            log.warning("the owner could not be warned yet (%s): %s", error, sentence)
        except PlatformError as error:
            log.warning("the owner takes no direct message from the bot (%s): %s", error, sentence)

    def _name(self, guild_id: int) -> str:
        guild = self._client.get_guild(guild_id)
        name = "" if guild is None else f"{discord.utils.escape_markdown(guild.name)} "
        return f"{name}({guild_id})"


def _today() -> date:
    return datetime.now(UTC).date()


def _owner(application: discord.AppInfo | None) -> int | None:
    """The id of the one who answers for an application: of a team, its owner."""
    if application is None:
        return None
    return application.owner.id if application.team is None else application.team.owner_id
