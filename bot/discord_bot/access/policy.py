"""Decides whether a prompt, a button press or a command is answered, before anything else is done for it.

A decision costs one query of the database. Memberships have to be asked of Discord and are cached (see `members`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import discord

from bot.core import access
from bot.core.access import AccessSettings, Denial, GuildRules, Person
from bot.core.retrying import poll_until
from bot.core.turns import Turn
from bot.discord_bot.access import members
from bot.discord_bot.access.members import Members, Membership, MembershipStatus
from bot.discord_bot.access.roles_elsewhere import RolesElsewhere
from bot.discord_bot.access.shared_guilds import SharedGuilds
from bot.discord_bot.channels import channel_of, is_private
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import ContentRejected, NotEditable, TargetGone, Unavailable
from bot.discord_bot.shards import Connections
from bot.store import Store

_GUILD_TIMEOUT = 2.0
"""Seconds after the connection within which Discord sends a guild's channels and roles."""
_GUILD_CHECK_EVERY = 0.05
"""Seconds between two checks whether a guild's channels and roles are there."""
_MAX_CONCURRENT = 5
"""Guilds in which the roles of one author are looked up at the same time."""
_SEARCH_TIMEOUT = 5.0
"""Seconds for all look-ups of one author. In many guilds they take longer; the next message then knows more."""
_SHARDS_TIMEOUT = 15.0
"""Seconds for which a direct message waits until the bot's guilds are known, while shards are connecting."""
_MAX_PARENTS = 1000
"""Looked-up threads whose channels are kept in memory."""
_SERVED_FOR = 24 * 3600.0
"""Seconds for which a guild with an owner of the application among its members is served without asking again."""
_INTERACTION_TIMEOUT = 1.0
"""Seconds for the look-up of the owners, or until all guilds are known, of the 3 that Discord allows for an answer to
an interaction."""


