"""Alerts to the application's owner, in direct messages: quotas that run out, a model that fails or is shut down."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import repeat

import discord

from bot.core.errors import ModelError, StoreError
from bot.core.generation import MINIMUM_REPLY_TOKENS
from bot.core.protocols import ListModels
from bot.core.quotas import Quota, Quotas
from bot.core.retrying import retrying
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState
from bot.core.usage import DAY
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.view import PlatformError, Unavailable
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store
from bot.texts import owner_alerts as words

log = logging.getLogger(__name__)

REPEATED_AFTER = 600
"""Seconds until the same failure of a model is reported again, if the model has worked since."""
FAILING_FOR = 30 * DAY
"""Seconds until a failure is reported again that has lasted all the time."""
DAYS_BEFORE = (60, 14, 1)
"""Days before the shutdown of a model on which it is reported."""
CHECK_EVERY = float(DAY)
"""Seconds between two reads of the model server's list of models."""
RETRY_DELAY = 3600.0
"""Seconds until the list is read again after that failed."""
DATABASE_RETRY_DELAY = 60.0
"""Seconds until a shutdown is looked up again that the database failed for."""


@dataclass(frozen=True, slots=True)
class _Share:
    """The used part of a quota. `exceeded` means that it has no room for a reply."""

    used: int
    limit: int
    exceeded: bool


class OwnerAlerts:
    """Sends the alerts of one client.

    A failing model is reported once for each cause, and once more when it works again; a quota once a day (UTC); and
    the shutdown of a model once for each of `DAYS_BEFORE` and once afterwards. Without `quotas`, no quota can run out.
    """

    def __init__(self, client: discord.Client, store: Store, quotas: Quotas | None, tasks: TaskSupervisor) -> None:
        self._client = client
        self._store = store
        self._quotas = quotas
        self._tasks = tasks
        self._unsent: dict[str, int] = {}
        """Causes on record as reported whose message Discord could not take, and until when they count as reported."""
        self._working: set[str] = set()
        """Models that work again, which Discord could not take the message on."""

    async def check(self, outcome: Outcome, guild_id: int | None) -> None:
        """Alert the owner if the outcome of a turn in a guild, or in none, gives a reason to. Raises nothing."""
        if outcome.stop_reason is StopReason.SHUTDOWN:
            return
        try:
            await self._check_model(outcome)
            if self._quotas is not None:
                await self._check_quotas(self._quotas, outcome, guild_id)
        except StoreError as error:
            log.warning("could not check whether to warn the owner: %s", error)

    async def check_shutdowns_daily(self, named_in: Mapping[str, str], list_models: ListModels) -> None:
        """Alert the owner of the shutdown of each model for which its server names a day.

        `named_in` has the models, each with the setting that names it. The alerts outlive a cancellation of this, as
        each is on record before it is sent.
        """

        def log_retry(error: Exception, _delay: float) -> None:
            log.info("could not check whether a model will be shut down: %s", error)

        while True:
            days = await retrying(list_models, repeat(RETRY_DELAY), on=(ModelError,), log_retry=log_retry)
            self._tasks.spawn(self._check_shutdowns(named_in, days), on_shutdown="drain")
            await asyncio.sleep(CHECK_EVERY)

    async def _check_shutdowns(self, named_in: Mapping[str, str], days: Mapping[str, date | None]) -> None:
        def log_retry(error: Exception, _delay: float) -> None:
            log.warning("could not check whether to warn the owner of a shutdown: %s", error)

        for model, setting in named_in.items():
            if (day := days.get(model)) is not None:
                checking = partial(self._check_shutdown, model, day, setting)
                # The next day may be one too late.
                await retrying(checking, repeat(DATABASE_RETRY_DELAY), on=(StoreError,), log_retry=log_retry)

    async def _check_shutdown(self, model: str, day: date, setting: str) -> None:
        left = (day - _today()).days
        step = "past" if left < 0 else next((str(days) for days in sorted(DAYS_BEFORE) if left <= days), None)
        if step is not None:
            # A shutdown on another day is reported again.
            cause = f"warning: shutdown {model} {day} {step}"
            name = discord.utils.escape_markdown(model)
            until = int(time.time()) + 365 * DAY
            await self._warn(cause, until, words.model_shutdown(name, day, left, setting))

    async def _check_model(self, outcome: Outcome) -> None:
        replaced = outcome.replaced
        if replaced is not None and replaced.advice == outcome.advice:
            # The fallback is on the same server: one failure, of the model that is asked first.
            outcome, replaced = replace(outcome, model=replaced.model), None
        if replaced is not None and replaced.failure is not FailureReason.BUSY:
            cause = f"replaced {zlib.crc32(replaced.advice.encode()):08x}"
            await self._warn_of_model(replaced, cause, words.model_replaced(replaced.detail))
        if outcome.failure is FailureReason.UNREACHABLE:
            await self._warn_of_model(outcome, "unreachable", words.model_unreachable(outcome.detail))
        elif outcome.failure is FailureReason.CONFIGURATION:
            # The next mistake, once the first one is mended, is reported at once.
            cause = f"setup {zlib.crc32(outcome.advice.encode()):08x}"
            await self._warn_of_model(outcome, cause, words.configuration_error(outcome.detail))
        elif outcome.state is TurnState.COMPLETE and outcome.model is not None:
            await self._tell_that_it_works(outcome.model)
        if outcome.context_cut:
            # The advice names the model and the settings: with others it is told again.
            cause = f"warning: cut {zlib.crc32(outcome.detail.encode()):08x}"
            await self._warn(cause, int(time.time()) + 365 * DAY, words.context_cut(outcome.detail))

    async def _warn_of_model(self, outcome: Outcome, cause: str, sentence: str) -> None:
        now = int(time.time())
        failing = f"{_failing(outcome.model)}{cause}"
        if failing not in self._unsent:
            recently = f"warning: {outcome.model} {cause}"
            if not await self._store.processed.claim_notice(recently, now + REPEATED_AFTER):
                return
        await self._warn(failing, now + FAILING_FOR, sentence)

    async def _tell_that_it_works(self, model: str) -> None:
        for failing in await self._store.processed.withdraw_notices(_failing(model)):
            if self._unsent.pop(failing, None) is None:
                self._working.add(model)
        if model in self._working:
            self._working.discard(model)
            if not await self._send(words.model_works_again(discord.utils.escape_markdown(model))):
                self._working.add(model)

    async def _check_quotas(self, quotas: Quotas, outcome: Outcome, guild_id: int | None) -> None:
        spent = await self._store.quotas.usage_today(guild_id=guild_id, reserved=False)
        exceeded = None if outcome.quota_exceeded is None else outcome.quota_exceeded.quota
        until = (int(time.time()) // DAY + 1) * DAY
        if (budget := quotas.daily_budget) is not None:
            share = _Share(spent.cost, budget, exceeded is Quota.BUDGET or spent.cost >= budget)
            mostly, all_of_it = words.budget_mostly_spent(spent.cost, budget, until), words.budget_spent(budget, until)
            await self._check_share("budget", share, until, mostly, all_of_it)
        of_tokens: list[tuple[Quota, str, int, str | None]] = [(Quota.TOTAL, "bot", spent.total, None)]
        if guild_id is not None:
            of_tokens.append((Quota.GUILD, f"server {guild_id}", spent.guild, self._guild_name(guild_id)))
        for quota, name, used, guild_name in of_tokens:
            if (limit := quotas.of_day(quota)) is not None:
                share = _Share(used, limit, exceeded is quota or limit - used < MINIMUM_REPLY_TOKENS)
                mostly = words.quota_mostly_used(used, limit, until, guild_name)
                await self._check_share(name, share, until, mostly, words.quota_used_up(limit, until, guild_name))

    async def _check_share(self, name: str, share: _Share, until: int, mostly: str, all_of_it: str) -> None:
        """Send the sentence for a quota of which four fifths are used, or all. `name` tells it from other quotas."""
        mostly_used, used_up = f"warning: {name} 80 %", f"warning: {name} 100 %"
        if share.exceeded:
            # After this alert, the one at 80 % is not sent any more.
            await self._store.processed.claim_notice(mostly_used, until)
            await self._warn(used_up, until, all_of_it)
        elif share.used * 5 >= share.limit * 4:
            await self._warn(mostly_used, until, mostly)

    async def _warn(self, cause: str, until: int, sentence: str) -> None:
        """Send an alert, unless its cause is on record as reported. If Discord fails, the next outcome tries again."""
        if self._unsent.pop(cause, 0) <= time.time() and not await self._store.processed.claim_notice(cause, until):
            return
        if not await self._send(sentence):
            self._unsent[cause] = until

    async def _send(self, sentence: str) -> bool:
        """Send a message to the owner. False: Discord cannot take it now."""
        owner_id = _owner_id(self._client.application)
        if owner_id is None:
            log.warning("the application has no known owner, so this was not sent: %s", sentence)
            return True
        try:
            with platform_errors():
                channel = await self._client.create_dm(discord.Object(owner_id))
                await channel.send(sentence, suppress_embeds=True)
        except Unavailable as error:
            log.warning("could not send this to the owner yet (%s): %s", error, sentence)
            return False
        except PlatformError as error:
            log.warning("the owner accepts no direct message from the bot (%s): %s", error, sentence)
        return True

    def _guild_name(self, guild_id: int) -> str:
        guild = self._client.get_guild(guild_id)
        name = "" if guild is None else f"{discord.utils.escape_markdown(guild.name)} "
        return f"{name}({guild_id})"


def _failing(model: str | None) -> str:
    """The beginning of the keys of a model's failures that are on record as reported."""
    return f"warning: failing {model}\n"


def _today() -> date:
    return datetime.now(UTC).date()


def _owner_id(application: discord.AppInfo | None) -> int | None:
    """The id of the owner of an application; for a team, that of the team's owner."""
    if application is None:
        return None
    return application.owner.id if application.team is None else application.team.owner_id