class Policy:
    """The policy of one client. Every check raises StoreError if the moderators' rules cannot be read."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        scheduler: Scheduler,
        settings: AccessSettings,
        connections: Connections,
    ) -> None:
        self._client = client
        self._connections = connections
        self._store = store
        self._settings = settings
        self._members = Members(scheduler)
        self._shared_guilds = SharedGuilds(client, store, self._members, connections, self.is_served)
        self._roles_elsewhere = RolesElsewhere(
            client, scheduler, settings.roles, self._shared_guilds.of_other_processes
        )
        self._parents: dict[int, int] = {}
        """The channels of threads that were looked up."""
        self._owners: frozenset[int] = frozenset()
        self._served_until: dict[int, float] = {}
        """The guilds in which an owner was found."""

    async def check_message(self, message: discord.Message) -> Denial | None:
        """Why a message that is meant for the bot is not answered, or None if it is."""
        if is_private(message):
            return await self._denied_in_dm(message.author.id)
        if message.guild is None:
            return Denial.GUILD
        await wait_until_available(message.guild)
        try:
            return await self._denied_in(message.guild, message.channel, message.author)
        except Unavailable:
            return Denial.UNKNOWN

    async def reads_history(self, message: discord.Message) -> bool:
        """Whether the author of a message may read what others wrote in its channel before. No if that is not known.

        A fetched message comes without its author's roles. Then it is true only if the channel hides its history from
        nobody.
        """
        guild = message.guild
        if guild is None:
            return is_private(message)
        try:
            places = await self.places(guild, message.channel)
        except Unavailable:
            return False
        # discord.py has no threads there: theirs is the rule of their channel.
        channel = next((found for place in places if (found := guild.get_channel(place)) is not None), None)
        if channel is None:
            return False
        if isinstance(message.author, discord.Member):
            return channel.permissions_for(message.author).read_message_history
        hides = any(
            overwrite.read_message_history is False or overwrite.view_channel is False
            for overwrite in channel.overwrites.values()
        )
        return not hides and channel.permissions_for(guild.default_role).read_message_history

    async def check_interaction(self, interaction: discord.Interaction) -> Denial | None:
        """Why the press on a button that asks for a reply is not answered, or None if it is."""
        if interaction.guild_id is None:
            return await self._denied_in_dm(interaction.user.id, patience=_INTERACTION_TIMEOUT)
        if interaction.guild is None or interaction.channel is None:
            return Denial.GUILD
        try:
            return await self._denied_in(interaction.guild, interaction.channel, interaction.user)
        except Unavailable:
            return Denial.UNKNOWN

    async def check_retry(self, turn: Turn) -> Denial | None:
        """Why an interrupted turn is not tried again, or None if it is: rules may have changed since it was asked.

        Waits until Discord has named the guilds of the turn's shard. Raises Unavailable if Discord cannot be asked.
        """
        await self._connections.wait_for(turn.guild_id)
        if turn.guild_id is None:
            return await self._denied_in_dm(turn.user_id or 0)
        guild = self._client.get_guild(turn.guild_id)
        if guild is None:
            return Denial.GUILD
        await wait_until_available(guild)
        channel = discord.Object(channel_of(turn.conversation))
        return await self._denied_in(guild, channel, discord.Object(turn.user_id or 0))

    async def check_author(self, turn: Turn) -> Denial | None:
        """Why the author of a turn in a guild may not use the bot, so that nobody may have it answered, or None."""
        guild = None if turn.guild_id is None else self._client.get_guild(turn.guild_id)
        if guild is None or turn.user_id is None:
            return None
        rules = await self._store.guild_rules.rules_for(guild.id, turn.user_id)
        person = await self._looked_up(guild, turn.user_id)
        return access.denied_to_user(self._settings, rules, person)

    async def allowed_among(self, guild_id: int, people: Iterable[Person]) -> set[int]:
        """Those of these people who may use the bot in a guild, as far as their roles are known."""
        allowed = {person.id for person in people if self._settings.blocks(person) is None}
        return allowed - await self._store.guild_rules.blocked_among(guild_id, allowed)

    async def check_guild(self, interaction: discord.Interaction) -> Denial | None:
        """Why a command that changes something is refused in a guild, or None if it is not.

        It is refused where the bot is not served, or not at all: an application can be in a guild without its bot.
        """
        if interaction.guild_id is None:
            return None
        guild = self._client.get_guild(interaction.guild_id)
        served = guild is not None and await self.is_served(guild, within=_INTERACTION_TIMEOUT)
        return None if served else Denial.GUILD

    async def check_user(self, interaction: discord.Interaction) -> Denial | None:
        """Why a user may not use a command that asks no model, such as /reset, in a guild, or None if they may.

        In a direct message everybody may.
        """
        if interaction.guild_id is None:
            return None
        rules = await self._store.guild_rules.rules_for(interaction.guild_id, interaction.user.id)
        user = interaction.user
        roles = members.roles(user) if isinstance(user, discord.Member) else frozenset()
        return access.denied_to_user(self._settings, rules, Person(user.id, roles))

    def close(self) -> None:
        """Cancel the look-ups that wait to be made."""
        self._shared_guilds.close()
        self._roles_elsewhere.close()
        self._members.close()

    async def is_served(
        self, guild: discord.Guild, *, refresh: bool = False, within: float = members.LOOKUP_TIMEOUT
    ) -> bool:
        """Whether the operator has the bot serve a guild. With `refresh`, cached memberships do not count.

        If the owners' guilds are served, a guild is refused only if Discord says of every owner that they are not a
        member. While no owner is known, every guild is served.
        """
        servers = self._settings.servers
        if servers.any or guild.id in servers.ids:
            return True
        if not servers.owner:
            return False
        if guild.owner_id in self.owners:
            return True
        if self._served_until.get(guild.id, 0.0) > time.monotonic() and not refresh:
            return True
        memberships = await asyncio.gather(
            *(self._members.of(guild, owner, refresh=refresh, within=within) for owner in self.owners)
        )
        if any(each.status is MembershipStatus.MEMBER for each in memberships):
            self._served_until[guild.id] = time.monotonic() + _SERVED_FOR
        return not memberships or any(each.status is not MembershipStatus.NOT_MEMBER for each in memberships)

    @property
    def owners(self) -> frozenset[int]:
        """The ids of the application's owners, as read at the login or by the last `look_up_owners`."""
        if not self._owners and self._client.application is not None:
            self._owners = owners(self._client.application)
        return self._owners

    async def look_up_owners(self) -> None:
        """Ask Discord again who owns the application. Raises discord.py's errors."""
        before, self._owners = self._owners, owners(await self._client.application_info())
        if self._owners != before:
            self._served_until.clear()

    async def _denied_in(
        self,
        guild: discord.Guild,
        channel: discord.abc.Snowflake,
        user: discord.abc.Snowflake,
    ) -> Denial | None:
        """Why a user is not answered in a channel or thread. Raises Unavailable if Discord cannot be asked."""
        if isinstance(user, discord.Member):
            self._members.seen(user)
        served = await self.is_served(guild)
        rules = await self._store.guild_rules.rules_for(guild.id, user.id) if served else GuildRules()
        if isinstance(user, discord.Member):
            person = Person(user.id, members.roles(user))
        else:
            person = await self._looked_up(guild, user.id)
        # Only a rule can tell one channel from another.
        places = await self.places(guild, channel) if rules.channels else []
        return access.denied_in_guild(self._settings, rules, person, places, served=served)

    async def _looked_up(self, guild: discord.Guild, user_id: int) -> Person:
        """A user of whom no event has shown the roles, such as the author of a fetched message."""
        return _person(user_id, [await self._members.of(guild, user_id)] if self._settings.roles else [])

    async def places(self, guild: discord.Guild, channel: discord.abc.Snowflake) -> list[int]:
        """The ids of a channel, its parent and its category. A thread that discord.py does not know is looked up.

        Raises Unavailable if Discord cannot be asked.
        """
        known = guild.get_channel_or_thread(channel.id)
        if known is None and not isinstance(channel, discord.Thread | discord.abc.GuildChannel):
            if (parent_id := self._parents.get(channel.id)) is not None:
                return [channel.id, *channel_ids(guild.get_channel(parent_id) or discord.Object(parent_id))]
            try:
                with platform_errors():
                    # Discord sends archived threads only on request.
                    channel = await self._client.fetch_channel(channel.id)
            except (TargetGone, ContentRejected, NotEditable):
                return [channel.id]
            if isinstance(channel, discord.Thread):
                if len(self._parents) >= _MAX_PARENTS:
                    self._parents.clear()
                self._parents[channel.id] = channel.parent_id
        return channel_ids(known or channel)

    async def _denied_in_dm(self, user_id: int, *, patience: float = _SHARDS_TIMEOUT) -> Denial | None:
        """Why a user is not answered in a direct message. Waits up to `patience` seconds for shards that connect."""
        settings = self._settings
        if settings.direct_messages == "off":
            return Denial.DIRECT_MESSAGES
        if settings.direct_messages == "members" and self._members.is_stranger(user_id):
            return Denial.NOT_MEMBER
        if settings.roles:
            await self._all_guilds_known(patience)
        deadline = time.monotonic() + _SEARCH_TIMEOUT
        with_roles, all_known = await self._guilds_with_roles(deadline)
        found = [membership async for _, membership in self._memberships(user_id, with_roles, deadline)]
        person = _person(user_id, found)
        if not all_known:
            person = replace(person, all_roles=False)
        denied = access.denied_in_dm(settings, person, shares_guild=True)
        if denied or settings.direct_messages == "everyone" or user_id in self.owners:
            return denied
        shares = await self._shared_guilds.has(user_id, within=deadline - time.monotonic())
        if not shares and not self._connections.complete and await self._all_guilds_known(patience):
            shares = await self._shared_guilds.has(user_id, within=_SEARCH_TIMEOUT)
        return access.denied_in_dm(settings, person, shares_guild=shares)

    async def _guilds_with_roles(self, deadline: float) -> tuple[list[discord.Guild], bool]:
        """The guilds that have roles of the rules, as far as known at `deadline`, and whether these are all."""
        roles = self._settings.roles
        if not roles:
            return [], True
        # While a guild is unavailable, its roles are not known.
        own = [guild for guild in self._client.guilds if guild.unavailable or any(map(guild.get_role, roles))]
        if not self._connections.complete:
            return own, False
        missing = frozenset(role for role in roles if not any(guild.get_role(role) for guild in own))
        elsewhere, all_known = await self._roles_elsewhere.find(missing, deadline - time.monotonic())
        return [*own, *elsewhere], all_known

    async def _all_guilds_known(self, patience: float) -> bool:
        """Wait until every shard has named its guilds, but for `patience` seconds only. Returns whether they have."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._connections.wait_for_all()
        return self._connections.complete

    async def _memberships(
        self, user_id: int, guilds: list[discord.Guild], deadline: float
    ) -> AsyncIterator[tuple[discord.Guild, Membership]]:
        """The memberships of a user in guilds, those that take long to look up last. Ends at `deadline`.

        A guild in which Discord is slow must not delay the look-ups in the others.
        """
        late: list[discord.Guild] = []
        for batch in _batches(guilds, _MAX_CONCURRENT):
            within = min(members.LOOKUP_TIMEOUT, deadline - time.monotonic())
            found = await asyncio.gather(*(self._members.of(guild, user_id, within=within) for guild in batch))
            for guild, membership in zip(batch, found, strict=True):
                if membership.status is MembershipStatus.UNKNOWN and self._members.looks_up(guild, user_id):
                    late.append(guild)
                else:
                    yield guild, membership
        within = deadline - time.monotonic()
        pending = {guild.id for guild in late if self._members.looks_up(guild, user_id)}
        found = await asyncio.gather(
            *(self._members.of(guild, user_id, refresh=guild.id in pending, within=within) for guild in late)
        )
        for each in zip(late, found, strict=True):
            yield each


def owners(application: discord.AppInfo) -> frozenset[int]:
    """The ids of an application's owners: one user, or the members of a team."""
    if application.team is None:
        return frozenset({application.owner.id})
    accepted = discord.TeamMembershipState.accepted
    return frozenset(member.id for member in application.team.members if member.membership_state is accepted)


def channel_ids(channel: object) -> list[int]:
    """The ids of a channel, its category and, for a thread, its parent; the most specific first."""
    found: list[int | None] = []
    if isinstance(channel, discord.Thread):
        found += channel.id, channel.parent_id
        channel = channel.parent
    if isinstance(channel, discord.abc.GuildChannel):
        found += channel.id, channel.category_id
    elif isinstance(channel, discord.abc.Snowflake):
        found.append(channel.id)
    return list(dict.fromkeys(each for each in found if each is not None))


async def wait_until_available(guild: discord.Guild) -> None:
    """Wait a moment for the channels and roles of a guild: after a connection, messages may come before them.

    discord.py has no event for this that comes in time: it holds `on_guild_available` back until `on_ready`.
    """

    async def available() -> bool:
        return not guild.unavailable

    await poll_until(available, every=_GUILD_CHECK_EVERY, timeout=_GUILD_TIMEOUT)


def _person(user_id: int, found: Iterable[Membership]) -> Person:
    """A user with all roles of their memberships."""
    memberships = list(found)
    return Person(
        user_id,
        frozenset().union(*(each.roles for each in memberships)),
        all_roles=all(each.status is not MembershipStatus.UNKNOWN for each in memberships),
    )


def _batches(guilds: list[discord.Guild], size: int) -> Iterator[list[discord.Guild]]:
    for start in range(0, len(guilds), size):
        yield guilds[start : start + size]
